"""Connections are cut, delayed and doubled, servers killed: nothing is lost, doubled or reordered.

Short by default; ``--long`` does it twenty times with 20 users and 5,000 messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import shutil
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from parley import AsyncConversation, AsyncParley, EventStream, MessageCreated
from parley_stack.ports import free_port
from support.chaos import ChaosProxy
from support.stacks import ROOT, Stack, child_pid, eventually, start_stack

PARTS = ("/postgrest", " _serve ")
PASSWORD = "parley-demo"
KILL_SECONDS = (1.0, 3.0)
DEADLINE_SECONDS = 3600.0
ROUNDS = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "round_" in metafunc.fixturenames:
        is_long = metafunc.config.getoption("--long") or os.environ.get("PARLEY_LONG") == "1"
        metafunc.parametrize("round_", range(ROUNDS if is_long else 1))


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose servers may be killed."""
    workdir = tmp_path_factory.mktemp("chaos")
    shutil.copytree(ROOT / "supabase", workdir / "supabase")
    ports = ("--api-port", str(free_port()), "--db-port", str(free_port()))
    stack = start_stack(workdir, *ports)
    yield stack
    stack.stop()


async def test_every_stream_is_the_databases_history(
    own_stack: Stack, long_run: bool, round_: int
) -> None:
    people, count = (20, 5000) if long_run else (5, 200)
    proxy = ChaosProxy(own_stack.api_url, seed=round_)
    await proxy.start()
    try:
        async with asyncio.timeout(DEADLINE_SECONDS), everybody(own_stack, proxy, people) as rooms:
            streams = [room.events() for room in rooms]
            for stream in streams:
                await stream.__aenter__()
            killing = asyncio.create_task(kill_servers(own_stack, seed=round_))
            hearing = [asyncio.create_task(hear(stream, count)) for stream in streams]
            sent = await asyncio.gather(
                *(send(room, number, count // people) for number, room in enumerate(rooms))
            )
            assert not killing.done(), killing
            killing.cancel()
            proxy.calm()
            heard = await asyncio.gather(*hearing)
            for stream in streams:
                await stream.aclose()
            conversation_id = rooms[0].id
    finally:
        await proxy.stop()
    history = await stored(own_stack, conversation_id)
    assert sorted(body for bodies in sent for body in bodies) == sorted(b for _, b in history)
    assert [seq for seq, _ in history] == list(range(1, count + 1))
    for events in heard:
        assert [(e.message.seq, e.message.body) for e in events] == history
        assert [e.rev for e in events] == sorted({e.rev for e in events})
    print(f"{proxy.cuts} cuts, {proxy.doubles} requests doubled, {proxy.delays} delays")
    assert proxy.cuts
    assert proxy.doubles


@contextlib.asynccontextmanager
async def everybody(
    stack: Stack, proxy: ChaosProxy, count: int
) -> AsyncIterator[list[AsyncConversation]]:
    """A group of so many, as each sees it through the proxy."""
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.service_role_key}"}
    clients: list[AsyncParley] = []
    try:
        async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=30) as admin:
            for number in range(count):
                email = f"u{number}_{uuid.uuid4().hex[:12]}@example.com"
                about = {"email": email, "password": PASSWORD, "email_confirm": True}
                (await admin.post("/auth/v1/admin/users", json=about)).raise_for_status()
                parley = AsyncParley(proxy.url, stack.publishable_key, retry_seconds=300, timeout=5)
                await parley.auth.sign_in_with_password(email, PASSWORD)
                clients.append(parley)
        ids = [parley.auth.user_id for parley in clients]
        group = await clients[0].conversations.start_group("Chaos", users=ids[1:])
        yield [await parley.conversations.get(group.id) for parley in clients]
    finally:
        for parley in clients:
            await parley.aclose()


async def send(room: AsyncConversation, sender: int, count: int) -> list[str]:
    bodies = [f"{sender}: {number}" for number in range(count)]
    for body in bodies:
        await room.send(body)
    return bodies


async def hear(stream: EventStream, count: int) -> list[MessageCreated]:
    heard: list[MessageCreated] = []
    async for event in stream:
        if isinstance(event, MessageCreated):
            heard.append(event)
            if len(heard) == count:
                break
    return heard


async def kill_servers(stack: Stack, seed: int) -> None:
    """Kills one part after another, each a while after the stack has restarted the one before."""
    chosen = random.Random(seed)
    assert stack.process is not None
    headers = {"apikey": stack.publishable_key}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=5) as client:
        while True:
            await asyncio.sleep(chosen.uniform(*KILL_SECONDS))
            pid = child_pid(stack.process.pid, chosen.choice(PARTS))
            os.kill(pid, signal.SIGKILL)
            await asyncio.to_thread(wait_for, lambda p=pid: not Path(f"/proc/{p}").exists())
            await asyncio.to_thread(wait_for, lambda: is_ready(client))


wait_for = functools.partial(eventually, seconds=60)


def is_ready(client: httpx.Client) -> bool:
    try:
        paths = ("/auth/v1/health", "/rest/v1/settings?limit=0")
        return all(client.get(path).status_code < 500 for path in paths)
    except httpx.TransportError:
        return False


async def stored(stack: Stack, conversation_id: uuid.UUID) -> list[tuple[int, str]]:
    async with await psycopg.AsyncConnection.connect(stack.db_url) as db:
        rows = await db.execute(
            "select seq, body from chat.messages where conversation_id = %s order by seq",
            (conversation_id,),
        )
        return [(int(seq), str(body)) for seq, body in await rows.fetchall()]
