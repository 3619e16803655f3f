"""Replay: the newest broadcasts of a private channel, repeated to who joins it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.realtime_sockets import (
    DEADLINE_SECONDS,
    JOINED,
    Message,
    RealtimeSocket,
    new_topic,
    private_channel_policies,
    realtime_socket,
    user_token,
)
from support.stacks import Stack

INVALID = "UnableToReplayMessages: Replay params are not valid"
UNAUTHORIZED = "Unauthorized: You do not have permissions to read from this Channel topic: "


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``readable...`` can be joined, ``presence...`` for presence alone."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def topic() -> str:
    """A readable topic of the test's own, without prefix."""
    return new_topic("readable")


def say(sql: psycopg.Connection, topic: str, number: int, *, minutes: int = 0) -> None:
    """A private broadcast from the database, as if committed ``minutes`` ago."""
    query = (
        "insert into realtime.messages (topic, extension, event, private, payload, inserted_at)"
        " values (%s, 'broadcast', 'ev', true, %s,"
        " (now() - make_interval(mins => %s)) at time zone 'utc')"
    )
    sql.execute(query.encode(), (topic, json.dumps({"n": number}), minutes))


async def numbers(socket: RealtimeSocket, count: int) -> list[int]:
    """The payloads of the next replayed broadcasts, as they must look."""
    found = []
    for _ in range(count):
        message = await socket.message()
        payload = message.payload
        expected = {
            "type": "broadcast",
            "event": "ev",
            "payload": payload["payload"],
            "meta": {"replayed": True, "id": payload["meta"]["id"]},
        }
        assert message == socket.expected("1", None, message.topic, "broadcast", expected)
        found.append(payload["payload"]["n"])
    return found


async def join(socket: RealtimeSocket, stack: Stack, topic: str, **replay: Any) -> None:
    """Joins as a user who may read; asks for everything unless told."""
    config = {"broadcast": {"replay": {"since": 0, **replay}}}
    await socket.join(f"realtime:{topic}", user_token(stack), private=True, **config)


@pytest.mark.parametrize("version", ["1.0.0", "2.0.0"])
async def test_replays_the_oldest_first(
    stack: Stack, sql: psycopg.Connection, topic: str, version: str
) -> None:
    for number, minutes in enumerate((3, 2, 1)):
        say(sql, topic, number, minutes=minutes)
    async with realtime_socket(stack, version) as socket:
        await join(socket, stack, topic)
        assert await numbers(socket, 3) == [0, 1, 2]
        await socket.is_quiet()


async def test_the_newest_up_to_the_limit(
    stack: Stack, sql: psycopg.Connection, topic: str
) -> None:
    for number in range(30):
        say(sql, topic, number, minutes=30 - number)
    for limit, first in (({"limit": 2}, 28), ({}, 5), ({"limit": 1_000}, 5), ({"limit": -1}, 29)):
        async with realtime_socket(stack) as socket:
            await join(socket, stack, topic, **limit)
            assert await numbers(socket, 30 - first) == list(range(first, 30))
            await socket.is_quiet()


async def test_nothing_from_before(stack: Stack, sql: psycopg.Connection, topic: str) -> None:
    for number, minutes in enumerate((20, 1)):
        say(sql, topic, number, minutes=minutes)
    async with realtime_socket(stack) as socket:
        await join(socket, stack, topic, since=int((time.time() - 600) * 1000))
        assert await numbers(socket, 1) == [1]
        await socket.is_quiet()


@pytest.mark.parametrize("since", [10**30, -(10**30), 0])
async def test_times_out_of_range(stack: Stack, topic: str, since: int) -> None:
    async with realtime_socket(stack) as socket:
        await join(socket, stack, topic, since=since)
        await socket.is_quiet()


async def test_only_what_was_broadcast_on_this_private_topic(
    stack: Stack, sql: psycopg.Connection, topic: str
) -> None:
    query = (
        "insert into realtime.messages (topic, extension, event, private, payload)"
        " values (%s, %s, %s, %s, '{\"n\": 0}')"
    )
    sql.execute(query.encode(), (topic, "broadcast", "ev", False))
    sql.execute(query.encode(), (topic, "presence", "ev", True))
    sql.execute(query.encode(), (topic, "broadcast", None, True))
    sql.execute(query.encode(), (f"{topic}%", "broadcast", "ev", True))
    sql.execute("select realtime.send(null, 'ev', %s)", (topic,))
    async with realtime_socket(stack) as socket:
        await join(socket, stack, topic)
        await socket.is_quiet()


