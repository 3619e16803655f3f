"""The gateway as the stack's command sees it: routes in, a listening port out."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from parley_stack.keys import Keys
from parley_stack.ports import PortTaken, holder

from . import answers
from .client import ClientConnection
from .credentials import KeyRule
from .pool import Pool
from .routes import Route

_BACKLOG = 1024
_STOP_SECONDS = 5.0


class SocketAcceptor(Protocol):
    """The realtime server's side of a WebSocket that the gateway accepted."""

    def new_socket(self) -> asyncio.Protocol:
        """A protocol that will be given the transport, and the request's bytes as received."""


class Destination(NamedTuple):
    """A route, prepared: where to, how much of the path to drop, and the constant header lines."""

    pool: Pool
    skipped: int
    forwarded: bytes


class Switchboard:
    """What all connections of a gateway share."""

    def __init__(
        self, routes: Sequence[Route], keys: Keys, realtime: SocketAcceptor | None
    ) -> None:
        self.key_rule = KeyRule(keys)
        self.realtime = realtime
        self.clients: set[ClientConnection] = set()
        self.is_stopping = False
        self.is_empty = asyncio.Event()
        self.pools: list[Pool] = []
        self._routes = sorted(routes, key=lambda route: len(route.prefix), reverse=True)
        self._destinations: list[tuple[bytes, Destination]] = []

    def prepare(self, port: int) -> None:
        """Makes the pools; ``port`` is the one the gateway listens on."""
        by_upstream = {route.upstream: Pool(route.upstream) for route in self._routes}
        self.pools = list(by_upstream.values())
        for route in self._routes:
            prefix = route.prefix.encode()
            forwarded = (
                b"X-Forwarded-Proto: http\r\nX-Forwarded-Port: %d\r\n"
                b"X-Forwarded-Prefix: %b/\r\n\r\n" % (port, prefix)
            )
            destination = Destination(by_upstream[route.upstream], len(prefix), forwarded)
            self._destinations.append((prefix, destination))

    def destination(self, url: bytes) -> Destination | None:
        """Where the request for ``url`` (a path and a query) goes."""
        for prefix, destination in self._destinations:
            if url.startswith(prefix) and url[len(prefix) : len(prefix) + 1] in (b"/", b"?", b""):
                return destination
        return None

    def local_answer(self, url: bytes) -> bytes:
        """The answer to a request that no route takes."""
        path = url.partition(b"?")[0]
        if path in (b"/", b"/health"):
            return answers.HEALTH
        if path == b"/graphql/v1" or path.startswith(b"/graphql/v1/"):
            return answers.NO_GRAPHQL
        return answers.NO_ROUTE

    def forget(self, client: ClientConnection) -> None:
        """``client`` is closed, or no longer the gateway's."""
        self.clients.discard(client)
        if not self.clients:
            self.is_empty.set()


class Gateway:
    """Serves ``routes`` on one port. ``realtime`` None: WebSockets are refused."""

    def __init__(
        self, routes: Sequence[Route], keys: Keys, realtime: SocketAcceptor | None = None
    ) -> None:
        self._board = Switchboard(routes, keys, realtime)
        self._server: asyncio.Server | None = None
        self.port = 0
        """The port listened on, once started."""

    async def start(self, host: str, port: int) -> None:
        """Listens; port 0 takes a free one. Raises PortTaken."""
        loop = asyncio.get_running_loop()
        board = self._board
        try:
            self._server = await loop.create_server(
                lambda: ClientConnection(board), host, port, backlog=_BACKLOG, start_serving=False
            )
            self.port = self._server.sockets[0].getsockname()[1]
            board.prepare(self.port)
            await self._server.start_serving()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise PortTaken(port, holder(port)) from error

    async def stop(self, deadline_seconds: float = _STOP_SECONDS) -> None:
        """Stops accepting, lets requests under way end until the deadline, closes everything.

        WebSockets that were handed over are the realtime server's to close.
        """
        board = self._board
        if self._server is not None:
            self._server.close()
            self._server = None
        board.is_stopping = True
        for client in list(board.clients):
            client.wind_down()
        if board.clients:
            board.is_empty.clear()
            try:
                await asyncio.wait_for(board.is_empty.wait(), deadline_seconds)
            except TimeoutError:
                for client in list(board.clients):
                    client.transport.abort()
                await asyncio.wait_for(board.is_empty.wait(), deadline_seconds)
        for pool in board.pools:
            pool.close()
        await asyncio.sleep(0)  # lets the transports tell their protocols
