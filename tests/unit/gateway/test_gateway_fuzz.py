"""Random bytes from either side: never an unhandled exception, never a hanging connection."""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from parley_stack.gateway import Gateway, Route, Upstream
from parley_stack.keys import Keys

PIECES = st.sampled_from(
    [
        b"GET /rest/v1/a HTTP/1.1\r\n",
        b"POST /rest/v1/a HTTP/1.1\r\n",
        b"HEAD / HTTP/1.0\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
        b"CONNECT a:1 HTTP/1.1\r\n",
        b"Host: s\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Connection: close, upgrade\r\n",
        b"Upgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"Authorization: Bearer sb_\r\n",
        b" folded\r\n",
        b": empty\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"-1\r\n",
        b"\x00\xff",
        b"\n",
    ]
)


@given(pieces=st.lists(PIECES | st.binary(max_size=20), max_size=12), cut=st.integers(0, 200))
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_is_answered_or_closed(pieces: list[bytes], cut: int) -> None:
    data = b"".join(pieces)
    problems: list[str] = []

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(str(context)))
        gateway = Gateway([Route("/rest/v1", Upstream.unix("/nowhere/at/all"))], Keys(), None)
        await gateway.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(data[:cut])
        await asyncio.sleep(0)
        writer.write(data[cut:])
        writer.write_eof()
        async with asyncio.timeout(10):
            with suppress(ConnectionError):
                answer = await reader.read()
                assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
                status = int(answer[9:12] or 400)
                assert status in (200, 204, 503) or 400 <= status < 500
        writer.transport.abort()
        await gateway.stop()

    asyncio.run(scenario())
    assert problems == []


RESPONSE_PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"HTTP/1.1 999 X\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: -3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"abc",
        b"\x00\xff",
    ]
)


@given(
    pieces=st.lists(RESPONSE_PIECES | st.binary(max_size=20), max_size=10), cut=st.integers(0, 99)
)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_an_upstream_says_the_client_gets_an_end(pieces: list[bytes], cut: int) -> None:
    data = b"".join(pieces)
    problems: list[str] = []

    async def upstream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(data[:cut])
            await asyncio.sleep(0)
            writer.write(data[cut:])
            await writer.drain()
        writer.close()

    async def scenario(folder: str) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(str(context)))
        server = await asyncio.start_unix_server(upstream, f"{folder}/socket")
        gateway = Gateway([Route("/rest/v1", Upstream.unix(f"{folder}/socket"))], Keys(), None)
        await gateway.start("127.0.0.1", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /rest/v1/a HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.")
        writer.transport.abort()
        await gateway.stop()
        server.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(folder))
    assert problems == []
