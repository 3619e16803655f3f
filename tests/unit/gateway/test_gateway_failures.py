"""What happens when a client or an upstream goes away, is late, or sends nonsense."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from typing import TYPE_CHECKING

import pytest

from parley_stack.gateway import Upstream
from parley_stack.gateway.pool import Pool
from parley_stack.ports import free_port

if TYPE_CHECKING:
    from .conftest import Request, World


def hang_up(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        with socket.socket(fileno=os.dup(writer.get_extra_info("socket").fileno())) as handle:
            handle.shutdown(socket.SHUT_RDWR)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


def error(body: bytes) -> str:
    """The code of an error answer, whose shape is checked."""
    document = json.loads(body)
    assert document.keys() == {"code", "message", "details", "hint"}
    assert document["message"]
    assert document["hint"]
    return str(document["code"])


class TestUpstream:
    async def test_that_does_not_exist_is_unreachable(self, world: World) -> None:
        await world.start(Upstream.unix(world.folder / "none"))
        client = await world.client()
        for _ in range(2):
            response = await client.ask("/rest/v1/a", method="POST", body=b"x")
            assert response.status == 503
            assert error(response.body) == "upstream_unreachable"

    async def test_on_a_closed_port_is_unreachable(self, world: World) -> None:
        await world.start(Upstream.tcp("127.0.0.1", free_port()))
        assert (await (await world.client()).ask("/rest/v1/a")).status == 503

    async def test_on_a_port_is_served(self, world: World) -> None:
        service = await world.service()
        assert service.server is not None

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        await world.start(Upstream.tcp("127.0.0.1", server.sockets[0].getsockname()[1]))
        assert (await (await world.client()).ask("/rest/v1/a")).body == b"hello"
        server.close()

    async def test_that_closes_before_it_answers_is_broken_and_not_asked_again(
        self, world: World
    ) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            await request.body()
            writer.transport.abort()

        service = await world.service(handler)
        client = await world.client()
        response = await client.ask("/rest/v1/a", method="POST", body=b"x")
        assert response.status == 502
        assert error(response.body) == "upstream_broken"
        assert len(service.requests) == 1
        assert (await client.ask("/health")).status == 200

    async def test_that_answers_nonsense_is_broken(self, world: World) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.com ESMTP\r\n\r\n")

        await world.service(handler)
        assert (await (await world.client()).ask("/rest/v1/a")).status == 502

    @pytest.mark.parametrize(
        "opening",
        [
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        ],
    )
    async def test_that_dies_in_the_middle_ends_the_client(
        self, world: World, opening: bytes
    ) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(opening)
            await writer.drain()
            await asyncio.sleep(0)
            writer.transport.abort()

        await world.service(handler)
        client = await world.client()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await client.ask("/rest/v1/a")
        assert await client.at_end()

    async def test_that_was_restarted_is_found_again(self, world: World) -> None:
        service = await world.service()
        client = await world.client()
        assert (await client.ask("/rest/v1/a")).status == 200
        await service.stop()
        await service.start()
        assert (await client.ask("/rest/v1/a")).status == 200

    async def test_an_idle_connection_found_closed_is_replaced(self, world: World) -> None:
        service = await world.service()
        clients = [await world.client() for _ in range(5)]
        await asyncio.gather(*(client.ask("/rest/v1/a") for client in clients))
        for _ in range(10):
            # Closed in the kernel, without a turn of the loop: the gateway was not told.
            for writer in service.writers:
                hang_up(writer)
            assert (await clients[0].ask("/rest/v1/a", method="POST", body=b"x")).status == 200

    async def test_more_bytes_than_announced_are_not_passed_on(self, world: World) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(OK + b"HTTP/1.1 200 OK\r\n\r\nsmuggled")

        await world.service(handler)
        client = await world.client()
        for _ in range(3):
            assert (await client.ask("/rest/v1/a")).body == b"hello"

    async def test_more_after_the_last_chunk_is_not_passed_on(self, world: World) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            writer.write(chunked + chunked)

        await world.service(handler)
        client = await world.client()
        for _ in range(3):
            assert (await client.ask("/rest/v1/a")).status == 502

    async def test_an_answer_before_the_end_of_the_request_arrives(self, world: World) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
            await writer.drain()
            writer.close()

        await world.service(handler)
        client = await world.client()
        client.send(b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nContent-Length: 3000000\r\n\r\n")
        assert (await client.response()).status == 413
        client.send(bytes(3_000_000))
        assert (await client.ask("/health")).status == 200

    async def test_requests_wait_for_a_connection_in_order(self, world: World) -> None:
        gate, order = asyncio.Event(), []

        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            await gate.wait()
            order.append(request.line.split(" ")[1])
            writer.write(OK)

        service = await world.service(handler, connections=2)
        clients = [await world.client() for _ in range(8)]
        asked = []
        for number, client in enumerate(clients):
            asked.append(asyncio.create_task(client.ask(f"/rest/v1/{number}")))
            wanted = min(number + 1, 2)
            await world.until(lambda wanted=wanted: len(service.requests) >= wanted)  # type: ignore[misc]
            await asyncio.sleep(0)
        await clients[3].close()
        gate.set()
        await asyncio.gather(*asked, return_exceptions=True)
        assert sorted(order[:2]) == ["/0", "/1"]
        assert [path for path in order if path not in ("/0", "/1", "/3")] == [
            "/2",
            "/4",
            "/5",
            "/6",
            "/7",
        ]
        assert len(service.writers) == 2

    async def test_waiting_ends(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Pool.__init__, "__defaults__", (0.05,))

        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            await request.reader.read()

        await world.service(handler, connections=1)
        first, second = await world.client(), await world.client()
        first.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n")
        await world.until(lambda: world.services[0].requests)
        response = await second.ask("/rest/v1/b")
        assert response.status == 504
        assert error(response.body) == "upstream_busy"

    async def test_trouble_is_logged_without_secrets(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await world.start(Upstream.unix(world.folder / "none"))
        with caplog.at_level(logging.DEBUG, "parley_stack.gateway"):
            await (await world.client()).ask("/auth/v1/verify?token=hush", "apikey: hush")
        assert "GET /auth/v1/verify" in caplog.text
        assert "hush" not in caplog.text


class TestClient:
    @pytest.mark.parametrize("is_streaming", [False, True])
    async def test_that_leaves_ends_the_work_for_it(self, world: World, is_streaming: bool) -> None:
        async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
            if is_streaming:
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
            assert await request.reader.read() == b""
            writer.transport.abort()

        service = await world.service(handler)
        client = await world.client()
        client.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n")
        await world.until(lambda: service.requests)
        await client.close()
        await world.until(lambda: service.open == 0)

    async def test_that_leaves_in_the_middle_of_an_upload_ends_the_work_for_it(
        self, world: World
    ) -> None:
        service = await world.service()
        client = await world.client()
        client.send(b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\nabc")
        await world.until(lambda: service.requests)
        await client.close()
        await world.until(lambda: service.open == 0)

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"GET /rest/v1/a HTTP/9.9\r\n\r\n",
            b"GET /rest/v1/a HTTP/1.1\r\nBad Header: x\r\n\r\n",
            b"GET /rest/v1/a HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST /rest/v1/a HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            b"POST /rest/v1/a HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /rest/v1/a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ],
    )
    async def test_that_speaks_no_http_is_refused(self, world: World, nonsense: bytes) -> None:
        await world.service()
        client = await world.client()
        client.send(nonsense)
        response = await client.response()
        assert response.status == 400
        assert error(response.body) == "malformed_request"
        assert await client.at_end()

    async def test_nonsense_after_requests_is_refused_after_their_answers(
        self, world: World
    ) -> None:
        await world.service()
        client = await world.client()
        client.send(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\n\r\n" * 2 + b"???\r\n\r\n")
        assert [(await client.response()).status for _ in range(3)] == [200, 200, 400]
        assert await client.at_end()

    @pytest.mark.parametrize("size", [65_600, 300_000, 3_000_000])
    async def test_a_head_that_is_too_large_is_refused(self, world: World, size: int) -> None:
        service = await world.service()
        client = await world.client()
        client.send(b"GET /rest/v1/a HTTP/1.1\r\nX: " + b"x" * size + b"\r\n\r\n")
        response = await client.response()
        assert response.status == 431
        assert error(response.body) == "request_head_too_large"
        assert service.requests == []

    async def test_a_large_head_passes(self, world: World) -> None:
        service = await world.service()
        value = "x" * 60_000
        assert (await (await world.client()).ask("/rest/v1/a", f"X: {value}")).status == 200
        assert service.requests[0].header("x") == value

    async def test_an_offer_of_another_protocol_is_declined(self, world: World) -> None:
        service = await world.service()
        client = await world.client()
        for _ in range(2):
            response = await client.ask(
                "/rest/v1/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"
            )
            assert response.body == b"hello"
        assert service.requests[0].header("upgrade") is None

    async def test_requests_in_single_bytes_are_understood(self, world: World) -> None:
        await world.service()
        client = await world.client()
        for byte in b"POST /rest/v1/a HTTP/1.1\r\nHost: s\r\nContent-Length: 3\r\n\r\nabc":
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.response()).body == b"helloabc"
