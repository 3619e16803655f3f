"""Everything of a person, to take along."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

import httpx
from pydantic import BaseModel

from parley import _retry, _wire
from parley._compat import async_sleep, async_write
from parley._errors import ParleyError
from parley._files import Progress
from parley._models import PersonalExport, WrittenExport

from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_NEWEST_FIRST: Final = _wire.Keyset(("created_at", "id"), (datetime, UUID))


class _Answer(PersonalExport):
    url: str | None


class _Link(BaseModel):
    path: str
    url: str


class _Index(BaseModel):
    parts: tuple[_Link, ...]
    files: tuple[_Link, ...]


class AsyncExports:
    """``parley.exports``: what the user wrote and did, and what describes them; their files too.

    Nothing that others wrote is in it.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def write(
        self, *, on_progress: Callable[[PersonalExport], None] | None = None
    ) -> WrittenExport:
        """Has the backend write an export; goes on with one that was cut off.

        For a day after it is finished the same one is returned, with a new address.
        on_progress: Called as it grows.

        Raises AuthenticationError when nobody is signed in.
        """
        begun = await self._services.rest.one(PersonalExport, _wire.call("begin_export"))
        while True:
            if on_progress is not None:
                on_progress(begun)
            answer = await self._go_on()
            if answer.url is not None:
                return WrittenExport(**answer.model_dump())
            begun = answer

    async def save(
        self,
        export: WrittenExport,
        to: Path | str,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Path:
        """Writes it to a folder: ``rows.ndjson``, and ``files`` unless they are there already.

        on_progress: Called after each piece of each file.

        Returns the path of the rows.
        """
        index = _wire.parse_model(_Index, await self._content(export.url))
        rows = _made_place(Path(to), "rows.ndjson")
        await self._save(rows, index.parts, on_progress)
        for link in index.files:
            target = _made_place(Path(to), link.path)
            if not target.exists():
                await self._save(target, (link,), on_progress)
        return rows

    async def list(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[PersonalExport]:
        """The user's exports of the last days, newest first."""
        return await self._services.rest.page(
            PersonalExport, _NEWEST_FIRST, limit=limit, cursor=cursor
        )

    async def _go_on(self) -> _Answer:
        """One call of the edge function, which writes for some seconds."""
        waits = _retry.delays(self._services.config.retry_seconds)
        while True:
            try:
                response = await self._services.rest.exchange(
                    "POST",
                    f"{self._services.config.functions_url}/export-user-data",
                    params=httpx.QueryParams(),
                    content=json.dumps({}).encode(),
                    headers={"Content-Type": "application/json"},
                )
            except ParleyError as error:
                wait = next(waits, None) if _retry.is_passing(error) else None
                if wait is None:
                    raise
                await async_sleep(wait)
            else:
                return _wire.parse_model(_Answer, response.content)

    async def _content(self, url: str) -> bytes:
        pieces = self._services.storage.signed_pieces(url, "index.json", None)
        return b"".join([piece async for piece in pieces])

    async def _save(
        self,
        target: Path,
        links: tuple[_Link, ...],
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        """Puts what is at the links one after the other into a file."""
        part = target.with_name(target.name + ".part")
        with part.open("wb") as file:
            for link in links:
                async for piece in self._services.storage.signed_pieces(
                    link.url, link.path, on_progress
                ):
                    await async_write(file, piece)
        part.replace(target)


def _made_place(folder: Path, path: str) -> Path:
    """A path below the folder, whose own folder is there. Raises ServerError for any other."""
    target = folder / path
    if not target.resolve().is_relative_to(folder.resolve()):
        raise _wire.unreadable()
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
