"""A Realtime socket on a transport in memory: handshake, garbage, slow readers, closing."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from parley_stack.keys import Keys
from parley_stack.realtime.server import Realtime
from parley_stack.realtime.settings import RealtimeSettings
from parley_stack.realtime.socket import RealtimeSocket
from parley_stack.realtime.states import SocketState

KEYS = Keys()


class Transport(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False
        self.high = 0

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.high = high or 0

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class Client:
    """A client's side of a socket, without a network."""

    def __init__(self, query: str, headers: str = "", **limits: Any) -> None:
        self.realtime = Realtime(RealtimeSettings(**limits), KEYS, "host=/nonexistent")
        self.socket: RealtimeSocket = self.realtime.new_socket()
        self.transport = Transport()
        self.socket.connection_made(self.transport)
        self.protocol = ClientProtocol(parse_uri("ws://localhost/realtime/v1/websocket?" + query))
        request = self.protocol.connect()
        self.protocol.send_request(request)
        head = b"".join(self.protocol.data_to_send())
        self.socket.data_received(head.replace(b"\r\n\r\n", f"\r\n{headers}\r\n".encode()))

    @property
    def response(self) -> tuple[int, Any]:
        head, _, body = bytes(self.transport.written).partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body) if body else None

    def accept(self) -> Client:
        assert self.response[0] == 101
        self.read()
        return self

    def read(self) -> list[Frame]:
        """Frames written since the last call."""
        self.protocol.receive_data(bytes(self.transport.written))
        self.transport.written.clear()
        return [event for event in self.protocol.events_received() if isinstance(event, Frame)]

    def send(self, opcode: Opcode, data: bytes) -> None:
        self.socket.data_received(Frame(opcode, data).serialize(mask=True))

    def ask(self, *message: Any) -> list[Any]:
        self.send(Opcode.TEXT, json.dumps(message).encode())
        return [json.loads(bytes(frame.data)) for frame in self.read()]


def token(**claims: Any) -> str:
    return jwt.encode(claims, KEYS.jwt_secret, algorithm="HS256")


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """An open socket of serializer 2.0.0."""
    client = Client(f"apikey={KEYS.anon_key}&vsn=2.0.0", **getattr(request, "param", {})).accept()
    yield client
    client.socket.connection_lost(None)


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("", 401, "API key is missing"),
        ("apikey=", 401, "API key is missing"),
        ("apikey=x", 401, "The token provided is not a valid JWT"),
        ("apikey=sb_publishable_wrong", 401, "The token provided is not a valid JWT"),
        (f"apikey={KEYS.anon_key[:-3]}abc", 401, "Failed to validate JWT signature"),
        (f"apikey={token(role='anon', exp=1)}", 401, "Token has expired"),
        (f"apikey={token(role='anon')}", 401, "Fields `role` and `exp` are required in JWT"),
        (
            f"apikey={token(exp=int(time.time()) + 3600)}",
            401,
            "Fields `role` and `exp` are required in JWT",
        ),
        (f"apikey={KEYS.anon_key}&vsn=3.0.0", 403, "Unsupported serializer version"),
    ],
)
async def test_bad_handshake_is_refused(query: str, status: int, message: str) -> None:
    client = Client(query)
    assert client.response == (status, {"error": message})
    assert client.transport.is_closed


@pytest.mark.parametrize("key", [KEYS.anon_key, KEYS.publishable_key, KEYS.secret_key])
@pytest.mark.parametrize("vsn", ["", "&vsn=1.0.0", "&vsn=2.0.0&log_level=info"])
async def test_good_handshake_is_accepted(key: str, vsn: str) -> None:
    client = Client(f"apikey={key}{vsn}").accept()
    assert client.socket.state is SocketState.OPEN
    client.socket.connection_lost(None)


async def test_header_wins_over_query() -> None:
    assert Client(f"apikey={KEYS.anon_key}", "X-Api-Key: x\r\n").response[0] == 401
    assert Client("apikey=x", f"X-Api-Key: {KEYS.anon_key}\r\n").response[0] == 101


async def test_long_header_is_refused() -> None:
    headers = f"Cookie: {'x' * 101}\r\n"
    query = f"apikey={KEYS.publishable_key}"
    assert Client(query, headers, max_header_length=100).response[0] == 431
    assert Client(query, headers, max_header_length=101).response[0] == 101


