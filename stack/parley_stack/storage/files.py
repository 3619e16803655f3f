"""The bytes of objects, on disk.

::

    objects/<xx>/<place>-<version>   an object's file; place is a hash of bucket and name
    incoming/<version>               one being written
    resumable/<id>[.json]            resumable uploads, kept until they end or expire

A file appears under ``objects`` complete, synced, and under a name that was never used before; it
is not changed afterwards. Names come from hashes and uuids, so that no object's name reaches the
file system, and a row with somebody else's version does not lead to that file.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

Data = bytes | bytearray

_BLOCK_BYTES = 1 << 20
_HASH_LENGTH = 32


class TooLargeError(Exception):
    """More bytes came than were allowed."""


@dataclass(frozen=True)
class Place:
    """Where an object's bytes are: each version of a name has a file of its own."""

    bucket: str
    name: str
    version: str

    @property
    def file_name(self) -> str:
        """Raises ValueError for a version that this server did not make."""
        place = hashlib.sha256(f"{self.bucket}/{self.name}".encode()).hexdigest()[:_HASH_LENGTH]
        return f"{place}-{uuid.UUID(self.version)}"


@dataclass(frozen=True)
class Written:
    """A file that is on disk, whether or not a row has it."""

    place: Place
    size: int
    md5: str


class FileStore:
    """The files below one folder, which belongs to one process."""

    def __init__(self, root: Path) -> None:
        self._objects = root / "objects"
        self._incoming = root / "incoming"
        self.resumable = root / "resumable"

    def open(self) -> list[str]:
        """Makes the folders, forgets writes that a killed process left; returns all files' names.

        Those that no row has are to be given to ``discard``.
        """
        shutil.rmtree(self._incoming, ignore_errors=True)
        for folder in (self._objects, self._incoming, self.resumable):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return [path.name for path in self._objects.glob("??/*")]

    async def write(
        self, bucket: str, name: str, chunks: AsyncIterator[bytes], limit: int
    ) -> Written:
        """Stores what ``chunks`` give as a new version. Raises TooLargeError beyond ``limit``.

        Nothing stays of a write that fails. At most about a block is held in memory.
        """
        place = Place(bucket, name, str(uuid.uuid4()))
        temporary = self._incoming / place.version
        md5 = hashlib.md5(usedforsecurity=False)
        try:
            with FileIO(temporary, "xb", opener=_private) as file:

                def put(block: Data) -> None:
                    md5.update(block)
                    write_all(file, block)

                size = await pour(chunks, put, limit)

                def finish() -> None:
                    os.fsync(file.fileno())
                    self._publish(temporary, place)

                await asyncio.to_thread(finish)
        finally:
            temporary.unlink(missing_ok=True)
        return Written(place, size, md5.hexdigest())

    async def adopt(self, source: Path, bucket: str, name: str) -> Written:
        """Stores a complete file as a new version; ``source`` stays where it is."""
        place = Place(bucket, name, str(uuid.uuid4()))

        def adopt() -> Written:
            with source.open("rb") as file:
                os.fsync(file.fileno())
                md5 = hashlib.file_digest(file, _md5)
            self._publish_copy(source, place)
            return Written(place, source.stat().st_size, md5.hexdigest())

        return await asyncio.to_thread(adopt)

    async def copy(self, source: Place, bucket: str, name: str) -> Place:
        """The same bytes as a version of another name. Raises FileNotFoundError."""
        target = Place(bucket, name, str(uuid.uuid4()))
        await asyncio.to_thread(self._publish_copy, self._path(source), target)
        return target

    def open_file(self, place: Place) -> FileIO:
        """For reading. Raises FileNotFoundError."""
        return FileIO(self._path(place), "rb")

    async def delete(self, places: Iterable[Place]) -> None:
        """Deletes files; those that are not there are none of its concern."""

        def delete() -> None:
            for place in places:
                with contextlib.suppress(FileNotFoundError):
                    self._path(place).unlink()

        await asyncio.to_thread(delete)

    def discard(self, names: Iterable[str]) -> None:
        """Deletes files by the names that ``open`` returned."""
        for name in names:
            (self._objects / name[:2] / name).unlink(missing_ok=True)

    def _path(self, place: Place) -> Path:
        try:
            name = place.file_name
        except ValueError as error:
            raise FileNotFoundError(place.version) from error
        return self._objects / name[:2] / name

    def _publish(self, source: Path, place: Place) -> None:
        """Makes a synced file that of ``place``; from then on it survives a crash."""
        target = self._path(place)
        if not target.parent.is_dir():
            target.parent.mkdir(mode=0o700, exist_ok=True)
            _sync_folder(self._objects)
        source.rename(target)
        _sync_folder(target.parent)

    def _publish_copy(self, source: Path, place: Place) -> None:
        """As ``_publish``; ``source`` stays."""
        temporary = self._incoming / place.version
        try:
            # Not a copy where the file system can: files are never changed.
            os.link(source, temporary)
        except FileNotFoundError:
            raise
        except OSError:
            shutil.copyfile(source, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        self._publish(temporary, place)


async def pour(chunks: AsyncIterator[bytes], put: Callable[[Data], None], limit: int) -> int:
    """Gives ``put`` what ``chunks`` give, in pieces and in a thread; returns how much that was.

    Also what came before a failure. Raises TooLargeError beyond ``limit``.
    """
    block, size = bytearray(), 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            if size > limit:
                raise TooLargeError
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                full, block = block, bytearray()
                await asyncio.to_thread(put, full)
    finally:
        if block:
            await asyncio.to_thread(put, block)
    return size


def write_all(file: FileIO, data: Data) -> None:
    """Writes all of ``data``, however little the system takes at a time."""
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
