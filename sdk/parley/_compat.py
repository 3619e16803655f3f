"""What differs between the asynchronous and the synchronous world. Nothing else does.

Each name that begins with ``async_`` or ``Async`` has a twin without: scripts/sync_client.py puts
one in the place of the other.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import BinaryIO


async def async_sleep(seconds: float) -> None:
    """Waits."""
    await asyncio.sleep(seconds)


async def async_read(source: BinaryIO, size: int) -> bytes:
    """Reads from a file."""
    return await asyncio.to_thread(source.read, size)


async def async_write(target: BinaryIO, content: bytes) -> None:
    """Writes to a file."""
    await asyncio.to_thread(target.write, content)


class AsyncSingleFlight:
    """Runs one thing at a time: whoever asks meanwhile waits for the same run.

    The run goes on when a waiter is cancelled, so that what it does is never left half done.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs ``work`` or joins the run under way; raises what it raises."""
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(_awaited(work))
            self._task.add_done_callback(_retrieve_exception)
        await asyncio.shield(self._task)

    async def aclose(self) -> None:
        """Ends the run under way, if any."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])


async def _awaited(work: Callable[[], Awaitable[None]]) -> None:
    await work()


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    # The waiters raise it; when all were cancelled, nobody needs to hear of it.
    if not task.cancelled():
        task.exception()


def sleep(seconds: float) -> None:
    """Waits."""
    time.sleep(seconds)


def read(source: BinaryIO, size: int) -> bytes:
    """Reads from a file."""
    return source.read(size)


def write(target: BinaryIO, content: bytes) -> None:
    """Writes to a file."""
    target.write(content)


class SingleFlight:
    """Runs one thing at a time: who asks meanwhile, in another thread, waits for the same run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs = 0

    def run(self, work: Callable[[], None]) -> None:
        """Runs ``work``, unless a run that was under way has just ended; raises what it raises."""
        runs = self._runs
        with self._lock:
            if self._runs == runs:
                try:
                    work()
                finally:
                    self._runs += 1

    def close(self) -> None:
        """Nothing: a run ends before its thread does."""
