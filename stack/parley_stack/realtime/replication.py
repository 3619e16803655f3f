"""A logical replication stream that comes back by itself.

One connection, one temporary slot: when either side dies nothing is left behind that would hold
back the log, and changes committed while there is no stream are not seen. psycopg has no
replication interface, so the copy stream is driven through libpq (``psycopg.pq``).
Source: PostgreSQL, "Streaming Replication Protocol".
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable

import psycopg
from psycopg import AsyncConnection, pq

_log = logging.getLogger(__name__)

_STATUS_SECONDS = 10.0
_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 1.0
_CONNECT_TIMEOUT_SECONDS = 5
_MESSAGES_PER_TURN = 200
"""Messages handled before other work of the event loop gets its turn."""

_POSTGRES_EPOCH = 946_684_800
_DATA_HEADER = struct.Struct("!cQQq")
_KEEPALIVE = struct.Struct("!cQqB")
_STATUS = struct.Struct("!cQQQqB")


class ReplicationStream:
    """Streams ``publications`` and hands every pgoutput message to ``receive``, in commit order.

    ``begin`` is called before the first message of each new stream: relations are told anew.
    ``live`` is set while changes committed from now on will be seen.
    """

    def __init__(
        self,
        conninfo: str,
        publications: str,
        begin: Callable[[], None],
        receive: Callable[[bytes], None],
    ) -> None:
        self.live = asyncio.Event()
        self._conninfo = conninfo
        self._publications = publications
        self._begin = begin
        self._receive = receive

    async def run(self) -> None:
        """Stream until cancelled; reconnects with growing pauses."""
        pause = _FIRST_RETRY_SECONDS
        level = logging.WARNING
        while True:
            try:
                await self._stream()
            except (psycopg.Error, OSError, ValueError) as error:
                if self.live.is_set():
                    pause, level = _FIRST_RETRY_SECONDS, logging.WARNING
                _log.log(level, "replication stream ended: %s", error)
                level = logging.DEBUG  # one warning per outage
            finally:
                self.live.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LAST_RETRY_SECONDS)

    async def _stream(self) -> None:
        connection = await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            replication="database",
            application_name="realtime_replication",
            connect_timeout=_CONNECT_TIMEOUT_SECONDS,
        )
        try:
            slot = f"{self._publications}_{secrets.token_hex(8)}"[:63]
            await connection.execute(
                f"CREATE_REPLICATION_SLOT {slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT"
            )
            stream = _CopyStream(connection.pgconn, self._receive)
            await stream.start(
                f"START_REPLICATION SLOT {slot} LOGICAL 0/0"
                f" (proto_version '1', publication_names '{self._publications}')"
            )
            self._begin()
            self.live.set()
            await stream.finished()
        finally:
            await connection.close()


class _CopyStream:
    """The copy-both phase of one connection, driven by the event loop's reader callbacks."""

    def __init__(self, pgconn: pq.abc.PGconn, receive: Callable[[bytes], None]) -> None:
        self._pgconn = pgconn
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._end: asyncio.Future[None] = self._loop.create_future()
        self._lsn = 0
        self._timer: asyncio.TimerHandle

    async def start(self, command: str) -> None:
        """Send START_REPLICATION and wait until the server streams."""
        self._pgconn.send_query(command.encode())
        readable = asyncio.Event()
        self._loop.add_reader(self._pgconn.socket, readable.set)
        try:
            if self._pgconn.flush():
                raise psycopg.OperationalError("the server does not read")
            while self._pgconn.is_busy():
                await readable.wait()
                readable.clear()
                self._pgconn.consume_input()
        finally:
            self._loop.remove_reader(self._pgconn.socket)
        result = self._pgconn.get_result()
        if result is None or result.status != pq.ExecStatus.COPY_BOTH:
            raise psycopg.OperationalError("the server does not stream")

    async def finished(self) -> None:
        """Stream until the connection ends, which raises."""
        socket = self._pgconn.socket
        self._loop.add_reader(socket, self._on_readable)
        self._timer = self._loop.call_later(_STATUS_SECONDS, self._on_timer)
        self._loop.call_soon(self._drain)
        try:
            await self._end
        finally:
            self._timer.cancel()
            self._loop.remove_reader(socket)
            self._loop.remove_writer(socket)

    def _on_readable(self) -> None:
        try:
            self._pgconn.consume_input()
        except psycopg.Error as error:
            self._fail(error)
            return
        self._drain()

    def _drain(self) -> None:
        """Handle what has arrived, a bounded part of it per turn."""
        if self._end.done():
            return
        try:
            for _ in range(_MESSAGES_PER_TURN):
                size, data = self._pgconn.get_copy_data(1)
                if size == 0:
                    return
                if size < 0:
                    raise psycopg.OperationalError("the server ended the stream")
                self._handle(bytes(data))
        except (psycopg.Error, ValueError, struct.error) as error:
            self._fail(error)
            return
        self._loop.call_soon(self._drain)

    def _handle(self, data: bytes) -> None:
        if data[:1] == b"w":
            _, start, end, _ = _DATA_HEADER.unpack_from(data)
            self._lsn = max(self._lsn, start, end)
            self._receive(data[_DATA_HEADER.size :])
        elif data[:1] == b"k":
            _, end, _, wants_reply = _KEEPALIVE.unpack_from(data)
            self._lsn = max(self._lsn, end)
            if wants_reply:
                self._send_status()

    def _on_timer(self) -> None:
        self._timer = self._loop.call_later(_STATUS_SECONDS, self._on_timer)
        try:
            self._send_status()
        except psycopg.Error as error:
            self._fail(error)

    def _send_status(self) -> None:
        """Tell the server what has been handled, so it may recycle the log."""
        now = int((time.time() - _POSTGRES_EPOCH) * 1_000_000)
        self._pgconn.put_copy_data(_STATUS.pack(b"r", self._lsn, self._lsn, self._lsn, now, 0))
        self._flush()

    def _flush(self) -> None:
        socket = self._pgconn.socket
        if self._pgconn.flush():
            self._loop.add_writer(socket, self._flush)
        else:
            self._loop.remove_writer(socket)

    def _fail(self, error: Exception) -> None:
        if not self._end.done():
            self._end.set_exception(error)