async def test_request_that_is_no_upgrade_is_refused() -> None:
    socket = Realtime(RealtimeSettings(), KEYS, "").new_socket()
    transport = Transport()
    socket.connection_made(transport)
    head = f"GET /realtime/v1/websocket?apikey={KEYS.anon_key} HTTP/1.1\r\nHost: x\r\n\r\n"
    socket.data_received(head.encode())
    assert transport.written.startswith(b"HTTP/1.1 426")
    assert transport.is_closed


async def test_frame_sent_with_the_request_is_answered() -> None:
    realtime = Realtime(RealtimeSettings(), KEYS, "")
    socket, transport = realtime.new_socket(), Transport()
    socket.connection_made(transport)
    protocol = ClientProtocol(parse_uri(f"ws://x/realtime/v1/websocket?apikey={KEYS.anon_key}"))
    protocol.send_request(protocol.connect())
    heartbeat = b'{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}'
    frames = [Frame(Opcode.PING, b""), Frame(Opcode.TEXT, heartbeat)]
    sent = [*protocol.data_to_send(), *(frame.serialize(mask=True) for frame in frames)]
    socket.data_received(b"".join(sent))
    assert transport.written.startswith(b"HTTP/1.1 101")
    expected: dict[str, Any] = {"topic": "phoenix", "event": "phx_reply", "ref": None}
    expected["payload"] = {"status": "ok", "response": {}}
    protocol.receive_data(bytes(transport.written))
    _, *answers = protocol.events_received()
    texts = [a.data for a in answers if isinstance(a, Frame) and a.opcode is Opcode.TEXT]
    assert [json.loads(bytes(text)) for text in texts] == [expected]
    socket.connection_lost(None)


@settings(deadline=None)
@given(
    frames=st.lists(
        st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=120))
        | st.tuples(
            st.just(Opcode.BINARY),
            st.tuples(st.sampled_from(b"\x00\x03"), st.binary(max_size=80)).map(
                lambda parts: bytes([parts[0]]) + parts[1]
            ),
        )
        | st.tuples(
            st.just(Opcode.TEXT),
            st.tuples(
                st.sampled_from([None, "1", 2, []]),
                st.sampled_from([None, "1", 2, {}]),
                st.sampled_from(["realtime:a", "realtime:", "phoenix", "x", None]),
                st.sampled_from(
                    ["phx_join", "phx_leave", "broadcast", "access_token", "heartbeat", "x", 1]
                ),
                st.sampled_from(
                    [{}, None, {"config": 1}, {"access_token": ""}, {"access_token": None}, []]
                ),
            ).map(lambda message: json.dumps(message).encode()),
        ),
        max_size=20,
    )
)
def test_no_frame_closes_the_socket(frames: list[tuple[Opcode, bytes]]) -> None:
    async def scenario() -> None:
        client = Client(f"apikey={KEYS.anon_key}&vsn=2.0.0").accept()
        for opcode, data in frames:
            client.send(opcode, data)
        client.read()
        assert client.socket.state is SocketState.OPEN
        reply = [None, "9", "phoenix", "phx_reply", {"status": "ok", "response": {}}]
        assert client.ask(None, "9", "phoenix", "heartbeat", {}) == [reply]
        client.socket.connection_lost(None)

    asyncio.run(scenario())


async def test_fragmented_message_is_joined(client: Client) -> None:
    data = b'[null,"1","phoenix","heartbeat",{}]'
    first = Frame(Opcode.TEXT, data[:5], fin=False).serialize(mask=True)
    rest = Frame(Opcode.CONT, data[5:]).serialize(mask=True)
    client.socket.data_received(first + rest)
    assert len(client.read()) == 1


@pytest.mark.parametrize("client", [{"max_frame_bytes": 50}], indirect=True)
async def test_oversized_frame_closes_the_socket(client: Client) -> None:
    client.send(Opcode.TEXT, b"x" * 51)
    [close] = client.read()
    assert close.opcode is Opcode.CLOSE
    assert close.data[:2] == (1009).to_bytes(2, "big")


