"""A gateway before small scripted upstreams on unix sockets, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio
import uvloop

from parley_stack.gateway import Gateway, Route, SocketAcceptor, Upstream
from parley_stack.keys import Keys

DEADLINE = 10.0
Handler = Callable[["Request", asyncio.StreamWriter], Awaitable[None]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class Request:
    """A request as an upstream saw it."""

    line: str
    headers: list[tuple[str, str]]
    reader: asyncio.StreamReader
    connection: int

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    async def body(self) -> bytes:
        if self.header("transfer-encoding") == "chunked":
            return await read_chunks(self.reader)
        return await self.reader.readexactly(int(self.header("content-length") or 0))


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) <= 1, f"{name} was sent {len(values)} times"
        return values[0] if values else None


async def read_head(reader: asyncio.StreamReader) -> tuple[str, list[tuple[str, str]]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    pairs = [line.partition(":") for line in lines[1:]]
    return lines[0], [(name, value.strip()) for name, _, value in pairs]


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int(await reader.readline(), 16)
        chunk = await reader.readexactly(size + 2)
        if size == 0:
            return body
        body += chunk[:-2]


@dataclass
class Service:
    """An upstream that answers with ``handler`` and remembers what it saw."""

    path: Path
    handler: Handler
    requests: list[Request] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    open: int = 0
    server: asyncio.Server | None = None

    async def start(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            for writer in self.writers:
                writer.transport.abort()
            await until(lambda: self.open == 0)
            self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.writers.append(writer)
        number = len(self.writers)
        try:
            while True:
                line, headers = await read_head(reader)
                request = Request(line, headers, reader, number)
                self.requests.append(request)
                await self.handler(request, writer)
                if writer.is_closing():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.transport.abort()


class Client:
    """A client that writes and reads raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def response(self, method: str = "GET") -> Response:
        async with asyncio.timeout(DEADLINE):
            line, headers = await read_head(self.reader)
            response = Response(int(line.split(" ")[1]), headers, b"")
            if method == "HEAD" or response.status in (204, 304) or response.status < 200:
                return response
            if response.header("transfer-encoding") == "chunked":
                response.body = await read_chunks(self.reader)
            elif (length := response.header("content-length")) is not None:
                response.body = await self.reader.readexactly(int(length))
            else:
                response.body = await self.reader.read()
            return response

    async def ask(
        self, path: str, *headers: str, method: str = "GET", body: bytes | None = None
    ) -> Response:
        lines = [f"{method} {path} HTTP/1.1", "Host: stack", *headers]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode() + (body or b""))
        return await self.response(method)

    async def at_end(self) -> bool:
        async with asyncio.timeout(DEADLINE):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True

    async def close(self) -> None:
        self.writer.transport.abort()
        with suppress(ConnectionError):
            await self.writer.wait_closed()


async def until(condition: Callable[[], object]) -> None:
    """Polls ``condition`` until it holds."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - conditions of another task, without an event
            await asyncio.sleep(0.001)


async def hello(request: Request, writer: asyncio.StreamWriter) -> None:
    body = await request.body()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (5 + len(body)))
    writer.write(b"hello" + body)


@dataclass
class World:
    """Makes services, gateways and clients, and ends them."""

    folder: Path
    keys: Keys
    services: list[Service] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    clients: list[Client] = field(default_factory=list)
    gateway: Gateway = field(init=False)

    async def service(self, handler: Handler = hello, *, connections: int = 64) -> Service:
        """One service behind /rest/v1 and /auth/v1, and a gateway before it."""
        service = Service(self.folder / f"service{len(self.services)}", handler)
        self.services.append(service)
        await service.start()
        await self.start(Upstream.unix(service.path, connections=connections))
        return service

    async def start(self, upstream: Upstream, realtime: SocketAcceptor | None = None) -> Gateway:
        routes = [Route("/rest/v1", upstream), Route("/auth/v1", upstream)]
        self.gateway = Gateway(routes, self.keys, realtime)
        self.gateways.append(self.gateway)
        await self.gateway.start("127.0.0.1", 0)
        return self.gateway

    async def client(self, limit: int = 2**16) -> Client:
        pair = await asyncio.open_connection("127.0.0.1", self.gateway.port, limit=limit)
        client = Client(*pair)
        self.clients.append(client)
        return client

    async def until(self, condition: Callable[[], object]) -> None:
        """Polls ``condition`` until it holds."""
        await until(condition)

    async def close(self) -> None:
        for client in self.clients:
            await client.close()
        for gateway in self.gateways:
            await gateway.stop(deadline_seconds=1.0)
        for service in self.services:
            await service.stop()


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys()


@pytest_asyncio.fixture
async def world(tmp_path: Path, keys: Keys) -> AsyncIterator[World]:
    made = World(tmp_path, keys)
    yield made
    await made.close()
