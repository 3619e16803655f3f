"""The unmodified official clients, and a database that is killed under them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from realtime import AsyncRealtimeChannel, AsyncRealtimeClient, RealtimeSubscribeStates

from support.realtime_sockets import (
    DEADLINE_SECONDS,
    new_topic,
    private_channel_policies,
    realtime_socket,
    user_token,
)
from support.stacks import ROOT, Stack, start_stack

SCRIPT = Path(__file__).with_name("test_realtime_client.mjs")


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``readable-writable...`` can be joined and sent to."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[AsyncRealtimeClient]:
    """The Python client, connected."""
    client = AsyncRealtimeClient(f"{stack.api_url}/realtime/v1", stack.publishable_key)
    await client.connect()
    yield client
    await client.remove_all_channels()
    await client.close()


class Subscription:
    """A channel of the Python client, with what it received."""

    def __init__(self, channel: AsyncRealtimeChannel) -> None:
        self.channel = channel
        self.states: asyncio.Queue[RealtimeSubscribeStates] = asyncio.Queue()
        self.broadcasts: asyncio.Queue[Any] = asyncio.Queue()

    async def subscribe(self) -> RealtimeSubscribeStates:
        """The first state reported."""
        self.channel.on_broadcast("ev", self.broadcasts.put_nowait)
        await self.channel.subscribe(lambda state, _: self.states.put_nowait(state))
        return await self.next_state()

    async def next_state(self) -> RealtimeSubscribeStates:
        """The next state reported."""
        return await asyncio.wait_for(self.states.get(), DEADLINE_SECONDS)

    async def next(self) -> Any:
        """The next broadcast."""
        return await asyncio.wait_for(self.broadcasts.get(), DEADLINE_SECONDS)


def options(**broadcast: bool) -> Any:
    return {"config": {"broadcast": broadcast, "presence": None, "private": False}}


async def test_python_client_hears_itself_and_the_database(
    client: AsyncRealtimeClient, stack: Stack
) -> None:
    topic = new_topic()
    subscription = Subscription(client.channel(topic, options(ack=True, self=True)))
    assert await subscription.subscribe() is RealtimeSubscribeStates.SUBSCRIBED
    await subscription.channel.send_broadcast("ev", {"a": 1})
    assert (await subscription.next())["payload"] == {"a": 1}
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute("select realtime.send('{\"a\": 2}', 'ev', %s, false)", (topic,))
    assert (await subscription.next())["payload"]["a"] == 2
    await subscription.channel.http_send("ev", {"a": 3})
    assert (await subscription.next())["payload"] == {"a": 3}


async def test_python_client_may_join_again_as_soon_as_it_has_left(
    client: AsyncRealtimeClient,
) -> None:
    topic = new_topic()
    for number in range(5):
        subscription = Subscription(client.channel(topic, options(ack=True, self=True)))
        assert await subscription.subscribe() is RealtimeSubscribeStates.SUBSCRIBED
        await subscription.channel.send_broadcast("ev", {"a": number})
        assert (await subscription.next())["payload"] == {"a": number}
        await subscription.channel.unsubscribe()
        assert await subscription.next_state() is RealtimeSubscribeStates.CLOSED


async def test_python_client_learns_that_it_may_not_join(
    client: AsyncRealtimeClient, stack: Stack
) -> None:
    await client.set_auth(user_token(stack))
    config: Any = {"config": {"broadcast": None, "presence": None, "private": True}}
    subscription = Subscription(client.channel(new_topic("closed"), config))
    assert await subscription.subscribe() is RealtimeSubscribeStates.CHANNEL_ERROR


async def test_supabase_js_speaks_both_versions(stack: Stack) -> None:
    topic = new_topic("readable-writable")
    arguments = (stack.api_url, stack.publishable_key, user_token(stack), topic)
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
    success = {"success": True}
    seen = [
        {"event": "socket", "payload": {"a": 1}, "hasMeta": False},
        {"event": "http", "payload": {"a": 2}, "hasMeta": False},
    ]
    expected = {
        "unjoined": success,
        "sent": "ok",
        "posted": success,
        "binary": None,
        "left": "ok",
        "received": seen,
    }
    assert result["1.0.0"] == expected
    binary = {"event": "binary", "payload": {"bytes": [0, 255]}, "hasMeta": False}
    assert result["2.0.0"] == {**expected, "binary": success, "received": [*seen, binary]}


@pytest.fixture
def fragile_stack() -> Iterator[Stack]:
    """A stack of one's own, whose database may be killed."""
    stack = start_stack(ROOT, "--ephemeral")
    yield stack
    stack.stop()


def postmaster(stack: Stack) -> int:
    """Process id of a stack's PostgreSQL."""
    admin = stack.db_url.replace("postgres:postgres@", "supabase_admin:postgres@")
    with psycopg.connect(admin) as connection:
        query = "select pg_read_file('postmaster.pid')"
        row = connection.execute(query).fetchone()
        assert row is not None
        return int(row[0].split()[0])


@pytest.mark.slow
async def test_sockets_outlive_the_database(fragile_stack: Stack) -> None:
    stack = fragile_stack
    topic = new_topic()
    name = f"realtime:{topic}"
    async with realtime_socket(stack, key=stack.secret_key) as socket:
        await socket.join(name, private=True)
        os.kill(postmaster(stack), signal.SIGKILL)
        # A public channel needs no database; a private one is joined, or refused with the reason.
        await socket.join(f"{name}:public")
        reply = await socket.ask_to_join(f"{name}:other", private=True)
        if reply["status"] == "error":
            assert reply["response"]["reason"].startswith("UnableToConnectToProject: ")
        deadline = asyncio.get_running_loop().time() + 30
        received = asyncio.create_task(socket.connection.recv())
        while not received.done():
            assert asyncio.get_running_loop().time() < deadline, "no broadcast after the restart"
            try:
                connection = await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True)
            except psycopg.OperationalError:
                await asyncio.wait({received}, timeout=0.1)
                continue
            async with connection:
                await connection.execute("select realtime.send('{}', 'ev', %s)", (topic,))
            await asyncio.wait({received}, timeout=0.1)
        frame = received.result()
        assert isinstance(frame, bytes)
        assert name.encode() in frame
        await socket.send("phx_join", {"config": {"private": True}}, topic=f"{name}:new", ref="9")
        while isinstance(data := await socket.raw(), bytes):
            assert name.encode() in data
        assert json.loads(data)[4]["status"] == "ok"
