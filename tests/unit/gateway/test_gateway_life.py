"""Starting, stopping, and handing a WebSocket to the realtime server."""

from __future__ import annotations

import asyncio
import gc
import os
from typing import TYPE_CHECKING, cast

import pytest

from parley_stack.gateway import Gateway, Route, Upstream
from parley_stack.gateway.client import ClientConnection
from parley_stack.keys import Keys
from parley_stack.ports import PortTaken, free_port, holder

if TYPE_CHECKING:
    from .conftest import Request, World

UPGRADE = (
    b"GET /realtime/v1/websocket?apikey=sb_secret_x&vsn=2.0.0 HTTP/1.1\r\nHost: s\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Echo(asyncio.Protocol):
    """Keeps what it gets, and sends it back after ``>``."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.is_lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.received.append(data)
        self.transport.write(b">" + data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True


class Realtime:
    def __init__(self) -> None:
        self.sockets: list[Echo] = []

    def new_socket(self) -> asyncio.Protocol:
        self.sockets.append(Echo())
        return self.sockets[-1]


def connections() -> int:
    """How many of the gateway's protocols are still in memory."""
    return sum(type(item) is ClientConnection for item in gc.get_objects())


@pytest.fixture
def realtime() -> Realtime:
    return Realtime()


@pytest.mark.parametrize("cut", [1, 60, len(UPGRADE) - 1, None])
async def test_a_websocket_is_handed_over_as_it_came(
    world: World, realtime: Realtime, cut: int | None
) -> None:
    gateway = await world.start(Upstream.unix("/none"), realtime)
    client = await world.client()
    first = UPGRADE + b"frame" if cut is None else UPGRADE
    client.send(first[:cut])
    if cut is not None and cut < len(first):
        await world.until(lambda: any(there._raw for there in gateway._board.clients))
        client.send(first[cut:])
    assert await client.reader.readexactly(len(first) + 1) == b">" + first
    assert realtime.sockets[0].received == [first]
    client.send(b"more")
    assert await client.reader.readexactly(5) == b">more"
    await client.close()
    await world.until(lambda: realtime.sockets[0].is_lost)


async def test_a_websocket_may_follow_requests(world: World, realtime: Realtime) -> None:
    await world.start(Upstream.unix("/none"), realtime)
    client = await world.client()
    assert (await client.ask("/health")).status == 200
    client.send(UPGRADE)
    assert await client.reader.readexactly(len(UPGRADE) + 1) == b">" + UPGRADE


async def test_nothing_of_the_gateway_stays_with_a_websocket(
    world: World, realtime: Realtime
) -> None:
    gateway = await world.start(Upstream.unix("/none"), realtime)
    client = await world.client()
    assert (await client.ask("/health")).status == 200
    assert connections() == 1
    client.send(UPGRADE)
    await client.reader.readexactly(len(UPGRADE) + 1)
    assert gateway._board.clients == set()
    await world.until(lambda: connections() == 0)


@pytest.mark.parametrize(
    "request_head",
    [
        UPGRADE.replace(b"GET", b"POST"),
        UPGRADE.replace(b"/websocket", b"/websockets"),
        UPGRADE.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
    ],
)
async def test_only_the_realtime_path_is_handed_over(
    world: World, realtime: Realtime, request_head: bytes
) -> None:
    await world.start(Upstream.unix("/none"), realtime)
    client = await world.client()
    client.send(request_head)
    assert (await client.response()).status == 404
    assert realtime.sockets == []


async def test_a_taken_port_is_named_with_its_holder(world: World) -> None:
    gateway = await world.start(Upstream.unix("/none"))
    other = Gateway([Route("/rest/v1", Upstream.unix("/none"))], Keys())
    with pytest.raises(PortTaken) as caught:
        await other.start("127.0.0.1", gateway.port)
    assert f"port {gateway.port} is already taken" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)
    assert holder(free_port()) is None


async def test_a_stopped_gateway_can_be_replaced_at_once(world: World) -> None:
    gateway = await world.start(Upstream.unix("/none"))
    client = await world.client()
    assert (await client.ask("/health")).status == 200
    await gateway.stop()
    assert await client.at_end()
    again = Gateway([Route("/rest/v1", Upstream.unix("/none"))], Keys())
    await again.start("127.0.0.1", gateway.port)
    await again.stop()


async def test_stopping_lets_a_request_end(world: World) -> None:
    gate = asyncio.Event()

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    service = await world.service(handler)
    client = await world.client()
    client.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n")
    await world.until(lambda: service.requests)
    stop = asyncio.create_task(world.gateway.stop())
    await asyncio.sleep(0)
    gate.set()
    response = await client.response()
    assert (response.body, response.header("connection")) == (b"hello", "close")
    await stop
    await world.until(lambda: service.open == 0)


async def test_stopping_does_not_wait_for_ever(world: World) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        await request.reader.read()

    service = await world.service(handler)
    client = await world.client()
    client.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n")
    await world.until(lambda: service.requests)
    await world.gateway.stop(deadline_seconds=0.05)
    assert await client.at_end()
    await world.until(lambda: service.open == 0)


def test_a_prefix_must_look_like_one() -> None:
    for prefix in ("rest/v1", "/rest/v1/", ""):
        with pytest.raises(ValueError, match="prefix"):
            Route(prefix, Upstream.unix("/none"))
