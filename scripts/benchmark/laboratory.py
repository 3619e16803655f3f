"""A stack of a benchmark's own, with a town in it, and connections that act as people."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
import psycopg

from parley_stack.testing import Stack, conninfo, start_stack

from .loading import load, wrong_counters
from .scales import Scale
from .town import Town, make_town

ROOT = Path(__file__).resolve().parents[2]
# More than this is too much for a file system in memory.
_IN_MEMORY_MESSAGES = 200_000


@dataclass(frozen=True)
class Laboratory:
    """Where everything is measured."""

    stack: Stack
    town: Town
    load_seconds: float

    @property
    def scale(self) -> Scale:
        """How much there is."""
        return self.town.scale

    def connect(self, user: str = "postgres") -> psycopg.Connection:
        """A connection in autocommit; ``supabase_admin`` is a superuser."""
        return psycopg.connect(conninfo(self.stack, user, "postgres"), autocommit=True)

    def acting(self, user_id: str, role: str = "authenticated") -> psycopg.Connection:
        """A connection with somebody's claims; postgres owns the tables and has no policies."""
        connection = self.connect()
        connection.execute(
            "select set_config('request.jwt.claims', %s, false), set_config('role', %s, false)",
            (json.dumps({"role": "authenticated", "sub": user_id}), role),
        )
        return connection

    def token(self, user_id: str) -> str:
        """What Auth would give somebody who signed in."""
        claims = {"sub": user_id, "role": "authenticated", "aud": "authenticated"}
        return jwt.encode({**claims, "exp": int(time.time()) + 36_000}, self.stack.jwt_secret)

    def versions(self) -> dict[str, str]:
        """Of the servers."""
        with self.connect() as owner:
            return {"postgresql": one(owner, "show server_version").split()[0]}

    def sockets(self) -> Path:
        """The folder where the stack's services listen, PostgREST among them."""
        with self.connect("supabase_admin") as admin:
            return Path(one(admin, "show unix_socket_directories"))


def one(connection: psycopg.Connection, statement: str, values: Sequence[object] = ()) -> str:
    """The first column of the first row."""
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return row[0]  # type: ignore[no-any-return]


@contextmanager
def laboratory(scale: Scale) -> Iterator[Laboratory]:
    """Starts a stack and loads the town of a scale; refuses one whose counters are wrong."""
    folder = {"TMPDIR": "/var/tmp"} if scale.messages > _IN_MEMORY_MESSAGES else {}  # noqa: S108
    stack = start_stack(ROOT, "--ephemeral", env=folder)
    try:
        town = make_town(scale)
        began = time.monotonic()
        admin = psycopg.connect(conninfo(stack, "supabase_admin", "postgres"), autocommit=True)
        with admin:
            load(admin, town)
            seconds = time.monotonic() - began
            if wrong := wrong_counters(admin):
                raise AssertionError(f"{wrong} counters are wrong after loading")
        yield Laboratory(stack, town, seconds)
    finally:
        stack.stop()
