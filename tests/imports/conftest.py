"""Databases with another application's messages in them, and the import of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.databases import Database

from .world import World, make_world

LEGACY = Path(__file__).parent / "legacy"


@pytest.fixture
def messages(long_run: bool) -> int:
    """How many messages a source has: 100,000 with ``--long``."""
    return 100_000 if long_run else 1_200


@pytest.fixture
def world(database: Database, messages: int, tmp_path: Path) -> Callable[..., World]:
    """``world("direct_messages", dirt=True)``: a database with this source."""

    def make(source: str, *, dirt: bool = True, count: int = messages) -> World:
        return make_world(database, source, count, dirt=dirt, folder=tmp_path)

    return make
