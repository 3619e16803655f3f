"""A client's connection: parses requests and sends each on its way, in order."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from . import answers, cors
from .exchange import Exchange
from .heads import LIMIT
from .request_heads import SPECIAL, Kind, for_upstream, origin_form

if TYPE_CHECKING:
    from .server import Switchboard

_LINGER_SECONDS = 5.0
"""How long a client may go on sending a request that was already answered."""

_WEBSOCKET = b"/realtime/v1/websocket"


class ClientConnection(asyncio.Protocol):
    """One connection of a client; its requests are answered one after the other."""

    __slots__ = (
        "_board",
        "_current",
        "_in_head",
        "_is_advancing",
        "_is_deaf",
        "_is_handed_over",
        "_is_reading",
        "_lines",
        "_linger",
        "_parser",
        "_peer",
        "_queue",
        "_raw",
        "_receiving",
        "_special",
        "_url",
        "is_congested",
        "transport",
    )

    def __init__(self, board: Switchboard) -> None:
        self.transport: asyncio.Transport
        self.is_congested = False
        """The client does not take its response as fast as it comes."""
        self._board = board
        self._parser: httptools.HttpRequestParser | None = httptools.HttpRequestParser(self)
        self._current: Exchange | None = None
        """The request being answered, or answered and still being received."""
        self._queue: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._in_head = True
        self._raw = b""
        """What was received of a head that is not complete."""
        self._url = b""
        self._lines: list[bytes] = []
        self._special: dict[bytes, bytes] = {}
        self._peer = b""
        self._is_reading = True
        self._is_deaf = False
        """What comes is thrown away: the connection is being closed."""
        self._is_advancing = False
        self._is_handed_over = False
        self._linger: asyncio.TimerHandle | None = None

    # From the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = str(peer[0]).encode() if isinstance(peer, tuple) else b"127.0.0.1"
        self._board.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        if self._in_head:
            self._raw = self._raw + data if self._raw else data
        self._feed(data)
        if self._is_handed_over:
            self._hand_over()
            return
        if self._in_head and len(self._raw) > LIMIT and not self._is_deaf:
            self._refuse(answers.HEAD_TOO_LARGE)
        if self._current is None:
            self._advance()
        exchange = self._current
        if exchange is not None:
            if exchange.pending:
                exchange.flush()
            if self._queue or not self._is_reading or not exchange.is_received:
                self.update_reading()

    def pause_writing(self) -> None:
        self.is_congested = True
        if self._current is not None and self._current.connection is not None:
            self._current.connection.pause()

    def resume_writing(self) -> None:
        self.is_congested = False
        if self._current is not None and self._current.connection is not None:
            self._current.connection.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._board.forget(self)
        self._stop_linger()
        self._parser = None
        if self._current is not None:
            self._current.cancel()
            self._current = None
        self._queue.clear()

    # From the exchange and the upstream.

    def update_reading(self) -> None:
        """Reads from the client only while what it sends has somewhere to go."""
        if self.transport.is_closing():
            return
        wanted = not self._queue
        exchange = self._current
        if exchange is not None and not exchange.is_received and not exchange.is_over:
            connection = exchange.connection
            wanted = wanted and connection is not None and not connection.is_congested
        if wanted and not self._is_reading:
            self._is_reading = True
            self.transport.resume_reading()
        elif not wanted and self._is_reading:
            self._is_reading = False
            self.transport.pause_reading()

    def finished(self, exchange: Exchange) -> None:
        """``exchange`` was answered completely."""
        if not exchange.is_received:
            self._drain(exchange)
        elif not exchange.keep_alive or self._board.is_stopping:
            self._current = None
            self.shut()
        else:
            self._current = None
            if not self._is_reading:
                self._advance()
                self.update_reading()

    def cut(self) -> None:
        """Closes in the middle of a response: the client must see that it is not complete."""
        self._is_deaf = True
        self._current = None
        self._queue.clear()
        self.transport.close()

    def shut(self) -> None:
        """Closes after what was written."""
        self._is_deaf = True
        self._queue.clear()
        self.transport.close()

    def wind_down(self) -> None:
        """Closes, after the request under way if there is one."""
        self._queue.clear()
        if self._current is None:
            self.shut()
        else:
            self._current.keep_alive = False

    # From the parser.

    def on_message_begin(self) -> None:
        self._url = b""
        self._lines = [b""]
        self._special = {}

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.lower()
        kind = SPECIAL.get(key)
        if kind is not None:
            known = self._special.get(key)
            self._special[key] = value if known is None else known + b", " + value
        if kind is not Kind.DROPPED:
            self._lines.append(name + b": " + value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        if self._is_deaf or self._parser is None:
            return
        method = self._parser.get_method()
        if b"upgrade" in self._special and self._is_websocket(method):
            self._is_handed_over = True
            return
        exchange = self._route(method, self._parser)
        if len(self._raw) > LIMIT and self._raw.find(b"\r\n\r\n") > LIMIT:
            exchange.pool, exchange.answer = None, answers.HEAD_TOO_LARGE
        self._raw = b""
        self._receiving = exchange
        self._queue.append(exchange)

    def on_body(self, data: bytes) -> None:
        if self._receiving is not None:
            self._receiving.body(data)

    def on_message_complete(self) -> None:
        exchange, self._receiving = self._receiving, None
        self._in_head = True
        if exchange is None:
            return
        exchange.received()
        if exchange.is_over and exchange is self._current:
            self._stop_linger()
            self.finished(exchange)

    # Parts.

    def _feed(self, data: bytes) -> None:
        while self._parser is not None:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Offered, not required: RFC 9110 section 7.8 lets a server go on as if it was not.
                if self._is_handed_over:
                    return
                self._parser = httptools.HttpRequestParser(self)
                data = data[upgrade.args[0] :]
                if data and not self._is_deaf:
                    continue
            except httptools.HttpParserError:
                self._refuse(answers.MALFORMED)
            return

    def _is_websocket(self, method: bytes) -> bool:
        return (
            method == b"GET"
            and self._special[b"upgrade"].lower() == b"websocket"
            and self._url.partition(b"?")[0] == _WEBSOCKET
            and self._board.realtime is not None
            and self._current is None
            and not self._queue
        )

    def _hand_over(self) -> None:
        """The connection becomes the realtime server's, with all that was received."""
        realtime, transport, raw = self._board.realtime, self.transport, self._raw
        self._board.forget(self)
        self._parser = None
        if realtime is None:
            return
        socket = realtime.new_socket()
        transport.set_protocol(socket)
        socket.connection_made(transport)
        socket.data_received(raw)

    def _route(self, method: bytes, parser: httptools.HttpRequestParser) -> Exchange:
        special, board, url = self._special, self._board, self._url
        if not url.startswith(b"/"):
            url = origin_form(url)
        exchange = Exchange(self, method, url)
        keep_alive = parser.should_keep_alive()
        if not keep_alive or b"connection" in special:
            exchange.is_http10 = parser.get_http_version() != "1.1"
            exchange.keep_alive = keep_alive and not exchange.is_http10
        exchange.is_head = method == b"HEAD"
        destination = board.destination(url)
        if (
            method == b"OPTIONS"
            and b"access-control-request-method" in special
            and not (destination and destination.pool.upstream.answers_preflights)
        ):
            exchange.answer = cors.preflight(special.get(b"access-control-request-headers"))
        elif destination is None:
            exchange.answer = board.local_answer(url)
        else:
            exchange.pool = destination.pool
            exchange.is_chunked = b"transfer-encoding" in special
            target = url[destination.skipped :]
            if not target.startswith(b"/"):
                target = b"/" + target
            self._lines[0] = b"%b %b HTTP/1.1" % (method, target)
            authorization = board.key_rule.authorization(
                special.get(b"authorization"), special.get(b"apikey"), url
            )
            exchange.pending.append(
                for_upstream(self._lines, special, authorization, self._peer, destination.forwarded)
            )
        return exchange

    def _refuse(self, response: bytes) -> None:
        """Answers what cannot be understood, after the requests before it, and closes."""
        broken = self._receiving
        if broken is not None and broken is self._current:
            if broken.is_over or broken.has_answered:
                broken.cancel()
                self.cut()
                return
            broken.cancel()
            self._current = None
        elif broken is not None and broken in self._queue:
            self._queue.remove(broken)
        self._receiving = None
        refusal = Exchange(self, b"", b"")
        refusal.answer, refusal.keep_alive = response, False
        self._queue.append(refusal)
        self._is_deaf = True

    def _advance(self) -> None:
        """Begins the next request, and more as long as they are answered at once."""
        if self._is_advancing:
            return
        self._is_advancing = True
        while self._queue and self._current is None:
            self._current = exchange = self._queue.popleft()
            exchange.begin()
        self._is_advancing = False

    def _drain(self, exchange: Exchange) -> None:
        """Reads the rest of an answered request, so that the client gets to reading the answer.

        Closing at once would reset the connection and could take the answer with it.
        """
        if not exchange.keep_alive:
            self._is_deaf = True
            if not self.transport.is_closing():
                self.transport.write_eof()
        loop = asyncio.get_running_loop()
        self._stop_linger()
        self._linger = loop.call_later(_LINGER_SECONDS, self.transport.abort)
        self.update_reading()

    def _stop_linger(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
