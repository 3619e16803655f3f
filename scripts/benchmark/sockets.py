"""Many Realtime sockets in one process, which read no more of a frame than when it was sent."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from parley_stack.testing import Stack

# A message's body is this mark and the clock's nanoseconds when it was sent.
MARK = "sent-at-"
_SENT = re.compile(rb"sent-at-(\d+)")
_JOIN_SECONDS = 120
_AT_ONCE = 20


def stamp() -> str:
    """The body of a message sent now."""
    return f"{MARK}{time.monotonic_ns()}"


@dataclass(frozen=True)
class Join:
    """A topic, and whose token joins it; with a table, for its changes."""

    topic: str
    token: str
    changes: Sequence[dict[str, str]] = ()

    def frame(self) -> dict[str, Any]:
        """The message that joins."""
        config: dict[str, Any] = {
            "broadcast": {"ack": False, "self": False},
            "presence": {"enabled": False},
            "private": not self.changes,
        }
        if self.changes:
            config["postgres_changes"] = list(self.changes)
        return {
            "topic": f"realtime:{self.topic}",
            "event": "phx_join",
            "payload": {"config": config, "access_token": self.token},
            "ref": "1",
            "join_ref": "1",
        }


@dataclass
class Crowd:
    """Sockets that have joined: ``seen`` has the milliseconds that each delivery took."""

    expected: int
    seen: list[float] = field(default_factory=list)
    joined: int = 0
    joining: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    sockets: list[_Socket] = field(default_factory=list)

    def one_joined(self) -> None:
        """Hears of a socket."""
        self.joined += 1
        self.joining.release()
        if self.joined == self.expected:
            self.ready.set()

    def close(self) -> None:
        """Drops all connections."""
        for socket in self.sockets:
            socket.transport.abort()


class _Socket(asyncio.Protocol):
    """A WebSocket client by hand: thousands of deliveries a second leave time for little else."""

    def __init__(self, crowd: Crowd, key: str, join: Join) -> None:
        self.crowd = crowd
        self.key = key
        self.join = join
        self.buffer = b""
        self.is_open = False
        self.transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.WriteTransport", transport)
        nonce = base64.b64encode(os.urandom(16)).decode()
        self.transport.write(
            f"GET /realtime/v1/websocket?apikey={self.key}&vsn=1.0.0 HTTP/1.1\r\n"
            "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        at = time.monotonic_ns()
        data = self.buffer + data
        if not self.is_open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self.buffer = head
                return
            assert b" 101 " in head[:20], head
            self.is_open = True
            self._send(self.join.frame())
        start = 0
        while place := _frame_place(data, start):
            self._frame(data[slice(*place)], at)
            start = place[1]
        self.buffer = data[start:]

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode()
        size = len(data)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        # A mask of zeros leaves what it masks.
        self.transport.write(head + bytes(4) + data)

    def _frame(self, frame: bytes, at: int) -> None:
        sent = _SENT.search(frame)
        if sent:
            self.crowd.seen.append((at - int(sent[1])) / 1e6)
        elif b'"phx_reply"' in frame:
            assert b'"status":"ok"' in frame.replace(b" ", b""), frame
            if not self.join.changes:
                self.crowd.one_joined()
        elif b"Subscribed to PostgreSQL" in frame:
            self.crowd.one_joined()


def _frame_place(data: bytes, start: int) -> tuple[int, int] | None:
    """Where the body of the frame at ``start`` begins and ends; None when it is not all here."""
    if len(data) - start < 2:
        return None
    length, body = data[start + 1], start + 2
    if length >= 126:
        width = 2 if length == 126 else 8
        if len(data) < body + width:
            return None
        length = int.from_bytes(data[body : body + width], "big")
        body += width
    return (body, body + length) if len(data) >= body + length else None


async def gather(stack: Stack, joins: Sequence[Join]) -> Crowd:
    """Connects and joins them all."""
    crowd = Crowd(len(joins))
    at = urlsplit(stack.api_url)
    loop = asyncio.get_running_loop()
    assert at.hostname is not None
    assert at.port is not None
    for join in joins:
        # A few at a time, as clients come.
        await asyncio.wait_for(crowd.joining.acquire(), _JOIN_SECONDS)
        _, made = await loop.create_connection(
            lambda join=join: _Socket(crowd, stack.publishable_key, join),  # type: ignore[misc]
            at.hostname,
            at.port,
        )
        crowd.sockets.append(made)
    await asyncio.wait_for(crowd.ready.wait(), _JOIN_SECONDS)
    return crowd
