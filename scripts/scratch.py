"""A throw-away Supabase, for scripts that must run migrations somewhere."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from parley_stack.testing import start_stack


@contextmanager
def empty_database() -> Iterator[psycopg.Connection]:
    """A new project's database, as postgres in autocommit; gone at the end.

    With pg_cron, where the server has it or the stack can add it. Raises StackError when the stack
    does not start.
    """
    with tempfile.TemporaryDirectory(prefix="parley-scratch-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # The server may run as another account.
        (folder / "supabase").mkdir()
        (folder / "supabase/config.toml").write_text('project_id = "scratch"\n', encoding="utf-8")
        stack = start_stack(folder, "--ephemeral")
        try:
            with psycopg.connect(stack.db_url, autocommit=True) as connection:
                add_cron(connection)
                yield connection
        finally:
            stack.stop()


def add_cron(connection: psycopg.Connection) -> None:
    """Installs pg_cron, if it can be had here."""
    query = "select name from pg_available_extensions where name = 'pg_cron'"
    if connection.execute(query).fetchone():
        connection.execute("create extension if not exists pg_cron")
