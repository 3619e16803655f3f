"""Exact frames of joining, leaving, tokens and broadcasts, in both serializer versions."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.realtime_sockets import (
    JOINED,
    OK,
    Message,
    RealtimeSocket,
    new_topic,
    realtime_socket,
    user_token,
)
from support.stacks import Stack

VERSIONS = ("1.0.0", "2.0.0")


@pytest.fixture(params=VERSIONS)
async def socket(stack: Stack, request: pytest.FixtureRequest) -> AsyncIterator[RealtimeSocket]:
    """A socket of each version."""
    async with realtime_socket(stack, request.param) as socket:
        yield socket


@pytest.fixture
def topic() -> str:
    """A channel's topic."""
    return f"realtime:{new_topic()}"


async def test_bad_key_is_refused(stack: Stack) -> None:
    address = stack.api_url.replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"{address}/realtime/v1/websocket?apikey=wrong"):
            pass
    response = refused.value.response
    assert response.status_code == 401
    assert json.loads(bytes(response.body or b"")) == {
        "error": "The token provided is not a valid JWT"
    }


@pytest.mark.parametrize("ref", ["12", None])
async def test_heartbeat_echoes_its_ref(socket: RealtimeSocket, ref: str | None) -> None:
    await socket.send("heartbeat", {}, topic="phoenix", ref=ref, join_ref=None)
    assert await socket.message() == Message(None, ref, "phoenix", "phx_reply", OK)


async def test_join_and_leave(socket: RealtimeSocket, topic: str) -> None:
    await socket.send("phx_join", {"config": {}}, topic=topic, ref="6", join_ref="6")
    assert await socket.message() == socket.expected("6", "6", topic, "phx_reply", JOINED)
    await socket.send("phx_leave", {}, topic=topic, ref="13", join_ref="6")
    assert await socket.message() == socket.expected("6", "13", topic, "phx_reply", OK)
    assert await socket.message() == socket.expected("6", "6", topic, "phx_close", {})
    await socket.is_quiet()


async def test_stale_leave_does_not_end_the_new_join(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic)
    await socket.send("phx_leave", {}, topic=topic, ref="2", join_ref="0")
    await socket.is_quiet()
    await socket.leave(topic)


async def test_leave_of_an_unjoined_topic_is_ok(socket: RealtimeSocket, topic: str) -> None:
    await socket.send("phx_leave", {}, topic=topic, ref="2", join_ref="1")
    assert await socket.message() == socket.expected("1", "2", topic, "phx_reply", OK)


@pytest.mark.parametrize("event", ["broadcast", "access_token", "anything"])
async def test_message_to_an_unjoined_topic(socket: RealtimeSocket, topic: str, event: str) -> None:
    await socket.send(event, {}, topic=topic, ref="2", join_ref="1")
    payload = {"status": "error", "response": {"reason": "unmatched topic"}}
    assert await socket.message() == Message(None, "2", topic, "phx_reply", payload)


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("realtime:", "TopicNameRequired: You must provide a topic name"),
        ("room:1", "unmatched topic"),
        ("realtime:" + "x" * 250, "TopicNameTooLong: A topic has at most 255 bytes"),
    ],
)
async def test_topic_that_cannot_be_joined(socket: RealtimeSocket, topic: str, reason: str) -> None:
    assert await socket.refused(topic) == reason


async def test_rejoin_has_no_phx_close(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic)
    await socket.send("phx_join", {"config": {}}, topic=topic, ref="2", join_ref="2")
    assert await socket.message() == socket.expected("2", "2", topic, "phx_reply", JOINED)
    await socket.is_quiet()
    await socket.send("phx_leave", {}, topic=topic, ref="3", join_ref="2")
    assert (await socket.message()).payload == OK
    assert await socket.message() == socket.expected("2", "2", topic, "phx_close", {})


async def test_presence_state_follows_the_reply(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic, presence={"enabled": True, "key": ""})
    assert await socket.message() == socket.expected("1", None, topic, "presence_state", {})


