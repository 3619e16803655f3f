"""``[storage.buckets]`` of config.toml: made after the migrations, at every start.

Existing buckets get what the file says; files below ``objects_path`` are uploaded where the object
is not there or is another. As ``supabase start`` and ``supabase seed buckets`` do.
"""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from parley_stack.config import Config
from parley_stack.errors import StackError

from . import names, objects
from .errors import StorageError
from .files import FileStore, Place
from .incoming import DEFAULT_TYPE, NO_CACHE

_UPSERT_BUCKET = """
insert into storage.buckets as b (id, name, public, file_size_limit, allowed_mime_types)
values (%(id)s, %(id)s, %(public)s, %(limit)s, %(types)s)
on conflict (id) do update set
    public = excluded.public,
    file_size_limit = excluded.file_size_limit,
    allowed_mime_types = excluded.allowed_mime_types
where
    (b.public, b.file_size_limit, b.allowed_mime_types) is distinct from
    (excluded.public, excluded.file_size_limit, excluded.allowed_mime_types)
"""

_UPSERT_OBJECT = """
insert into storage.objects (bucket_id, name, version, metadata, user_metadata)
values (%(bucket)s, %(name)s, %(version)s, %(metadata)s, '{}')
on conflict (bucket_id, name) do update set
    version = excluded.version,
    metadata = excluded.metadata
"""


def seed_buckets(config: Config, conninfo: str, folder: Path, tell: Callable[[str], None]) -> None:
    """``conninfo``: of somebody whom row security lets pass. ``folder``: the server's files.

    Raises StackError for a name that is none.
    """
    try:
        _seed(config, conninfo, folder, tell)
    except StorageError as error:
        raise StackError(f"[storage.buckets]: {error.message}") from error


def _seed(config: Config, conninfo: str, folder: Path, tell: Callable[[str], None]) -> None:
    declared = config.storage.buckets
    if not config.storage.enabled or not declared:
        return
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for name, bucket in declared.items():
            names.check_bucket(name)
            connection.execute(
                _UPSERT_BUCKET,
                {
                    "id": name,
                    "public": bucket.public,
                    "limit": bucket.file_size_limit or None,
                    "types": list(bucket.allowed_mime_types) or None,
                },
            )
            tell(f"Made bucket {name}")
            if bucket.objects_path:
                _upload_all(connection, FileStore(folder), name, config.path(bucket.objects_path))


def _upload_all(
    connection: psycopg.Connection, files: FileStore, bucket: str, folder: Path
) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = names.check_key(path.relative_to(folder).as_posix())
            _upload(connection, files, bucket, name, path)


def _upload(
    connection: psycopg.Connection, files: FileStore, bucket: str, name: str, path: Path
) -> None:
    with path.open("rb") as file:
        tag = f'"{hashlib.file_digest(file, "md5").hexdigest()}"'
    row = connection.execute(
        "select version, metadata ->> 'eTag' from storage.objects "
        "where bucket_id = %s and name = %s",
        (bucket, name),
    ).fetchone()
    if row is not None and row[1] == tag:
        return
    written = asyncio.run(files.write(bucket, name, _pieces(path), path.stat().st_size))
    kind = mimetypes.guess_type(path.name)[0] or DEFAULT_TYPE
    metadata = objects.file_metadata(written, kind, NO_CACHE)
    connection.execute(
        _UPSERT_OBJECT,
        {
            "bucket": bucket,
            "name": name,
            "version": written.place.version,
            "metadata": Jsonb(metadata),
        },
    )
    if row is not None and row[0]:
        asyncio.run(files.delete([Place(bucket, name, row[0])]))


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            yield block
