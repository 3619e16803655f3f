"""Transactions in which PostgreSQL judges a request as its caller."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from starlette.requests import Request

from .caller import Caller

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]

_STATEMENT_TIMEOUT = "30s"

# The role last: what follows it is done with the caller's rights. A trigger refuses direct
# deletion unless storage.allow_delete_query is on.
_SET_CONTEXT = """
select
    set_config('statement_timeout', %(timeout)s, true),
    set_config('storage.operation', %(operation)s, true),
    set_config('storage.allow_delete_query', 'true', true),
    set_config('request.jwt', %(token)s, true),
    set_config('request.jwt.claims', %(claims)s, true),
    set_config('request.jwt.claim.sub', %(sub)s, true),
    set_config('request.jwt.claim.role', %(role)s, true),
    set_config('request.headers', %(headers)s, true),
    set_config('request.method', %(method)s, true),
    set_config('request.path', %(path)s, true),
    set_config('role', %(role)s, true)
"""


async def act_as(conn: Connection, caller: Caller, request: Request, operation: str) -> None:
    """From here to the end of the transaction ``conn`` has the caller's rights.

    ``operation``: what policies read with ``storage.operation()``.
    """
    context = {
        "timeout": _STATEMENT_TIMEOUT,
        "operation": operation,
        "token": caller.token,
        "claims": json.dumps(caller.claims),
        "sub": caller.owner_id or "",
        "role": caller.role,
        "headers": json.dumps(dict(request.headers)),
        "method": request.method,
        "path": request.url.path.replace("\x00", ""),
    }
    await conn.execute(_SET_CONTEXT, context)


def is_in_doubt(error: Exception) -> bool:
    """Whether a transaction that ended with ``error`` may have been committed.

    So it may when the connection broke. Its files then stay, for the next start to judge.
    """
    return (
        isinstance(error, psycopg.OperationalError)
        and error.sqlstate is None
        and not isinstance(error, PoolTimeout)
    )


@asynccontextmanager
async def transaction(
    pool: Pool, caller: Caller, request: Request, operation: str, *, is_probe: bool = False
) -> AsyncIterator[Connection]:
    """A transaction with the caller's rights. A probe only asks: it is always rolled back."""
    async with pool.connection() as conn, conn.transaction(force_rollback=is_probe):
        await act_as(conn, caller, request, operation)
        yield conn