async def test_bindings_are_echoed_and_refused(socket: RealtimeSocket, topic: str) -> None:
    binding = {"event": "INSERT", "schema": "public", "table": "t", "filter": "id=eq.1"}
    reply = await socket.ask_to_join(topic, postgres_changes=[binding])
    [echoed] = reply["response"]["postgres_changes"]
    assert isinstance(echoed["id"], int)
    assert echoed["id"]
    assert echoed == {**binding, "id": echoed["id"]}
    system = await socket.message()
    assert system.payload["extension"] == "postgres_changes"
    assert system.payload["status"] == "error"


async def test_replication_ready_is_announced(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic, broadcast={"replication_ready": True})
    payload = {
        "extension": "system",
        "status": "ok",
        "message": "Replication connection established",
        "channel": topic.removeprefix("realtime:"),
    }
    assert await socket.message() == socket.expected("1", None, topic, "system", payload)


async def test_unknown_event_is_ignored(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic)
    await socket.send("anything", {}, topic=topic)
    await socket.is_quiet()


async def test_malformed_frames_are_dropped(socket: RealtimeSocket, topic: str) -> None:
    await socket.join(topic)
    for frame in ("", "[", "{}", "null", '["1","1"]', b"", b"\x03", b"\x09abc"):
        await socket.connection.send(frame)
    await socket.is_quiet()
    await socket.leave(topic)


@pytest.mark.parametrize("ack", [True, False])
@pytest.mark.parametrize("echo", [True, False])
async def test_self_and_ack(socket: RealtimeSocket, topic: str, ack: bool, echo: bool) -> None:
    await socket.join(topic, broadcast={"ack": ack, "self": echo})
    payload = {"type": "broadcast", "event": "ev", "payload": {"a": 1, "é": ["\U0001f600"]}}
    await socket.send("broadcast", payload, topic=topic, ref="4")
    if echo:
        assert await socket.message() == Message(None, None, topic, "broadcast", payload)
    if ack:
        assert await socket.message() == socket.expected("1", "4", topic, "phx_reply", OK)
    await socket.is_quiet()


@pytest.mark.parametrize("join_ref", ["stale", None])
async def test_push_with_another_join_ref_is_answered(
    socket: RealtimeSocket, topic: str, join_ref: str | None
) -> None:
    await socket.join(topic, broadcast={"ack": True})
    await socket.send("broadcast", {"event": "e"}, topic=topic, ref="4", join_ref=join_ref)
    assert await socket.message() == socket.expected(join_ref, "4", topic, "phx_reply", OK)


async def test_text_broadcast_stays_text_for_every_version(stack: Stack, topic: str) -> None:
    payload = {"type": "broadcast", "event": "ev", "payload": {"a": 1}}
    for sender_version in VERSIONS:
        async with (
            realtime_socket(stack, sender_version) as sender,
            realtime_socket(stack, "1.0.0") as first,
            realtime_socket(stack, "2.0.0") as second,
        ):
            for socket in (sender, first, second):
                await socket.join(topic)
            await sender.send("broadcast", payload, topic=topic)
            for socket in (first, second):
                assert await socket.message() == Message(None, None, topic, "broadcast", payload)
            await sender.is_quiet()


async def test_binary_broadcast_is_kind_4_or_an_object(stack: Stack, topic: str) -> None:
    async with (
        realtime_socket(stack, "2.0.0") as sender,
        realtime_socket(stack, "2.0.0") as second,
        realtime_socket(stack, "1.0.0") as first,
    ):
        await sender.join(topic, broadcast={"ack": True, "self": True})
        await first.join(topic)
        await second.join(topic)
        await sender.send_event(topic, "ev", b'{"a":1}', encoding=1)
        frame = bytes([4, len(topic), 2, 0, 1]) + topic.encode() + b'ev{"a":1}'
        assert await second.raw() == frame
        assert await sender.raw() == frame
        assert await sender.message() == Message("1", "9", topic, "phx_reply", OK)
        payload = {"type": "broadcast", "event": "ev", "payload": {"a": 1}}
        assert await first.message() == Message(None, None, topic, "broadcast", payload)

        await sender.send_event(topic, "ev", b"\x00\xff", encoding=0)
        frame = bytes([4, len(topic), 2, 0, 0]) + topic.encode() + b"ev\x00\xff"
        assert await second.raw() == frame
        await first.is_quiet()


