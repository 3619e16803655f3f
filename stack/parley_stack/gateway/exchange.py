"""One request and its answer: where a client's connection and an upstream's meet."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from . import answers

if TYPE_CHECKING:
    from .client import ClientConnection
    from .pool import Pool
    from .upstream import UpstreamConnection


class Exchange:
    """The state of one request. The client's side fills it; the upstream's side answers it.

    ``pending`` holds what the client sent and the upstream was not given yet. It stays small: the
    client is not read from while its request has no upstream connection, or a congested one.
    """

    __slots__ = (
        "_method",
        "_url",
        "answer",
        "client",
        "connection",
        "has_answered",
        "is_chunked",
        "is_head",
        "is_http10",
        "is_over",
        "is_received",
        "keep_alive",
        "pending",
        "pool",
        "timer",
    )

    def __init__(self, client: ClientConnection, method: bytes, url: bytes) -> None:
        self.client = client
        self._method = method
        self._url = url
        self.pool: Pool | None = None
        self.answer = b""
        """The gateway's own response, if it does not go upstream."""
        self.pending: list[bytes] = []
        self.connection: UpstreamConnection | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.keep_alive = True
        self.is_head = False
        self.is_http10 = False
        self.is_chunked = False
        self.is_received = False
        """The request is complete."""
        self.has_answered = False
        """Some of the response was sent."""
        self.is_over = False
        """Answered, or the client is gone."""

    @property
    def name(self) -> str:
        """Method and path for the log; no query, because tokens live there."""
        return b" ".join((self._method, self._url.partition(b"?")[0])).decode(errors="replace")

    # From the client.

    def begin(self) -> None:
        """It is this request's turn."""
        if self.pool is None:
            self.reply(self.answer)
        else:
            self.pool.acquire(self)

    def body(self, data: bytes) -> None:
        """More of the request's body, without its framing."""
        if self.is_over:
            return
        self.pending.append(b"%x\r\n%b\r\n" % (len(data), data) if self.is_chunked else data)

    def received(self) -> None:
        """The request is complete."""
        self.is_received = True
        if self.is_chunked and not self.is_over:
            self.pending.append(b"0\r\n\r\n")

    def flush(self) -> None:
        """Gives the upstream what is pending, once there is an upstream."""
        connection, pending = self.connection, self.pending
        if connection is not None:
            connection.transport.write(pending[0] if len(pending) == 1 else b"".join(pending))
            pending.clear()

    def cancel(self) -> None:
        """The client is gone: ends what the upstream is doing for it."""
        self.is_over = True
        self.pending.clear()
        self._stop_timer()
        if self.connection is not None:
            self.connection.abandon()
            self.connection = None
        elif self.pool is not None:
            self.pool.forget(self)

    # From the upstream.

    def attach(self, connection: UpstreamConnection) -> None:
        """``connection`` is this request's until it is answered."""
        self._stop_timer()
        self.connection = connection
        if self.client.is_congested:
            connection.pause()
        if self.pending:
            self.flush()
        if not self.is_received:
            self.client.update_reading()

    def send(self, data: bytes) -> None:
        """Some of the response, as the client shall have it."""
        self.has_answered = True
        self.client.transport.write(data)

    def finish(self) -> None:
        """The response is complete; the upstream connection is already somebody else's."""
        self.is_over = True
        self.connection = None
        self.pending.clear()
        self.client.finished(self)

    def fail(self, response: bytes) -> None:
        """There will be no (complete) response from the upstream."""
        self._stop_timer()
        self.connection = None
        if self.has_answered:
            self.is_over = True
            self.client.cut()
        else:
            self.reply(response)

    def reply(self, response: bytes) -> None:
        """Answers with the gateway's own ``response``."""
        if self.is_head:
            response = answers.without_body(response)
        self.send(response if self.keep_alive else answers.closing(response))
        self.finish()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
