"""What an open stream weighs."""

from __future__ import annotations

import tracemalloc
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Person

    People = Callable[..., Awaitable[Person]]

MOST_BYTES_PER_STREAM = 200_000


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
