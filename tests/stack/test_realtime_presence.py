"""Presence: who is there, told once and in order; and who may know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support.realtime_sockets import (
    OK,
    Message,
    RealtimeSocket,
    new_topic,
    private_channel_policies,
    realtime_socket,
    user_token,
)
from support.stacks import Stack

VERSIONS = ["1.0.0", "2.0.0"]


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``readable...``, ``presence...``, ``broadcast...`` and ``...writable...``."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
def topic() -> str:
    """A topic of the test's own."""
    return f"realtime:{new_topic()}"


async def arrive(socket: RealtimeSocket, topic: str, key: str = "", **config: Any) -> Any:
    """Joins with presence; the state that follows the reply."""
    await socket.join(topic, presence={"enabled": True, "key": key}, **config)
    message = await socket.message()
    assert message[:4] == socket.expected("1", None, topic, "presence_state", {})[:4]
    return message.payload


async def track(socket: RealtimeSocket, topic: str, payload: object) -> None:
    """Tracks; only the reply is read."""
    asked = {"type": "presence", "event": "track", "payload": payload}
    await socket.send("presence", asked, topic=topic, ref="7")
    assert await socket.message() == socket.expected("1", "7", topic, "phx_reply", OK)


async def diff(socket: RealtimeSocket, topic: str) -> tuple[Any, Any]:
    """Joins and leaves of the next frame, which must be a diff with no join_ref."""
    message = await socket.message()
    assert message[:4] == Message(None, None, topic, "presence_diff", {})[:4]
    assert set(message.payload) == {"joins", "leaves"}
    return message.payload["joins"], message.payload["leaves"]


def only_meta(state: Any, key: str) -> Any:
    """The meta of ``key``, which must be alone."""
    assert set(state) == {key}
    (meta,) = state[key]["metas"]
    return meta


@pytest.mark.parametrize("version", VERSIONS)
async def test_presence_from_arrival_to_departure(stack: Stack, topic: str, version: str) -> None:
    async with realtime_socket(stack, version) as first, realtime_socket(stack) as second:
        assert await arrive(first, topic, "a") == {}
        assert await arrive(second, topic, "b") == {}
        await track(first, topic, {"user": 1})
        joins, leaves = await diff(first, topic)
        assert await diff(second, topic) == (joins, leaves)
        meta = only_meta(joins, "a")
        assert meta == {"user": 1, "phx_ref": meta["phx_ref"]}
        assert leaves == {}

        await first.send("presence", {"type": "presence", "event": "UNTRACK"}, topic=topic, ref="8")
        assert await first.message() == first.expected("1", "8", topic, "phx_reply", OK)
        assert await diff(first, topic) == ({}, {"a": {"metas": [meta]}})
        assert await diff(second, topic) == ({}, {"a": {"metas": [meta]}})
        await first.is_quiet()


