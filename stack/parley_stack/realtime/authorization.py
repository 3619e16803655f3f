"""Who may receive and send on a private channel: PostgreSQL is asked, every time.

Row level security on ``realtime.messages`` is the rule. A check sets the token's role and claims
in a transaction, tries, and rolls back; nothing of the policies is known here.
Source: Supabase Realtime protocol, section 9.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from .errors import AuthorizationError, Problem
from .tokens import Caller

_BUSY_WAIT_SECONDS = 8.0
"""Longest wait for a connection when all are in use: clients give up a join after ten."""
_DOWN_WAIT_SECONDS = 3.0
"""Longest wait for a connection when the database is away."""
_RECONNECT_SECONDS = 2.0
"""Kept short, because the pool doubles its pauses; the next check asks for a connection again."""
_STATEMENT_TIMEOUT = "5s"

_INSERT_PROBES = """
insert into realtime.messages (id, topic, extension)
select probes.id, %(topic)s, probes.extension
from unnest(%(ids)s::uuid[], %(extensions)s::text[]) as probes (id, extension)
"""

# The role last: what follows it is done with the caller's rights.
_SET_CONTEXT = """
select
    set_config('statement_timeout', %(timeout)s, true),
    set_config('realtime.topic', %(topic)s, true),
    set_config('request.jwt.claims', %(claims)s, true),
    set_config('request.jwt.claim.sub', %(sub)s, true),
    set_config('request.jwt.claim.role', %(role)s, true),
    set_config('request.headers', %(headers)s, true),
    set_config('role', %(role)s, true)
"""

_SELECT_PROBES = "select extension from realtime.messages where id = any(%(ids)s::uuid[])"

_INSERT_AS_CALLER = """
insert into realtime.messages (id, topic, extension)
values (%(id)s, %(topic)s, %(extension)s)
"""

_EXTENSIONS = ("broadcast", "presence")


@dataclass(frozen=True, slots=True)
class Permissions:
    """Rights on one private topic, in one direction (receive or send)."""

    broadcast: bool
    presence: bool


EVERYTHING = Permissions(broadcast=True, presence=True)
"""Rights on a public channel."""


class Authorizer:
    """Asks PostgreSQL over a bounded pool of connections of a superuser.

    ``is_up`` tells whether the database is known to be there.
    """

    def __init__(self, conninfo: str, size: int, is_up: Callable[[], bool]) -> None:
        self._is_up = is_up
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=size,
            open=False,
            reconnect_timeout=_RECONNECT_SECONDS,
            check=AsyncConnectionPool.check_connection,
            kwargs={"application_name": "realtime", "connect_timeout": 5},
            name="realtime",
        )

    async def open(self) -> None:
        """Start connecting; does not wait and does not fail while the database is down."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def read(self, caller: Caller, topic: str, *, with_presence: bool) -> Permissions:
        """What the caller may receive on ``topic``. Raises AuthorizationError."""
        extensions = _EXTENSIONS if with_presence else _EXTENSIONS[:1]
        ids = [uuid.uuid4() for _ in extensions]
        probes = {"topic": topic, "ids": ids, "extensions": list(extensions)}
        async with self._rolled_back() as connection:
            async with connection.pipeline():
                await connection.execute(_INSERT_PROBES, probes)
                await connection.execute(_SET_CONTEXT, _context(caller, topic))
                cursor = await connection.execute(_SELECT_PROBES, {"ids": ids})
            visible = {row[0] for row in await cursor.fetchall()}
        return Permissions("broadcast" in visible, "presence" in visible)

    async def write(self, caller: Caller, topic: str) -> Permissions:
        """What the caller may send on ``topic``. Raises AuthorizationError."""
        allowed = {}
        async with self._rolled_back() as connection:
            await connection.execute(_SET_CONTEXT, _context(caller, topic))
            for extension in _EXTENSIONS:
                probe = {"id": uuid.uuid4(), "topic": topic, "extension": extension}
                try:
                    async with connection.transaction():
                        await connection.execute(_INSERT_AS_CALLER, probe)
                except errors.InsufficientPrivilege:
                    allowed[extension] = False
                else:
                    allowed[extension] = True
        return Permissions(**allowed)

    async def maintain_partitions(self) -> None:
        """Create the partitions of the days around today and drop old ones.

        Raises AuthorizationError.
        """
        async with self.connection() as connection:
            await connection.execute("select realtime.maintain_partitions()")

    @asynccontextmanager
    async def _rolled_back(self) -> AsyncIterator[AsyncConnection[Any]]:
        async with self.connection() as connection:
            try:
                yield connection
            finally:
                await connection.rollback()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A connection of the pool, in a transaction; its errors become AuthorizationError."""
        try:
            wait = _BUSY_WAIT_SECONDS if self._is_up() else _DOWN_WAIT_SECONDS
            async with self._pool.connection(wait) as connection:
                yield connection
        except PoolTimeout as error:
            raise AuthorizationError(
                Problem.POOL_EXHAUSTED if self._is_up() else Problem.DATABASE_UNREACHABLE
            ) from error
        except errors.QueryCanceled as error:
            raise AuthorizationError(Problem.QUERY_CANCELED) from error
        except errors.CheckViolation as error:
            raise AuthorizationError(Problem.MISSING_PARTITION) from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise AuthorizationError(Problem.DATABASE_UNREACHABLE) from error
        except (psycopg.Error, UnicodeError) as error:
            raise AuthorizationError(Problem.POLICY) from error


def _context(caller: Caller, topic: str) -> dict[str, str]:
    """Settings of a request, as PostgREST has them. Raises AuthorizationError."""
    if caller.role == "none":  # would mean the superuser that logged in
        raise AuthorizationError(Problem.POLICY)
    sub = caller.claims.get("sub")
    return {
        "timeout": _STATEMENT_TIMEOUT,
        "topic": topic,
        "claims": json.dumps(caller.claims),
        "sub": sub if isinstance(sub, str) else "",
        "role": caller.role,
        "headers": json.dumps(dict(caller.headers)),
    }
