"""Everybody tries everything: table x role x command, and every function, in SQL and over HTTP.

What should come of it is in matrix.txt, what is tried in attempts.toml.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from psycopg.conninfo import make_conninfo

from parley_stack.account import end_with_parent
from parley_stack.binaries import Binaries
from parley_stack.postgrest import environment
from parley_stack.testing import Stack
from support.matrix import (
    OverHTTP,
    OverSQL,
    read_attempts,
    read_matrix,
    show,
    what_the_catalogue_has,
)
from support.matrix_world import ROLES, World
from support.stacks import ROOT, eventually

HERE = Path(__file__).parent
ATTEMPTS = read_attempts(HERE / "attempts.toml")
MATRIX = read_matrix(HERE / "matrix.txt")


@pytest.fixture(scope="module")
def postgrest(stack: Stack, world: World) -> Iterator[str]:
    """Address of a PostgREST on the world's database, which undoes what it is asked to undo."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = environment(
        conninfo=make_conninfo(world.database.url, user="authenticator"),
        socket_path=Path(),
        jwks=stack.jwt_secret,
        schemas=["chat"],
        extra_search_path=[],
        max_rows=1000,
    )
    del settings["PGRST_SERVER_UNIX_SOCKET"]
    process = subprocess.Popen(
        [Binaries.find(ROOT).postgrest],
        env={
            **settings,
            "PGRST_SERVER_PORT": str(port),
            "PGRST_SERVER_HOST": "127.0.0.1",
            "PGRST_DB_TX_END": "commit-allow-override",
        },
        preexec_fn=end_with_parent(signal.SIGTERM),
    )
    url = f"http://127.0.0.1:{port}"

    def is_ready() -> bool:
        try:
            return httpx.get(f"{url}/rpc/not_there", timeout=2).status_code < 500
        except httpx.TransportError:
            return False

    try:
        eventually(is_ready, what="PostgREST answers")
        yield url
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module", params=["sql", "http"])
def way(request: pytest.FixtureRequest, stack: Stack, world: World) -> Iterator[OverSQL | OverHTTP]:
    """Both ways to the database."""
    made = (
        OverSQL(world)
        if request.param == "sql"
        else OverHTTP(world, request.getfixturevalue("postgrest"), stack.jwt_secret)
    )
    yield made
    made.close()


@pytest.fixture
def over(way: OverSQL | OverHTTP) -> Iterator[OverSQL | OverHTTP]:
    """One of them; nothing that was tried stays."""
    yield way
    way.end()


def test_the_matrix_has_every_table_view_and_function(world):
    has = what_the_catalogue_has(world.owner)
    missing = sorted(label for label in has if not any(a.startswith(label) for a in ATTEMPTS))
    assert not missing, (
        f"{', '.join(missing)}: say in tests/rls/attempts.toml what is tried there, and in "
        "tests/rls/matrix.txt what should come of it (the heads of both files say how)"
    )
    commands = {
        f"{each.target}()" if each.command == "call" else f"{each.target} {each.command}"
        for each in ATTEMPTS.values()
    }
    assert not commands - has, "in attempts.toml, but not in schema chat"


def test_every_attempt_has_an_expectation():
    assert set(ATTEMPTS) == set(MATRIX)


@pytest.mark.parametrize("label", ATTEMPTS)
def test_what_comes_of(label, over, world):
    expected = MATRIX.get(label) or ["?"] * len(ROLES)

    outcomes = [
        over.outcome(ATTEMPTS[label], role, wanted)
        for role, wanted in zip(ROLES, expected, strict=True)
    ]

    shown, wanted = show(label, outcomes), show(label, expected)
    assert outcomes == expected, f"\n{show('', list(ROLES))}\n{wanted}  expected\n{shown}  got"
    assert over.state() == world.before