async def test_who_comes_later_sees_who_is_there(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as first, realtime_socket(stack, "1.0.0") as late:
        await arrive(first, topic, "a")
        await track(first, topic, {"user": 1})
        joins, _ = await diff(first, topic)
        assert await arrive(late, topic) == joins
        await late.is_quiet()


async def test_another_payload_is_one_diff(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        await arrive(socket, topic, "a")
        await track(socket, topic, {"n": 1})
        old = only_meta((await diff(socket, topic))[0], "a")
        await track(socket, topic, {"n": True})
        joins, leaves = await diff(socket, topic)
        assert leaves == {"a": {"metas": [old]}}
        new = only_meta(joins, "a")
        assert new == {"n": True, "phx_ref": new["phx_ref"], "phx_ref_prev": old["phx_ref"]}
        assert new["phx_ref"] != old["phx_ref"]


async def test_the_same_payload_again_is_nothing(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        await arrive(socket, topic, "a")
        await track(socket, topic, {"n": 1, "m": 2})
        await diff(socket, topic)
        await track(socket, topic, {"m": 2, "n": 1})
        await socket.is_quiet()


async def test_references_of_a_client_are_not_believed(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        await arrive(socket, topic, "a")
        await track(socket, topic, {"phx_ref": "mine", "phx_ref_prev": "mine"})
        meta = only_meta((await diff(socket, topic))[0], "a")
        assert set(meta) == {"phx_ref"}
        assert meta["phx_ref"] != "mine"


async def test_sockets_of_one_key_are_one_entry(stack: Stack, topic: str) -> None:
    async with (
        realtime_socket(stack) as watcher,
        realtime_socket(stack) as first,
        realtime_socket(stack) as second,
        realtime_socket(stack) as late,
    ):
        await arrive(watcher, topic)
        metas = []
        for number, socket in enumerate((first, second)):
            await arrive(socket, topic, "a")
            await track(socket, topic, {"n": number})
            joins, _ = await diff(watcher, topic)
            metas.append(only_meta(joins, "a"))
        assert await arrive(late, topic) == {"a": {"metas": metas}}
        # One goes, the other stays.
        await second.connection.close()
        assert await diff(watcher, topic) == ({}, {"a": {"metas": metas[1:]}})
        assert await diff(late, topic) == ({}, {"a": {"metas": metas[1:]}})
        assert await arrive(late, topic) == {"a": {"metas": metas[:1]}}


@pytest.mark.parametrize("way", ["leave", "close", "cut", "rejoin"])
async def test_every_end_of_a_channel_is_a_leave(stack: Stack, topic: str, way: str) -> None:
    async with realtime_socket(stack) as watcher, realtime_socket(stack) as socket:
        await arrive(watcher, topic)
        await arrive(socket, topic, "a")
        await track(socket, topic, {})
        joins, _ = await diff(watcher, topic)
        await diff(socket, topic)
        if way == "leave":
            await socket.leave(topic)
        elif way == "close":
            await socket.connection.close()
        elif way == "cut":
            socket.connection.transport.abort()
        else:
            assert await arrive(socket, topic, "a") == {}
        assert await diff(watcher, topic) == ({}, joins)


async def test_keys_that_are_not_given_are_distinct(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as first, realtime_socket(stack) as second:
        keys = set()
        for socket in (first, second):
            await socket.join(topic, presence={"enabled": True, "key": None})
            await socket.message()
            await track(socket, topic, {})
            keys |= set((await diff(socket, topic))[0])
        assert len(keys) == 2
        assert "" not in keys


async def test_presence_that_is_off_tells_nothing(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as off, realtime_socket(stack) as socket:
        await off.join(topic, presence={"enabled": False, "key": "off"})
        await arrive(socket, topic, "a")
        await track(socket, topic, {})
        joins, _ = await diff(socket, topic)
        await off.is_quiet()
        # A track turns it on: the state, which clients wait for, comes before the diff.
        await off.send("presence", {"event": "track", "payload": {}}, topic=topic, ref="7")
        assert await off.message() == Message("1", None, topic, "presence_state", joins)
        assert (await off.message()).payload == OK
        assert set((await diff(off, topic))[0]) == {"off"}


@pytest.mark.parametrize(
    ("asked", "response"),
    [
        ({"event": "track", "payload": [1]}, {"reason": "Presence track payload must be a map"}),
        ({"event": "track", "payload": None}, {"reason": "Presence track payload must be a map"}),
        ({"event": "dance", "payload": {}}, {}),
        ({}, {}),
    ],
)
async def test_what_makes_no_sense_is_an_error(
    stack: Stack, topic: str, asked: object, response: object
) -> None:
    async with realtime_socket(stack) as socket:
        await arrive(socket, topic, "a")
        await socket.send("presence", asked, topic=topic, ref="7")
        error = {"status": "error", "response": response}
        assert await socket.message() == Message("1", "7", topic, "phx_reply", error)
        await socket.is_quiet()


async def expelled(socket: RealtimeSocket, topic: str) -> str:
    """The next two frames end the channel; the message of the first."""
    system = await socket.message()
    assert (system.event, system.payload["status"]) == ("system", "error")
    assert await socket.message() == Message("1", "1", topic, "phx_close", {})
    message: str = system.payload["message"]
    return message


async def test_payload_over_the_limit_ends_the_channel(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket, realtime_socket(stack) as watcher:
        await arrive(watcher, topic)
        await arrive(socket, topic, "a")
        payload = {"text": "x" * 3_100_000}
        await socket.send("presence", {"event": "track", "payload": payload}, topic=topic)
        assert await expelled(socket, topic) == "Track message size exceeded"
        await watcher.is_quiet()


async def test_calls_over_the_limit_end_the_channel(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        await socket.join(topic)
        for _ in range(1_001):
            await socket.send("presence", {"event": "untrack"}, topic=topic)
        for _ in range(1_000):
            assert (await socket.message()).payload == OK
        assert await expelled(socket, topic) == "Client presence rate limit exceeded"


# Private channels


async def test_private_and_public_presence_never_meet(stack: Stack) -> None:
    topic = f"realtime:{new_topic('readable-writable')}"
    async with realtime_socket(stack) as public, realtime_socket(stack) as private:
        await arrive(public, topic, "public")
        await arrive(private, topic, "private", private=True, token=user_token(stack))
        await track(public, topic, {})
        await diff(public, topic)
        await track(private, topic, {})
        assert set((await diff(private, topic))[0]) == {"private"}
        await public.is_quiet()


async def test_one_may_see_without_being_seen(stack: Stack) -> None:
    topic = f"realtime:{new_topic('presence')}"
    async with realtime_socket(stack) as socket, realtime_socket(stack) as other:
        await arrive(socket, topic, "a", private=True, token=user_token(stack))
        await arrive(other, topic, "b", private=True, token=stack.service_role_key)
        for _ in range(2):
            await socket.send("presence", {"event": "track"}, topic=topic, ref="7")
            error = {"status": "error", "response": {}}
            assert await socket.message() == Message("1", "7", topic, "phx_reply", error)
        await other.is_quiet()
        await track(other, topic, {})
        assert set((await diff(socket, topic))[0]) == {"b"}


async def test_one_may_be_seen_without_seeing(stack: Stack) -> None:
    topic = f"realtime:{new_topic('broadcast-writable')}"
    async with realtime_socket(stack) as blind, realtime_socket(stack) as other:
        # Joined because of the broadcasts; what presence says is withheld, also its state.
        await blind.join(topic, user_token(stack), private=True, presence={"enabled": True})
        await arrive(other, topic, "b", private=True, token=stack.service_role_key)
        await track(blind, topic, {})
        assert len((await diff(other, topic))[0]) == 1
        await blind.is_quiet()


async def test_track_asks_for_what_the_join_did_not(stack: Stack) -> None:
    topic = f"realtime:{new_topic('readable-writable')}"
    async with realtime_socket(stack) as socket:
        await socket.join(topic, user_token(stack), private=True)
        await socket.send("presence", {"event": "track", "payload": {}}, topic=topic, ref="7")
        assert await socket.message() == Message("1", None, topic, "presence_state", {})
        assert (await socket.message()).payload == OK
        await diff(socket, topic)
