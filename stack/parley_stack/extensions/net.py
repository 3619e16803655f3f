"""Sends the requests of ``net.http_request_queue``, once the transaction that asked has committed.

An answer is kept for six hours in ``net._http_response``. A request that was being sent when the
stack ended is not sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

CHANNEL = "parley_stack_net"
AT_ONCE = 50
MAX_CONTENT_BYTES = 10 * 1024 * 1024
_BATCH = 200
_POLL_SECONDS = 1.0
"""How long a queue filled before anybody listened may wait."""

_IS_THERE = "select to_regproc('net._tell_worker') is not null"
_LISTEN = f"listen {CHANNEL}"
_TAKE = """delete from net.http_request_queue
where ctid = any (array(
    select q.ctid from net.http_request_queue as q order by q.id limit %s for update skip locked
))
returning id, method::text, url, headers, body, timeout_milliseconds"""
_KEEP = """insert into net._http_response (
    id, status_code, content_type, headers, content, timed_out, error_msg
)
values (%s, %s, %s, %s, %s, %s, %s)"""
_FORGET = "delete from net._http_response where created < now() - interval '6 hours'"


@dataclass(frozen=True)
class Sent:
    """A row of the queue."""

    id: int
    method: str
    url: str
    headers: Mapping[str, Any] | None = field(repr=False)
    body: bytes | None = field(repr=False)
    timeout_milliseconds: int


class Sender:
    """Waits for requests and sends them, some at a time."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Until cancelled. Raises psycopg.Error when the database goes."""
        await connection.execute(_LISTEN)
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False) as client:
            try:
                while True:
                    if await self._is_there(connection):
                        while batch := await self._take(connection):
                            for request in batch:
                                await self._slots.acquire()
                                self._begin(client, request)
                        await connection.execute(_FORGET)
                    async for _ in connection.notifies(timeout=_POLL_SECONDS, stop_after=1):
                        pass
            finally:
                for task in self._sending:
                    task.cancel()
                await asyncio.gather(*self._sending, return_exceptions=True)

    async def _is_there(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        row = await (await connection.execute(_IS_THERE)).fetchone()
        return bool(row and row[0])

    async def _take(self, connection: psycopg.AsyncConnection[Any]) -> list[Sent]:
        async with connection.cursor(row_factory=class_row(Sent)) as cursor:
            await cursor.execute(_TAKE, (_BATCH,))
            return sorted(await cursor.fetchall(), key=lambda request: request.id)

    def _begin(self, client: httpx.AsyncClient, request: Sent) -> None:
        task = asyncio.create_task(self._send(client, request))
        self._sending.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._slots.release()

    async def _send(self, client: httpx.AsyncClient, request: Sent) -> None:
        values = await _answer(client, request)
        with contextlib.suppress(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(
                self._conninfo, autocommit=True
            ) as connection:
                await connection.execute(_KEEP, (request.id, *values))


async def _answer(
    client: httpx.AsyncClient, request: Sent
) -> tuple[int | None, str | None, Jsonb | None, str | None, bool | None, str | None]:
    """Columns of the response, as ``_KEEP`` takes them."""
    headers = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (request.headers or {}).items()
    }
    seconds = request.timeout_milliseconds / 1000
    try:
        async with (
            asyncio.timeout(seconds),
            client.stream(
                request.method.upper(),
                request.url,
                headers=headers,
                content=request.body,
                timeout=seconds,
            ) as response,
        ):
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_CONTENT_BYTES:
                    return None, None, None, None, False, "the response is too large"
            text = content.decode(response.encoding or "utf-8", errors="replace")
            return (
                response.status_code,
                response.headers.get("content-type"),
                Jsonb(dict(response.headers)),
                text.replace("\x00", ""),
                False,
                None,
            )
    except (TimeoutError, httpx.TimeoutException):
        message = f"Timeout of {request.timeout_milliseconds} ms reached."
        return None, None, None, None, True, message
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError) as error:
        return None, None, None, None, False, f"{type(error).__name__}: {error}"
