"""The copy stream of replication, against a connection that holds what a server has sent."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from parley_stack.realtime import replication
from parley_stack.realtime.replication import ReplicationStream, _CopyStream


class Connection:
    """libpq's connection, as far as a copy stream uses it; only ``wake`` makes it readable."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self.socket = self._ours.fileno()
        self.incoming: deque[bytes] = deque()
        self.sent: list[bytes] = []
        self.is_lost = False

    def wake(self) -> None:
        self._theirs.send(b"x")

    def consume_input(self) -> None:
        self._ours.recv(100)
        if self.is_lost:
            raise psycopg.OperationalError("lost")

    def get_copy_data(self, _: int) -> tuple[int, memoryview]:
        if not self.incoming:
            return 0, memoryview(b"")
        data = self.incoming.popleft()
        return len(data) or -1, memoryview(data)

    def put_copy_data(self, data: bytes) -> int:
        self.sent.append(data)
        return 1

    def flush(self) -> int:
        return 0

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection in the copy phase."""
    connection = Connection()
    yield connection
    connection.close()


def data_message(number: int, body: bytes) -> bytes:
    return struct.pack("!cQQq", b"w", number, number, 0) + body


async def until(condition: Any) -> None:
    """Lets the event loop run until ``condition``, at most some seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 5
    while not condition():
        assert loop.time() < deadline
        turn = loop.create_future()
        loop.call_soon(turn.set_result, None)
        await turn


async def test_everything_buffered_is_handled_without_more_input(connection: Connection) -> None:
    received: list[bytes] = []
    numbers = [str(number).encode() for number in range(1000)]
    connection.incoming.extend(data_message(1, body) for body in numbers)
    stream = asyncio.create_task(_CopyStream(connection, received.append).finished())  # type: ignore[arg-type]
    await until(lambda: len(received) == 1000)
    assert received == numbers
    connection.is_lost = True
    connection.wake()
    with pytest.raises(psycopg.OperationalError, match="lost"):
        await stream


async def test_other_work_gets_its_turn_during_a_long_transaction(connection: Connection) -> None:
    received: list[bytes] = []
    connection.incoming.extend([data_message(1, b"")] * 1000)
    stream = asyncio.create_task(_CopyStream(connection, received.append).finished())  # type: ignore[arg-type]
    await until(lambda: received)
    assert len(received) < 1000
    stream.cancel()
    await asyncio.wait({stream})


async def test_keepalive_is_answered_with_what_was_handled(connection: Connection) -> None:
    connection.incoming.append(data_message(70, b"change"))
    connection.incoming.append(struct.pack("!cQqB", b"k", 80, 0, 0))
    connection.incoming.append(struct.pack("!cQqB", b"k", 75, 0, 1))
    stream = asyncio.create_task(_CopyStream(connection, lambda _: None).finished())  # type: ignore[arg-type]
    await until(lambda: connection.sent)
    [status] = connection.sent
    assert struct.unpack("!cQQQqB", status)[:4] == (b"r", 80, 80, 80)
    stream.cancel()
    await asyncio.wait({stream})


async def test_end_of_the_stream_is_an_error(connection: Connection) -> None:
    connection.incoming.append(b"")
    with pytest.raises(psycopg.OperationalError, match="ended the stream"):
        await _CopyStream(connection, lambda _: None).finished()  # type: ignore[arg-type]


async def test_change_that_cannot_be_read_ends_the_stream(connection: Connection) -> None:
    def receive(_: bytes) -> None:
        raise ValueError("unreadable")

    connection.incoming.append(data_message(1, b"?"))
    with pytest.raises(ValueError, match="unreadable"):
        await _CopyStream(connection, receive).finished()  # type: ignore[arg-type]


async def test_stream_tries_again_while_there_is_no_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = 0

    async def connect(*_: object, **__: object) -> None:
        nonlocal attempts
        attempts += 1
        raise psycopg.OperationalError("no database")

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", connect)
    monkeypatch.setattr(replication, "_FIRST_RETRY_SECONDS", 0.0)
    stream = ReplicationStream("", "p", lambda: None, lambda _: None)
    running = asyncio.create_task(stream.run())
    await until(lambda: attempts >= 3)
    assert not stream.live.is_set()
    running.cancel()
    await asyncio.wait({running})
