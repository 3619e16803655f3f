"""Requests over HTTP/1.1 as fast as one process can: connections that each wait for an answer."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_END = b"\r\n0\r\n\r\n"


class _Connection(asyncio.Protocol):
    """Sends the next request when the answer to the last one is complete."""

    def __init__(self, requests: Iterator[bytes], until: float, taken: list[float]) -> None:
        self.requests = requests
        self.until = until
        self.taken = taken
        self.done = asyncio.get_running_loop().create_future()
        self.answer = b""
        self.began = 0.0
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        self._next()

    def _next(self) -> None:
        self.answer = b""
        self.began = time.perf_counter()
        if self.began < self.until:
            self.transport.write(next(self.requests))
        else:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not _is_complete(self.answer):
            return
        self.taken.append((time.perf_counter() - self.began) * 1000)
        if self.answer[9:10] != b"2":
            self._end(AssertionError(self.answer[:500].decode(errors="replace")))
            self.transport.close()
            return
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error)

    def _end(self, error: Exception | None) -> None:
        if self.done.done():
            return
        if error:
            self.done.set_exception(error)
        else:
            self.done.set_result(None)


def _is_complete(answer: bytes) -> bool:
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return False
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else answer.endswith(_END)


def request(path: str, token: str, body: object = None) -> bytes:
    """A GET, or a POST of JSON, of schema ``chat``."""
    head = (
        f"{'GET' if body is None else 'POST'} {path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {token}\r\napikey: {token}\r\n"
        "Accept-Profile: chat\r\nContent-Profile: chat\r\n"
    )
    if body is None:
        return f"{head}\r\n".encode()
    content = json.dumps(body).encode()
    return (
        f"{head}Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n".encode()
        + content
    )


def load(
    address: Path | tuple[str, int],
    requests: Callable[[int], Iterator[bytes]],
    count: int,
    seconds: float,
) -> list[float]:
    """The milliseconds of each answer to ``count`` connections, which ask for so many seconds.

    ``requests`` gives those of a connection. Raises AssertionError when an answer is not a success.
    """

    async def run() -> list[float]:
        taken: list[float] = []
        loop = asyncio.get_running_loop()
        until = time.perf_counter() + seconds
        waiting = []
        for number in range(count):

            def protocol(number: int = number) -> _Connection:
                return _Connection(requests(number), until, taken)

            if isinstance(address, Path):
                _, made = await loop.create_unix_connection(protocol, str(address))
            else:
                _, made = await loop.create_connection(protocol, *address)
            waiting.append(made.done)
        await asyncio.gather(*waiting)
        return taken

    return uvloop.run(run())
