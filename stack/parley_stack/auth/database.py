"""Transactions of the Auth server, and what a failed one tells the caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from .errors import AuthError, log_database_error

Connection = psycopg.AsyncConnection[Any]
Pool = AsyncConnectionPool[Connection]


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in a transaction: committed at the end, rolled back by an exception."""
    async with pool.connection() as conn, conn.transaction():
        yield conn


@contextmanager
def failing_as(message: str) -> Iterator[None]:
    """Answer 500 with ``message`` to any database failure inside.

    Applications put triggers on ``auth.users``; what those raise is logged, not shown.
    """
    try:
        yield
    except psycopg.Error as error:
        log_database_error(message, error)
        raise AuthError(500, "unexpected_failure", message) from error


def violates(error: psycopg.Error, constraint: str) -> bool:
    """Whether ``error`` is the breach of that constraint or unique index."""
    return error.diag.constraint_name == constraint and error.diag.schema_name == "auth"
