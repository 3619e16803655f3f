"""Presence, changes of tables and replay with the unmodified official clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from realtime import (
    AsyncRealtimeChannel,
    AsyncRealtimeClient,
    RealtimePostgresChangesListenEvent,
    RealtimeSubscribeStates,
)

from support.realtime_changes import make_table
from support.realtime_sockets import (
    DEADLINE_SECONDS,
    new_topic,
    private_channel_policies,
    user_token,
)
from support.stacks import ROOT, Stack

Listen = RealtimePostgresChangesListenEvent
SCRIPT = Path(__file__).with_name("test_realtime_features.mjs")


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``readable-writable...`` can be joined and sent to."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncRealtimeClient]:
    """The Python client, connected."""
    client = AsyncRealtimeClient(f"{stack.api_url}/realtime/v1", stack.publishable_key)
    await client.connect()
    yield client
    await client.remove_all_channels()
    await client.close()


async def next_of(queue: asyncio.Queue[Any]) -> Any:
    """The next item, in time."""
    return await asyncio.wait_for(queue.get(), DEADLINE_SECONDS)


async def subscribe(channel: AsyncRealtimeChannel) -> asyncio.Queue[Any]:
    """Subscribes; the states that follow."""
    states: asyncio.Queue[Any] = asyncio.Queue()
    await channel.subscribe(lambda state, _: states.put_nowait(state))
    assert await next_of(states) is RealtimeSubscribeStates.SUBSCRIBED
    return states


async def test_presence_with_python(client: AsyncRealtimeClient) -> None:
    config: Any = {"config": {"broadcast": None, "presence": {"key": "me"}, "private": False}}
    channel = client.channel(new_topic(), config)
    seen: asyncio.Queue[Any] = asyncio.Queue()
    channel.on_presence_sync(lambda: seen.put_nowait("sync"))
    channel.on_presence_join(lambda key, _, new: seen.put_nowait(("join", key, len(new))))
    channel.on_presence_leave(lambda key, _, left: seen.put_nowait(("leave", key, len(left))))
    await subscribe(channel)
    assert await next_of(seen) == "sync"
    await channel.track({"n": 1})
    assert [await next_of(seen), await next_of(seen)] == [("join", "me", 1), "sync"]
    assert channel.presence_state()["me"][0]["n"] == 1  # type: ignore[typeddict-item]
    # An update is one diff: a join and a leave, and one sync after both.
    await channel.track({"n": 2})
    assert [await next_of(seen) for _ in range(3)] == [
        ("join", "me", 1),
        ("leave", "me", 1),
        "sync",
    ]
    await channel.untrack()
    assert [await next_of(seen), await next_of(seen)] == [("leave", "me", 1), "sync"]
    assert channel.presence_state() == {}


async def test_changes_with_python(client: AsyncRealtimeClient, sql: psycopg.Connection) -> None:
    with make_table(sql) as table:
        channel = client.channel(new_topic())
        every: asyncio.Queue[Any] = asyncio.Queue()
        inserts: asyncio.Queue[Any] = asyncio.Queue()
        system: asyncio.Queue[Any] = asyncio.Queue()
        channel.on_postgres_changes(Listen.All, every.put_nowait, table, "public")
        channel.on_postgres_changes(Listen.Insert, inserts.put_nowait, table, "public", "id=eq.1")
        channel.on_system(system.put_nowait)
        await subscribe(channel)
        await next_of(system)
        sql.execute(f"insert into {table} values (1, 'a')".encode())
        message = await next_of(every)
        assert message == await next_of(inserts)
        assert message["data"]["record"] == {"id": 1, "body": "a"}
        sql.execute(f"delete from {table}".encode())
        assert (await next_of(every))["data"]["old_record"] == {"id": 1}


async def test_replay_with_python(
    client: AsyncRealtimeClient, stack: Stack, sql: psycopg.Connection
) -> None:
    topic = new_topic("readable-writable")
    sql.execute("select realtime.send('{\"n\": 1}', 'ev', %s)", (topic,))
    await client.set_auth(user_token(stack))
    replay = {"replay": {"since": 0, "limit": 5}}
    config: Any = {"config": {"broadcast": replay, "presence": None, "private": True}}
    channel = client.channel(topic, config)
    seen: asyncio.Queue[Any] = asyncio.Queue()
    channel.on_broadcast("ev", seen.put_nowait)
    await subscribe(channel)
    message = await next_of(seen)
    assert message["payload"]["n"] == 1
    assert message["meta"]["replayed"] is True


async def test_supabase_js(stack: Stack, sql: psycopg.Connection) -> None:
    topic = new_topic("readable-writable")
    sql.execute("select realtime.send('{\"n\": 1, \"id\": 1}', 'ev', %s)", (topic,))
    with make_table(sql) as table:
        sql.execute(f"grant insert, update, delete on {table} to authenticated".encode())
        sql.execute("notify pgrst, 'reload schema'")
        arguments = (stack.api_url, stack.publishable_key, user_token(stack), topic, table)
        process = await asyncio.create_subprocess_exec(
            "node",
            "--no-warnings",
            "--experimental-websocket",  # Node 20 has one, but hides it
            str(SCRIPT),
            *arguments,
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaints.decode()
    result = json.loads(output)
    presence = {
        "tracked": "ok",
        "joined": [{"name": "Ann"}],
        "state": ["k1"],
        "untracked": "ok",
        "left": [{"name": "Ann"}],
        "after": [],
    }
    row = {"id": 1, "body": "a"}
    changes = {
        "system": "Subscribed to PostgreSQL",
        "rows": [
            ["INSERT", row, {}, None],
            ["filtered", row, {}, None],
            ["UPDATE", {**row, "body": "b"}, {"id": 1}, None],
            ["DELETE", {}, {"id": 1}, None],
        ],
    }
    replay = {"event": "ev", "payload": {"n": 1, "id": 1}, "replayed": True}
    expected = {"presence": presence, "changes": changes, "replay": replay}
    assert result == {"1.0.0": expected, "2.0.0": expected}
