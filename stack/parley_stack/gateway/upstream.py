"""A connection to an upstream: forwards responses as they come.

Only the head is looked into. A body is counted when its length is known, and goes through a parser
when it is chunked, to see where it ends; either way its bytes are sent on unchanged.
"""

from __future__ import annotations

import asyncio
import logging
import select
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

import httptools

from . import answers
from .heads import LIMIT, BadHeadError, ResponseHead

if TYPE_CHECKING:
    from .exchange import Exchange
    from .pool import Pool

_CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_INTERIM = 200
_NO_BODY = (204, 304)
_HANGUP = select.POLLIN | select.POLLHUP | select.POLLERR

_log = logging.getLogger("parley_stack.gateway")


class _Body(Enum):
    """Where the response is."""

    HEAD = auto()
    COUNTED = auto()
    CHUNKED = auto()
    UNCHUNKED = auto()
    """Chunked upstream, sent on without chunks to a client of HTTP/1.0."""
    UNTIL_CLOSE = auto()


_CHUNKED_BODIES = (_Body.CHUNKED, _Body.UNCHUNKED)


class _ChunkEnd:
    """Finds the end of a chunked body; callbacks of a parser that may be used again."""

    __slots__ = ("has_excess", "is_complete")

    def __init__(self) -> None:
        self.is_complete = False
        self.has_excess = False
        """Something came after the end."""

    def on_message_begin(self) -> None:
        self.has_excess = self.is_complete

    def on_message_complete(self) -> None:
        self.is_complete = True


class _ChunkData(_ChunkEnd):
    """Finds the data of a chunked body, too."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        super().__init__()
        self.data: list[bytes] = []

    def on_body(self, data: bytes) -> None:
        self.data.append(data)


class UpstreamConnection(asyncio.Protocol):
    """One connection of a pool; serves one exchange at a time."""

    __slots__ = (
        "_body",
        "_buffer",
        "_chunks",
        "_exchange",
        "_is_lost",
        "_is_paused",
        "_keeps",
        "_left",
        "_parser",
        "_poll",
        "_pool",
        "is_congested",
        "transport",
    )

    def __init__(self, pool: Pool) -> None:
        self.transport: asyncio.Transport
        self.is_congested = False
        """The upstream does not take the request's body as fast as it comes."""
        self._pool = pool
        self._exchange: Exchange | None = None
        self._poll = select.poll()
        self._body = _Body.HEAD
        self._buffer = b""
        self._left = 0
        self._chunks: _ChunkEnd | None = None
        self._parser: httptools.HttpResponseParser
        self._keeps = True
        self._is_paused = False
        self._is_lost = False

    # From the pool and the exchange.

    def is_usable(self) -> bool:
        """Whether the upstream still holds an idle connection open, as far as the kernel knows."""
        return not self._is_lost and not self._poll.poll(0)

    def begin(self, exchange: Exchange) -> None:
        """Serves ``exchange``."""
        if self._is_lost:
            exchange.fail(answers.UNREACHABLE)
            return
        self._exchange = exchange
        exchange.attach(self)

    def abandon(self) -> None:
        """Ends the connection, and with it whatever the upstream still does for its request."""
        self._exchange = None
        self._lose()
        self.transport.abort()

    def pause(self) -> None:
        """The client is congested."""
        if not self._is_paused and not self.transport.is_closing():
            self._is_paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """The client is no longer congested."""
        if self._is_paused and not self.transport.is_closing():
            self._is_paused = False
            self.transport.resume_reading()

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._poll.register(transport.get_extra_info("socket").fileno(), _HANGUP)

    def pause_writing(self) -> None:
        self.is_congested = True
        if self._exchange is not None:
            self._exchange.client.update_reading()

    def resume_writing(self) -> None:
        self.is_congested = False
        if self._exchange is not None:
            self._exchange.client.update_reading()

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:  # nobody asked
            self.abandon()
            return
        try:
            if self._body is _Body.HEAD:
                self._receive_head(exchange, data)
            else:
                self._receive_body(exchange, data, b"")
        except (BadHeadError, httptools.HttpParserError) as error:
            self._break(exchange, f"malformed response ({type(error).__name__})")

    def connection_lost(self, error: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None and self._body is _Body.UNTIL_CLOSE and error is None:
            self._keeps = False
            self._finish(exchange)
        elif exchange is not None:
            self._break(exchange, "connection closed before the end of the response")
        self._lose()

    # The response.

    def _receive_head(self, exchange: Exchange, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > LIMIT:
                    raise BadHeadError
                self._buffer = data
                return
            head = ResponseHead(data[:end], keeps_cors=self._pool.upstream.answers_preflights)
            if head.status >= _INTERIM:
                break
            if not exchange.is_http10:
                exchange.client.transport.write(data[: end + 4])
            data = data[end + 4 :]
        self._buffer = b""
        self._keeps = head.keeps_connection
        self._choose_body(exchange, head)
        if self._body is _Body.UNTIL_CLOSE:
            exchange.keep_alive = False
        opening = head.for_client(
            is_closing=not exchange.keep_alive, is_unchunked=self._body is _Body.UNCHUNKED
        )
        self._receive_body(exchange, data[end + 4 :], opening)

    def _choose_body(self, exchange: Exchange, head: ResponseHead) -> None:
        if exchange.is_head or head.status in _NO_BODY:
            self._body, self._left = _Body.COUNTED, 0
        elif head.is_chunked:
            self._expect_chunks(with_data=exchange.is_http10)
        elif head.length is not None:
            self._body, self._left = _Body.COUNTED, head.length
        else:
            self._body = _Body.UNTIL_CLOSE

    def _expect_chunks(self, *, with_data: bool) -> None:
        self._body = _Body.UNCHUNKED if with_data else _Body.CHUNKED
        if self._chunks is None or with_data or isinstance(self._chunks, _ChunkData):
            self._chunks = _ChunkData() if with_data else _ChunkEnd()
            self._parser = httptools.HttpResponseParser(self._chunks)
        self._chunks.is_complete = False
        self._parser.feed_data(_CHUNKED_HEAD)

    def _receive_body(self, exchange: Exchange, data: bytes, opening: bytes) -> None:
        """Sends ``opening`` and then ``data`` on; finishes when ``data`` ends the response."""
        body, chunks = self._body, self._chunks
        is_complete = False
        if chunks is not None and body in _CHUNKED_BODIES:
            self._parser.feed_data(data)
            is_complete = chunks.is_complete
            if chunks.has_excess:
                raise BadHeadError
            if isinstance(chunks, _ChunkData):
                data = b"".join(chunks.data)
                chunks.data.clear()
        elif body is _Body.COUNTED:
            if len(data) > self._left:  # more than was announced: not to be trusted further
                data = data[: self._left]
                self._keeps = False
            self._left -= len(data)
            is_complete = self._left == 0
        if opening or data:
            exchange.send(opening + data)
        if is_complete:
            self._finish(exchange)

    def _finish(self, exchange: Exchange) -> None:
        self._exchange = None
        self._body = _Body.HEAD
        self.resume()
        if self._keeps and exchange.is_received and not self.is_congested:
            self._pool.release(self)
        else:
            self.abandon()
        exchange.finish()

    def _break(self, exchange: Exchange, reason: str) -> None:
        _log.warning("%s: %s: %s", exchange.name, self._pool.upstream, reason)
        self.abandon()
        exchange.fail(answers.BROKEN)

    def _lose(self) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._pool.lost(self)
