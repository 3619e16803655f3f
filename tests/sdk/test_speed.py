"""What the SDK adds to the same requests made with httpx, and what an open stream weighs.

Medians of requests made in turn, so that a busy machine is busy for both. ``-s`` prints them.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import httpx

from parley import new_id
from parley._async.messages import SELECT
from support.stacks import Stack

if TYPE_CHECKING:
    from .conftest import Person, Room

    People = Callable[..., Awaitable[Person]]

ROUNDS, ATTEMPTS = 60, 4
MOST_ADDED = 0.15
MOST_IMPORT_SECONDS = 0.3
MOST_BYTES_PER_STREAM = 200_000

Work = Callable[[], Awaitable[object]]


async def compared(ours: Work, theirs: Work) -> tuple[float, float]:
    """Median seconds of each, one after the other in turn."""
    times: dict[Work, list[float]] = {ours: [], theirs: []}
    for _ in range(ROUNDS):
        for work in (ours, theirs):
            began = time.perf_counter()
            await work()
            times[work].append(time.perf_counter() - began)
    return statistics.median(times[ours]), statistics.median(times[theirs])


async def least_added(name: str, ours: Work, theirs: Work) -> float:
    """How much longer ours takes; measured again when other programs may have disturbed it."""
    await ours()
    least = float("inf")
    for _ in range(ATTEMPTS):
        mine, plain = await compared(ours, theirs)
        added = mine / plain - 1
        print(f"{name}: {mine * 1000:.2f} ms, httpx {plain * 1000:.2f} ms, {added:+.1%}")
        least = min(least, added)
        if least < MOST_ADDED:
            break
    return least


async def test_little_is_added_to_the_requests(stack: Stack, room: Room) -> None:
    for number in range(50):
        await room.as_alice.send(f"message {number}")
    token = room.alice.parley.auth.access_token
    headers = {
        "apikey": stack.publishable_key,
        "Authorization": f"Bearer {token}",
        "Accept-Profile": "chat",
        "Content-Profile": "chat",
    }
    async with httpx.AsyncClient(base_url=f"{stack.api_url}/rest/v1", headers=headers) as raw:

        async def raw_send() -> object:
            body = {"conversation_id": str(room.as_alice.id), "body": "hi", "id": str(new_id())}
            return (await raw.post("/rpc/send_message", json=body)).raise_for_status().json()

        async def raw_inbox() -> object:
            order = {"order": "last_activity_at.desc,conversation_id.desc", "limit": "31"}
            return (await raw.get("/inbox", params={"select": "*", **order})).json()

        async def raw_history() -> object:
            params = {
                "select": SELECT,
                "conversation_id": f"eq.{room.as_alice.id}",
                "order": "seq.desc",
                "limit": "51",
            }
            return json.loads((await raw.get("/messages", params=params)).content)

        for name, ours, theirs in (
            ("send", lambda: room.as_alice.send("hi"), raw_send),
            ("inbox", room.alice.parley.inbox.list, raw_inbox),
            ("history of 50", room.as_alice.history, raw_history),
        ):
            added = await least_added(name, ours, theirs)
            assert added < MOST_ADDED, name


async def test_an_open_stream_is_small(people: People) -> None:
    alice = await people("alice")
    rooms = [await alice.parley.conversations.start_group(f"{n}") for n in range(21)]
    first = rooms[0].events()
    await first.__aenter__()
    streams = [room.events() for room in rooms[1:]]
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for stream in streams:
        await stream.__aenter__()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for stream in (first, *streams):
        await stream.aclose()
    each = (after - before) / len(streams)
    print(f"{each / 1000:.0f} kB for each open stream")
    assert each < MOST_BYTES_PER_STREAM


def test_importing_is_quick() -> None:
    code = (
        "import time, sys; import httpx, pydantic; began = time.process_time();"
        "from parley import AsyncParley; print(time.process_time() - began)"
    )
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    print(f"import, besides httpx and pydantic: {min(times) * 1000:.0f} ms")
    assert min(times) < MOST_IMPORT_SECONDS