@pytest.mark.parametrize("client", [{"max_write_buffer_bytes": 1234}], indirect=True)
async def test_client_that_does_not_read_is_closed(client: Client) -> None:
    client.ask("1", "1", "realtime:a", "phx_join", {})
    assert client.transport.high == 1234
    client.socket.pause_writing()
    [close] = client.read()
    assert close.data[:2] == (1013).to_bytes(2, "big")
    assert client.socket.channels == {}
    assert client.realtime.topics.listeners((False, "a")) == ()


@pytest.mark.parametrize("client", [{"max_channels_per_client": 1}], indirect=True)
async def test_channels_are_limited(client: Client) -> None:
    client.ask("1", "1", "realtime:a", "phx_join", {})
    [reply] = client.ask("2", "2", "realtime:b", "phx_join", {})
    assert reply[4]["response"] == {"reason": "ChannelRateLimitReached: Too many channels"}
    [again] = client.ask("3", "3", "realtime:a", "phx_join", {})
    assert again[4]["status"] == "ok"


@pytest.mark.parametrize("client", [{"max_payload_size_in_kb": 1}], indirect=True)
@pytest.mark.parametrize("ack", [True, False])
async def test_oversized_payload_is_dropped(client: Client, ack: bool) -> None:
    config = {"broadcast": {"ack": ack, "self": True}}
    client.ask("1", "1", "realtime:a", "phx_join", {"config": config})
    answer = client.ask("1", "2", "realtime:a", "broadcast", {"x": "y" * 1600})
    response = {"status": "error", "response": {"reason": "payload_size_exceeded"}}
    assert answer == ([["1", "2", "realtime:a", "phx_reply", response]] if ack else [])


@pytest.mark.parametrize("client", [{"max_events_per_second": 1}], indirect=True)
async def test_too_many_events_end_the_topics_channels(client: Client) -> None:
    client.ask("1", "1", "realtime:a", "phx_join", {})
    for _ in range(60):
        assert client.ask("1", None, "realtime:a", "broadcast", {}) == []
    system, close = client.ask("1", None, "realtime:a", "broadcast", {})
    assert system[4]["message"] == "Too many messages per second"
    assert close == ["1", "1", "realtime:a", "phx_close", {}]


@pytest.mark.parametrize("client", [{"max_joins_per_second": 1}], indirect=True)
async def test_too_many_joins_close_the_socket(client: Client) -> None:
    for _ in range(60):
        client.ask("1", "1", "realtime:a", "phx_join", {})
    client.send(Opcode.TEXT, b'["1","1","realtime:a","phx_join",{}]')
    reply, close = client.read()
    reason = "ClientJoinRateLimitReached: Too many joins per second"
    assert json.loads(bytes(reply.data))[4]["response"] == {"reason": reason}
    assert close.data[:2] == (1001).to_bytes(2, "big")


async def test_disabled_server_refuses_sockets_and_is_ready() -> None:
    client = Client(f"apikey={KEYS.anon_key}", enabled=False)
    assert client.response == (403, {"error": "Realtime was disabled for this tenant"})
    await client.realtime.start()
    assert await client.realtime.ready()
    await client.realtime.stop()


async def test_sockets_are_limited() -> None:
    client = Client(f"apikey={KEYS.anon_key}", max_concurrent_users=1).accept()
    second, transport = client.realtime.new_socket(), Transport()
    second.connection_made(transport)
    protocol = ClientProtocol(parse_uri(f"ws://x/?apikey={KEYS.anon_key}"))
    protocol.send_request(protocol.connect())
    second.data_received(b"".join(protocol.data_to_send()))
    assert transport.written.startswith(b"HTTP/1.1 429")
    second.connection_lost(None)
    client.socket.connection_lost(None)


async def test_stop_tells_channels_and_closes(client: Client) -> None:
    client.ask("1", "1", "realtime:a", "phx_join", {})
    client.socket.disconnect()
    system, close = client.read()
    payload = {"extension": "system", "status": "ok", "message": "Server requested disconnect"}
    assert json.loads(bytes(system.data)) == ["1", None, "realtime:a", "system", payload]
    assert close.data[:2] == (1012).to_bytes(2, "big")


async def test_closing_handshake_is_finished(client: Client) -> None:
    client.ask("1", "1", "realtime:a", "phx_join", {})
    client.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
    assert client.read()[0].opcode is Opcode.CLOSE
    assert client.transport.is_closed
    assert client.realtime.topics.listeners((False, "a")) == ()