async def test_numbers_stay_as_they_are(stack: Stack, sql: psycopg.Connection, topic: str) -> None:
    number = "1.00000000000000000000000001"
    sql.execute("select realtime.send(%s, 'ev', %s)", (f'{{"n": {number}, "id": 1}}', topic))
    async with realtime_socket(stack) as socket:
        await join(socket, stack, topic)
        assert f'"n": {number}' in str(await socket.raw())


async def test_binary_rows(stack: Stack, sql: psycopg.Connection, topic: str) -> None:
    sql.execute(r"select realtime.send_binary('\x00ff', 'ev', %s)", (topic,))
    async with realtime_socket(stack, "1.0.0") as first, realtime_socket(stack) as second:
        await join(first, stack, topic)
        await join(second, stack, topic)
        frame = await second.raw()
        assert isinstance(frame, bytes)
        assert (frame[0], frame[4]) == (4, 0)
        assert frame.endswith(b"\x00\xff")
        assert b'"replayed":true' in frame
        await first.is_quiet()


async def test_state_comes_before_the_replay(
    stack: Stack, sql: psycopg.Connection, topic: str
) -> None:
    say(sql, topic, 1)
    config = {"broadcast": {"replay": {"since": 0}}, "presence": {"enabled": True}}
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}", user_token(stack), private=True, **config)
        assert (await socket.message()).event == "presence_state"
        assert await numbers(socket, 1) == [1]


@pytest.mark.parametrize(
    "replay",
    [
        {},
        {"limit": 5},
        {"since": None},
        {"since": "0"},
        {"since": 1.5},
        {"since": True},
        {"since": 0, "limit": "5"},
        {"since": 0, "limit": None},
        [],
        "all",
    ],
)
async def test_what_makes_no_sense_is_refused(stack: Stack, topic: str, replay: object) -> None:
    async with realtime_socket(stack) as socket:
        config = {"broadcast": {"replay": replay}}
        name = f"realtime:{topic}"
        assert await socket.refused(name, user_token(stack), private=True, **config) == INVALID


async def test_null_is_no_replay(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        config = {"broadcast": {"replay": None}}
        await socket.join(f"realtime:{topic}", user_token(stack), private=True, **config)


async def test_public_channels_have_none(stack: Stack, topic: str) -> None:
    async with realtime_socket(stack) as socket:
        reason = await socket.refused(f"realtime:{topic}", broadcast={"replay": {"since": 0}})
        assert reason == "UnableToReplayMessages: Replay is not allowed for public channels"


@pytest.mark.parametrize("prefix", ["closed", "presence"])
async def test_who_may_not_read_gets_none(
    stack: Stack, sql: psycopg.Connection, prefix: str
) -> None:
    topic = new_topic(prefix)
    say(sql, topic, 1)
    config = {"broadcast": {"replay": {"since": 0}}, "presence": {"enabled": True}}
    async with realtime_socket(stack) as socket:
        reason = await socket.refused(
            f"realtime:{topic}", user_token(stack), private=True, **config
        )
        assert reason == UNAUTHORIZED + topic
        await socket.is_quiet()


async def test_every_row_comes_once_while_others_are_committed(stack: Stack, topic: str) -> None:
    """Replay and stream meet without a gap or a double."""
    last = 200
    name = f"realtime:{topic}"

    async def write() -> None:
        connection = await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True)
        async with connection:
            for number in range(last + 1):
                payload = json.dumps({"n": number})
                await connection.execute("select realtime.send(%s, 'ev', %s)", (payload, topic))

    async def listen(delay: int) -> list[int]:
        found: list[int] = []
        async with realtime_socket(stack) as socket:
            await asyncio.wait({writer}, timeout=delay * 0.02)
            config = {"private": True, "broadcast": {"replay": {"since": 0, "limit": 5}}}
            payload = {"config": config, "access_token": user_token(stack)}
            await socket.send("phx_join", payload, topic=name)
            assert await socket.message() == Message("1", "1", name, "phx_reply", JOINED)
            while not found or found[-1] != last:
                frame = await socket.raw()
                if isinstance(frame, str):
                    found.append(json.loads(frame)[4]["payload"]["n"])
                else:
                    found.append(json.loads(frame[5 + sum(frame[1:4]) :])["n"])
        return found

    writer = asyncio.create_task(write())
    heard = await asyncio.wait_for(
        asyncio.gather(*(listen(delay) for delay in range(8))), 4 * DEADLINE_SECONDS
    )
    await writer
    for found in heard:
        # A stream that lags brings what is older than the five rows that were repeated after them.
        assert sorted(found) == list(range(min(found), last + 1))
        assert found[5:] == sorted(found[5:])
