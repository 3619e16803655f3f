"""A stack's Storage server: its connections, its files, and their upkeep."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import psycopg
from psycopg_pool import AsyncConnectionPool
from starlette.types import ASGIApp

from parley_stack.config.sections import Storage as StorageSettings
from parley_stack.keys import Keys

from . import resumable
from .app import create_app
from .caller import service_caller
from .files import FileStore, Place
from .server import Server

_log = logging.getLogger(__name__)

_POOL_SIZE = 8
_POOL_WAIT_SECONDS = 10.0
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 2.0


class Storage:
    """One per stack. ``conninfo``: libpq string of ``supabase_storage_admin``.

    ``folder``: where the files are; it belongs to this server alone.
    """

    def __init__(self, settings: StorageSettings, keys: Keys, conninfo: str, folder: Path) -> None:
        self._pool = AsyncConnectionPool(
            conninfo, min_size=1, max_size=_POOL_SIZE, open=False, timeout=_POOL_WAIT_SECONDS
        )
        self._files = FileStore(folder)
        server = Server(settings, keys, self._pool, self._files, service_caller(keys))
        self.app: ASGIApp = create_app(server)
        self._sweep: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Neither waits for the database nor fails without it."""
        found = self._files.open()
        resumable.delete_expired(self._files.resumable)
        await self._pool.open(wait=False)
        if found:
            self._sweep = asyncio.create_task(self._delete_orphans(found), name="storage-sweep")

    async def stop(self) -> None:
        """Lets the database go."""
        if self._sweep is not None:
            self._sweep.cancel()
            await asyncio.gather(self._sweep, return_exceptions=True)
        await self._pool.close(_STOP_SECONDS)

    async def ready(self) -> None:
        """Returns once there is a connection to the database."""
        await self._pool.wait(_POOL_WAIT_SECONDS)

    async def _delete_orphans(self, found: list[str]) -> None:
        """Deletes those of the files ``found`` at the start that no row has.

        A process that was killed leaves them: between file and row of an upload, and between row
        and file of a removal.
        """
        while True:
            try:
                kept = await self._rows()
                break
            except psycopg.Error as error:
                _log.warning("orphaned files were not looked for: %s", error.sqlstate)
                await asyncio.sleep(_RETRY_SECONDS)
        orphans = [name for name in found if name not in kept]
        await asyncio.to_thread(self._files.discard, orphans)
        if orphans:
            _log.warning("deleted %d files that no object has", len(orphans))

    async def _rows(self) -> set[str]:
        """Names of the files that rows have."""
        names = set()
        async with self._pool.connection() as conn:
            # Waits for what the killed process had sent and the database is still doing.
            await conn.execute("lock table storage.objects in share mode")
            rows = await conn.execute(
                "select bucket_id, name, version from storage.objects where version is not null"
            )
            async for row in rows:
                try:
                    names.add(Place(*row).file_name)
                except ValueError:
                    continue
        return names
