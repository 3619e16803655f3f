"""The table ``parley_stack.mails``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from psycopg_pool import AsyncConnectionPool

Pool = AsyncConnectionPool[psycopg.AsyncConnection[Any]]

# Made of these constants alone.
_COLUMNS = """m.id, m.sent_at, m.kind, m.recipient, m.subject, m.html, m.token, m.token_hash,
    m.link, m.redirect_to, m.is_read"""
_FROM = """from parley_stack.mails as m
where (%(recipient)s = '' or m.recipient = lower(%(recipient)s))
    and (%(subject)s = '' or m.subject ilike '%%' || %(subject)s || '%%')"""
_LIST = f"select {_COLUMNS} {_FROM} order by m.number desc limit %(limit)s offset %(start)s"
_COUNT = f"select count(*), count(*) filter (where not m.is_read) {_FROM}"
_READ = f"update parley_stack.mails as m set is_read = true where m.id = %s returning {_COLUMNS}"  # noqa: S608
_LATEST = "select m.id from parley_stack.mails as m order by m.number desc limit 1"
_DELETE = "delete from parley_stack.mails where id = any (%s)"
_DELETE_ALL = "delete from parley_stack.mails"


@dataclass(frozen=True, kw_only=True)
class StoredMail:
    """One mail. ``token`` is its code, ``token_hash`` what its link carries."""

    id: UUID
    sent_at: datetime
    kind: str
    recipient: str
    subject: str
    html: str
    token: str = field(repr=False)
    token_hash: str = field(repr=False)
    link: str = field(repr=False)
    redirect_to: str
    is_read: bool


@dataclass(frozen=True)
class Filter:
    """Which mails: to this address, with this in the subject; '' is any."""

    recipient: str = ""
    subject: str = ""


@asynccontextmanager
async def _cursor(pool: Pool) -> AsyncIterator[psycopg.AsyncCursor[StoredMail]]:
    async with pool.connection() as conn, conn.cursor(row_factory=class_row(StoredMail)) as cursor:
        yield cursor


async def page(pool: Pool, wanted: Filter, *, start: int, limit: int) -> list[StoredMail]:
    """Mails newest first."""
    values = {**vars(wanted), "start": start, "limit": limit}
    async with _cursor(pool) as cursor:
        await cursor.execute(_LIST, values)
        return await cursor.fetchall()


async def counts(pool: Pool, wanted: Filter) -> tuple[int, int]:
    """How many there are, and how many nobody has read."""
    async with pool.connection() as conn:
        cursor = await conn.execute(_COUNT, vars(wanted))
        row = await cursor.fetchone()
        return (row[0], row[1]) if row else (0, 0)


async def read(pool: Pool, mail_id: UUID) -> StoredMail | None:
    """One mail, from now on read."""
    async with _cursor(pool) as cursor:
        await cursor.execute(_READ, (mail_id,))
        return await cursor.fetchone()


async def latest_id(pool: Pool) -> UUID | None:
    """The id of the newest mail."""
    async with pool.connection() as conn:
        row = await (await conn.execute(_LATEST)).fetchone()
        return row[0] if row else None


async def delete(pool: Pool, mail_ids: list[UUID]) -> None:
    """Remove these, or all when there are none named."""
    async with pool.connection() as conn:
        if mail_ids:
            await conn.execute(_DELETE, (mail_ids,))
        else:
            await conn.execute(_DELETE_ALL)
