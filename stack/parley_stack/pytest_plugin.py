"""Fixtures that give the tests of any Supabase project a backend and its users.

In the project's ``conftest.py``::

    pytest_plugins = ["parley_stack.pytest_plugin"]

The project is the folder that has ``supabase/``: pytest's root, or the ini option
``supabase_workdir``, relative to it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from .testing import Database, Stack, User, clone, make_template, sign_in, sign_up, start_stack
from .testing.stacks import RUNNING

__all__ = ["as_user", "database", "database_template", "sql_as", "stack", "supabase_workdir"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plugin's options."""
    parser.addini(
        "supabase_workdir", "folder that has supabase/, relative to the root", default="."
    )


@pytest.fixture(scope="session")
def supabase_workdir(pytestconfig: pytest.Config) -> Path:
    """The project's folder."""
    return Path(pytestconfig.rootpath, pytestconfig.getini("supabase_workdir")).resolve()


@pytest.fixture(scope="session")
def stack(supabase_workdir: Path) -> Iterator[Stack]:
    """One stack, migrated and seeded, for all tests of a process; its data is thrown away.

    Under ``python -m parley_stack test`` the one which that started.
    """
    given = os.environ.get(RUNNING)
    running = Stack.of(given) if given else start_stack(supabase_workdir, "--ephemeral")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def database_template(stack: Stack, supabase_workdir: Path) -> str:
    """Name of what ``database`` is cloned from: the migrations, no seeds."""
    name = f"template_{uuid.uuid4().hex[:16]}"
    make_template(stack, supabase_workdir, name)
    return name


@pytest.fixture
def database(stack: Stack, database_template: str) -> Iterator[Database]:
    """A database of the test's own; the API does not serve it."""
    with clone(stack, database_template) as made:
        yield made


@pytest.fixture
def sql_as(database: Database) -> Iterator[Callable[..., psycopg.Connection]]:
    """``sql_as(user_id, role="authenticated", **claims)``: a connection that acts for a user.

    To ``database``, as PostgREST would; ``sql_as(None, role="anon")`` is nobody. Closed at the end.
    """
    with ExitStack() as opened:

        def connect(
            user_id: str | None, *, role: str = "authenticated", **claims: object
        ) -> psycopg.Connection:
            return opened.enter_context(database.acting(user_id, role=role, **claims))

        yield connect


@pytest.fixture
def as_user(stack: Stack) -> Iterator[Callable[..., User]]:
    """``as_user(email=None, **metadata)``: somebody who is signed in to ``stack``.

    With the address of a user made by an earlier call, that user; else a new one, with an address
    of their own when none is given. Clients are closed at the end, users stay.
    """
    with ExitStack() as opened:

        def user(email: str | None = None, **metadata: object) -> User:
            address = email or f"user-{uuid.uuid4().hex}@example.com"
            try:
                made = sign_in(stack, address)
            except httpx.HTTPStatusError:
                made = sign_up(stack, address, data=metadata)
            opened.enter_context(made.http)
            return made

        yield user
