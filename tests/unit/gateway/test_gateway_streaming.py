"""Bodies in both directions: framing, order, flow control."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Handler, Request, World

MEBIBYTE = 2**20
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 64 * MEBIBYTE
BOUNDED = 8 * MEBIBYTE
"""What may be held in memory while ``LARGE`` bytes pass or wait."""


def scripted(*parts: bytes) -> Handler:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        await request.body()
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    return handler


@pytest.mark.parametrize("size", [0, 1, 1000, 300_000])
async def test_a_counted_body_arrives_and_comes_back(world: World, size: int) -> None:
    await world.service()
    body = bytes(range(256)) * (size // 256 + 1)
    response = await (await world.client()).ask("/rest/v1/a", method="POST", body=body[:size])
    assert response.body == b"hello" + body[:size]


async def test_a_chunked_request_arrives(world: World) -> None:
    service = await world.service()
    client = await world.client()
    client.send(b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
    await asyncio.sleep(0)
    client.send(b"cde\r\n3;ext=1\r\nfgh\r\n0\r\nTrailer: dropped\r\n\r\n")
    assert (await client.response()).body == b"helloabcdefgh"
    assert service.requests[0].header("content-length") is None
    assert (await client.ask("/rest/v1/b")).body == b"hello"


@pytest.mark.parametrize(
    "parts",
    [
        (CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",),
        (CHUNKED[:30], CHUNKED[30:-1], b"\n5\r\nhel", b"lo\r\n0\r\n\r\n"),
        (CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n", b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", b"he", b"llo"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",),
    ],
)
async def test_an_answer_in_pieces_arrives_whole(world: World, parts: tuple[bytes, ...]) -> None:
    service = await world.service(scripted(*parts))
    client = await world.client()
    for _ in range(3):
        response = await client.ask("/rest/v1/a")
        if response.status == 100:
            response = await client.response()
        assert response.body == b"hello"
    assert len(service.writers) == 1


async def test_an_answer_without_length_ends_with_the_connection(world: World) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        await writer.drain()
        writer.close()

    await world.service(handler)
    client = await world.client()
    response = await client.ask("/rest/v1/a")
    assert response.body == b"hello"
    assert response.header("connection") == "close"


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body(world: World, status: int) -> None:
    await world.service(scripted(b"HTTP/1.1 %d X\r\nContent-Length: 7\r\n\r\n" % status))
    client = await world.client()
    for _ in range(2):
        assert (await client.ask("/rest/v1/a")).status == status


async def test_head_has_the_length_and_no_body(world: World) -> None:
    await world.service(scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"))
    client = await world.client()
    for _ in range(2):
        response = await client.ask("/rest/v1/a", method="HEAD")
        assert response.header("content-length") == "7"


async def test_expect_continue_is_answered_by_the_upstream(world: World) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        assert request.header("expect") == "100-continue"
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.body()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

    await world.service(handler)
    client = await world.client()
    head = (
        b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    )
    client.send(head)
    assert (await client.response()).status == 100
    client.send(b"abc")
    assert (await client.response()).body == b"abc"


async def test_a_client_of_http_1_0_gets_no_chunks(world: World) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
    )
    await world.service(scripted(chunked))
    client = await world.client()
    client.send(b"GET /rest/v1/a HTTP/1.0\r\n\r\n")
    response = await client.response()
    assert (response.body, response.header("transfer-encoding")) == (b"hello", None)
    assert response.header("connection") == "close"


async def test_connection_close_is_kept(world: World) -> None:
    service = await world.service()
    client = await world.client()
    response = await client.ask("/rest/v1/a", "Connection: close")
    assert response.header("connection") == "close"
    assert await client.at_end()
    assert service.requests[0].header("connection") is None


async def test_connections_are_used_again(world: World) -> None:
    service = await world.service()
    client = await world.client()
    for _ in range(20):
        assert (await client.ask("/rest/v1/a")).status == 200
    assert len(service.writers) == 1


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    gate = asyncio.Event()

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        body = await request.body()
        await gate.wait()
        name = request.line.split(" ")[1].encode() + body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name))

    await world.service(handler)
    client = await world.client()
    requests = b""
    for number in range(30):
        requests += b"POST /rest/v1/%d HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\nabc" % number
        requests += b"GET /health HTTP/1.1\r\nHost: s\r\n\r\n"
    client.send(requests)
    gate.set()
    for number in range(30):
        assert (await client.response()).body == b"/%dabc" % number
        assert (await client.response()).body == b'{"status": "ok"}'


async def test_many_pipelined_requests_of_the_gateway_itself(world: World) -> None:
    await world.service()
    client = await world.client()
    client.send(b"GET / HTTP/1.1\r\n\r\n" * 20_000)
    for _ in range(20_000):
        assert (await client.response()).status == 200


async def test_an_upload_is_held_back_by_a_slow_upstream(world: World) -> None:
    digest, seen, gate = hashlib.sha256(), 0, asyncio.Event()

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await gate.wait()
        left = int(request.header("content-length") or 0)
        while left:
            data = await request.reader.read(min(left, MEBIBYTE))
            digest.update(data)
            left -= len(data)
            seen += len(data)
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")

    await world.service(handler)
    client = await world.client()
    head = b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nContent-Length: %d\r\n\r\n" % LARGE
    block = bytes(MEBIBYTE)
    tracemalloc.start()
    try:
        client.send(head)
        upload = asyncio.create_task(feed(client.writer, block, LARGE // MEBIBYTE))
        await stalled(client.writer)
        assert tracemalloc.get_traced_memory()[1] < BOUNDED
        gate.set()
        await upload
        assert (await client.response()).status == 201
        assert tracemalloc.get_traced_memory()[1] < BOUNDED
    finally:
        tracemalloc.stop()
    assert seen == LARGE
    assert digest.digest() == hashlib.sha256(bytes(LARGE)).digest()


async def test_a_download_is_held_back_by_a_slow_client(world: World) -> None:
    written = 0

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
        for _ in range(LARGE // MEBIBYTE):
            writer.write(bytes(MEBIBYTE))
            await writer.drain()
            written += MEBIBYTE

    service = await world.service(handler)
    client = await world.client(limit=2**16)
    tracemalloc.start()
    try:
        client.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n")
        await client.reader.readuntil(b"\r\n\r\n")
        await stalled(service.writers[0])
        assert written < LARGE // 2
        left = LARGE
        while left:
            left -= len(await client.reader.read(MEBIBYTE))
        assert tracemalloc.get_traced_memory()[1] < BOUNDED
    finally:
        tracemalloc.stop()
    assert (await client.ask("/health")).status == 200


async def feed(writer: asyncio.StreamWriter, block: bytes, count: int) -> None:
    for _ in range(count):
        writer.write(block)
        await writer.drain()


async def stalled(writer: asyncio.StreamWriter) -> None:
    """Waits until what ``writer`` has buffered has not changed for a while of turns."""
    async with asyncio.timeout(10):
        last, unchanged = -1, 0
        while unchanged < 50:
            await asyncio.sleep(0.002)
            size = writer.transport.get_write_buffer_size()
            unchanged = unchanged + 1 if size == last and size > 0 else 0
            last = size
