"""Keeps the scheduler and the sender at work, each on a connection of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from .cron import Conninfo, Scheduler
from .net import Sender

_PAUSE_SECONDS = 0.5
_SUPERUSER = "supabase_admin"


class Extensions:
    """What ``pg_cron`` and ``pg_net`` would do inside the server."""

    def __init__(self, conninfo: Conninfo) -> None:
        self._conninfo = conninfo(_SUPERUSER, "postgres")
        self._workers = (
            Scheduler(conninfo, _SUPERUSER).run,
            Sender(self._conninfo).run,
        )
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begins; the database need not be there yet."""
        self._tasks = [asyncio.create_task(self._keep(work)) for work in self._workers]

    async def stop(self) -> None:
        """Ends both; jobs and requests under way are broken off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, work: Callable[[psycopg.AsyncConnection[Any]], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(psycopg.Error):
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True
                ) as connection:
                    await work(connection)
            await asyncio.sleep(_PAUSE_SECONDS)