async def test_other_channel_of_the_same_user_receives(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as sender, realtime_socket(stack) as other:
        await sender.join(topic)
        await other.join(topic)
        await sender.send("broadcast", {"event": "e"}, topic=topic)
        assert (await other.message()).event == "broadcast"
        await sender.is_quiet()


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": 1}, "InvalidJWTToken: Token has expired "),
        ({"role": None}, "InvalidJWTToken: Fields `role` and `exp` are required in JWT"),
    ],
)
async def test_join_with_a_bad_token(
    stack: Stack, socket: RealtimeSocket, topic: str, claims: dict[str, Any], reason: str
) -> None:
    assert (await socket.refused(topic, user_token(stack, **claims))).startswith(reason)


async def test_join_with_no_jwt(socket: RealtimeSocket, topic: str) -> None:
    reason = "MalformedJWT: The token provided is not a valid JWT"
    assert await socket.refused(topic, "x.y.z") == reason
    token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6OTk5OTk5OTk5OX0.AAAA"
    reason = "JwtSignatureError: Failed to validate JWT signature"
    assert await socket.refused(topic, token) == reason


async def test_api_key_as_token_stands_for_the_connect_key(
    socket: RealtimeSocket, topic: str
) -> None:
    await socket.join(topic, "sb_publishable_anything")
    for token in ("sb_secret_anything", None):
        await socket.send("access_token", {"access_token": token}, topic=topic)
    await socket.is_quiet()


async def test_new_token_is_not_answered(stack: Stack, socket: RealtimeSocket, topic: str) -> None:
    token = user_token(stack)
    await socket.join(topic, token)
    for new in (token, user_token(stack)):
        await socket.send("access_token", {"access_token": new}, topic=topic)
    await socket.is_quiet()


async def test_bad_new_token_ends_the_channel_not_the_socket(
    stack: Stack, socket: RealtimeSocket, topic: str
) -> None:
    for token, text in (
        ("", "The token provided is not a valid JWT"),
        (user_token(stack, role=""), "Fields `role` and `exp` are required in JWT"),
    ):
        await socket.join(topic)
        await socket.send("access_token", {"access_token": token}, topic=topic)
        payload = {
            "extension": "system",
            "status": "error",
            "message": text,
            "channel": topic.removeprefix("realtime:"),
        }
        assert await socket.message() == socket.expected("1", None, topic, "system", payload)
        assert await socket.message() == socket.expected("1", "1", topic, "phx_close", {})
        await socket.is_quiet()


async def test_expired_token_ends_the_channel(
    stack: Stack, socket: RealtimeSocket, topic: str
) -> None:
    await socket.join(topic, user_token(stack, seconds=1.5))
    system = await socket.message()
    assert system.payload["status"] == "error"
    assert system.payload["message"].startswith("Token has expired ")
    assert await socket.message() == socket.expected("1", "1", topic, "phx_close", {})


async def test_refreshed_token_outlives_the_first(
    stack: Stack, socket: RealtimeSocket, topic: str
) -> None:
    other = f"realtime:{new_topic()}"
    await socket.join(topic, user_token(stack, seconds=1.5))
    await socket.send("access_token", {"access_token": user_token(stack)}, topic=topic)
    await socket.join(other, user_token(stack, seconds=1.5))
    assert (await socket.message()).topic == other
    assert await socket.message() == socket.expected("1", "1", other, "phx_close", {})
    await socket.leave(topic)
