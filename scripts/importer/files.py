"""Sources that are files: read as a stream into tables, of which the mapping makes the rest."""

from __future__ import annotations

from pathlib import Path

import psycopg

from .errors import ImportFailed
from .source import Source


def load_file(connection: psycopg.Connection, source: Source, path: Path) -> dict[str, int]:
    """Loads an export; how many rows each of its parts has."""
    raise ImportFailed(f"{source.title} is not read from files.", f"Leave out --file {path}.")
