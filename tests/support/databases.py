"""Throw-away databases with Parley's migrations."""

from __future__ import annotations

import psycopg

from parley_stack import testing
from parley_stack.testing import Database, clone, conninfo

from .stacks import ROOT

__all__ = ["MIGRATIONS", "Database", "clone", "conninfo", "migrate"]

MIGRATIONS = sorted((ROOT / "supabase" / "migrations").glob("*.sql"))


def migrate(connection: psycopg.Connection) -> None:
    """Runs every migration of the project, each in a transaction of its own."""
    testing.migrate(connection, ROOT)
