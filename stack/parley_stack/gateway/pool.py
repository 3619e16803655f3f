"""The connections to one upstream."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from . import answers
from .exchange import Exchange
from .routes import Upstream
from .upstream import UpstreamConnection

WAIT_SECONDS = 30.0
"""How long a request waits for a connection to become free, and a connection to be accepted."""

_log = logging.getLogger("parley_stack.gateway")


class Pool:
    """Hands connections to requests, oldest request first, and keeps the idle ones open."""

    def __init__(self, upstream: Upstream, wait_seconds: float = WAIT_SECONDS) -> None:
        self.upstream = upstream
        self._wait_seconds = wait_seconds
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[Exchange] = deque()
        self._connecting: set[asyncio.Task[None]] = set()
        self._open = 0

    def acquire(self, exchange: Exchange) -> None:
        """Attaches a connection to ``exchange``, now or later, or fails it."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                connection.begin(exchange)
                return
            connection.abandon()
        if self._open < self.upstream.connections:
            self._connect(exchange)
        else:
            self._waiting.append(exchange)
            loop = asyncio.get_running_loop()
            exchange.timer = loop.call_later(self._wait_seconds, self._expire, exchange)

    def forget(self, exchange: Exchange) -> None:
        """``exchange`` no longer waits."""
        if exchange in self._waiting:
            self._waiting.remove(exchange)

    def release(self, connection: UpstreamConnection) -> None:
        """``connection`` has answered and may be used again."""
        if not self._waiting:
            self._idle.append(connection)
        elif connection.is_usable():
            connection.begin(self._waiting.popleft())
        else:
            connection.abandon()

    def lost(self, connection: UpstreamConnection) -> None:
        """``connection`` is closed or about to be; the longest waiting request gets a new one."""
        self._open -= 1
        if connection in self._idle:
            self._idle.remove(connection)
        if self._waiting:
            self._connect(self._waiting.popleft())

    def close(self) -> None:
        """Closes idle connections and stops opening others."""
        for task in self._connecting:
            task.cancel()
        for connection in list(self._idle):
            connection.abandon()

    def _connect(self, exchange: Exchange) -> None:
        self._open += 1
        task = asyncio.get_running_loop().create_task(self._open_connection(exchange))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _open_connection(self, exchange: Exchange) -> None:
        connection = UpstreamConnection(self)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self.upstream.connect(lambda: connection)
        except (OSError, TimeoutError) as error:
            self._refused(exchange, error)
        else:
            if exchange.is_over:
                self.release(connection)
            else:
                connection.begin(exchange)

    def _refused(self, exchange: Exchange, error: Exception) -> None:
        self._open -= 1
        _log.warning(
            "%s: cannot connect to %s: %s",
            exchange.name,
            self.upstream,
            type(error).__name__,
        )
        if not exchange.is_over:
            exchange.fail(answers.UNREACHABLE)
        if self._waiting:
            self._connect(self._waiting.popleft())

    def _expire(self, exchange: Exchange) -> None:
        self.forget(exchange)
        exchange.fail(answers.BUSY)
