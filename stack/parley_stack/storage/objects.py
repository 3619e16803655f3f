"""Rows of ``storage.objects`` and of ``storage.buckets`` as far as objects need them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row, dict_row
from psycopg.sql import SQL, Composed
from psycopg.types.json import Jsonb

from . import errors
from .caller import owner_uuid
from .database import Connection
from .files import Place, Written

PROBE_VERSION = "1"

_COLUMNS = SQL(
    "id, bucket_id, name, version, owner, owner_id, metadata, user_metadata, "
    "created_at, updated_at, last_accessed_at"
)
_FIND = SQL("select {} from storage.objects where bucket_id = %s and name = %s").format(_COLUMNS)
_LOCK = SQL("{} for update").format(_FIND)
_INSERT = SQL(
    "insert into storage.objects "
    "(bucket_id, name, owner, owner_id, version, metadata, user_metadata) "
    "values (%(bucket)s, %(name)s, %(owner)s, %(owner_id)s, %(version)s, %(metadata)s, "
    "%(user_metadata)s)"
)
_UPSERT = SQL(
    "{} on conflict (name, bucket_id) do update set "
    "owner = excluded.owner, owner_id = excluded.owner_id, version = excluded.version, "
    "metadata = excluded.metadata, user_metadata = excluded.user_metadata "
    "returning {}"
).format(_INSERT, _COLUMNS)
_DELETE = SQL(
    "delete from storage.objects "
    "where bucket_id = %(bucket)s and (%(names)s::text[] is null or name = any (%(names)s)) "
    "returning {}"
).format(_COLUMNS)

Json = dict[str, Any]


@dataclass(frozen=True)
class BucketRules:
    """What a bucket asks of its objects."""

    id: str
    public: bool
    file_size_limit: int | None
    allowed_mime_types: list[str] | None


@dataclass(frozen=True)
class StoredObject:
    """A row."""

    id: UUID
    bucket_id: str
    name: str
    version: str | None
    owner: UUID | None
    owner_id: str | None
    metadata: Json | None
    user_metadata: Json | None
    created_at: datetime | None
    updated_at: datetime | None
    last_accessed_at: datetime | None

    @property
    def place(self) -> Place:
        return Place(self.bucket_id, self.name, self.version or "")

    def said(self, key: str) -> str:
        """A text of ``metadata``, empty if there is none; applications may write what they like."""
        value = self.metadata.get(key) if isinstance(self.metadata, dict) else None
        return value if isinstance(value, str) else ""

    def as_json(self) -> Json:
        """As remove and copy answer; null owners are empty, because clients want text."""
        return {
            "name": self.name,
            "bucket_id": self.bucket_id,
            "owner": str(self.owner or ""),
            "owner_id": self.owner_id or "",
            "version": self.version or "",
            "id": str(self.id),
            "updated_at": timestamp(self.updated_at),
            "created_at": timestamp(self.created_at),
            "last_accessed_at": timestamp(self.last_accessed_at),
            "metadata": self.metadata,
            "user_metadata": self.user_metadata,
        }


@dataclass(frozen=True)
class NewObject:
    """A row to be."""

    bucket: str
    name: str
    owner_id: str | None
    version: str
    metadata: Mapping[str, Any]
    user_metadata: Mapping[str, Any] | None = None


def timestamp(value: datetime | None) -> str | None:
    """``2021-02-17T04:43:32.770Z``"""
    if value is None:
        return None
    text = value.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def file_metadata(written: Written, mimetype: str, cache_control: str) -> Json:
    """What a row says of a file that was just stored."""
    return {
        "eTag": f'"{written.md5}"',
        "size": written.size,
        "mimetype": mimetype,
        "cacheControl": cache_control,
        "lastModified": timestamp(datetime.now(UTC)),
        "contentLength": written.size,
        "httpStatusCode": 200,
    }


async def bucket_rules(conn: Connection, bucket: str) -> BucketRules:
    """Raises NoSuchBucket."""
    if "\x00" in bucket:
        raise errors.no_such_bucket()
    async with conn.cursor(row_factory=class_row(BucketRules)) as cursor:
        await cursor.execute(
            "select id, coalesce(public, false) as public, file_size_limit, allowed_mime_types "
            "from storage.buckets where id = %s",
            (bucket,),
        )
        row = await cursor.fetchone()
    if row is None:
        raise errors.no_such_bucket()
    return row


async def find(
    conn: Connection, bucket: str, name: str, *, for_update: bool = False
) -> StoredObject | None:
    """The object, if there is one the transaction's role may see."""
    if "\x00" in name or "\x00" in bucket:
        return None
    async with conn.cursor(row_factory=class_row(StoredObject)) as cursor:
        await cursor.execute(_LOCK if for_update else _FIND, (bucket, name))
        return await cursor.fetchone()


async def get(
    conn: Connection, bucket: str, name: str, *, for_update: bool = False
) -> StoredObject:
    """As ``find``. Raises NoSuchKey."""
    found = await find(conn, bucket, name, for_update=for_update)
    if found is None:
        raise errors.no_such_key()
    return found


async def insert(conn: Connection, new: NewObject) -> None:
    """Needs the right to insert, and no other: it returns nothing."""
    await conn.execute(_INSERT, _parameters(new))


async def upsert(conn: Connection, new: NewObject) -> StoredObject:
    """Needs the rights to insert and select, even for a new name, and to update an old one."""
    async with conn.cursor(row_factory=class_row(StoredObject)) as cursor:
        await cursor.execute(_UPSERT, _parameters(new))
        row = await cursor.fetchone()
    assert row is not None
    return row


async def probe(conn: Connection, new: NewObject, *, is_upsert: bool) -> None:
    """Writes a row that the caller's transaction rolls back, to see whether the caller may."""
    new = replace(new, version=PROBE_VERSION)
    if is_upsert:
        await upsert(conn, new)
    else:
        await insert(conn, new)


async def save(
    conn: Connection, new: NewObject, *, is_upsert: bool
) -> tuple[StoredObject, Place | None]:
    """The row of a file that is on disk, and the file it replaces.

    Raises 409 for a name that is taken, unless ``is_upsert``.
    """
    # Two writers of a new name: the second must see what the first wrote.
    await conn.execute(
        "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended(%s, 0))",
        (f"{new.bucket}/{new.name}",),
    )
    old = await find(conn, new.bucket, new.name, for_update=True)
    if old is not None and not is_upsert:
        raise errors.already_exists()
    row = await upsert(conn, new)
    return row, old.place if old is not None else None


async def move(
    conn: Connection,
    row: StoredObject,
    *,
    bucket: str,
    name: str,
    version: str,
    owner_id: str | None,
) -> None:
    """A new name, and a new owner if the mover is anybody. Raises NoSuchKey."""
    cursor = await conn.execute(
        "update storage.objects set name = %(name)s, bucket_id = %(bucket)s, "
        "version = %(version)s, owner = coalesce(%(owner)s, owner), "
        "owner_id = coalesce(%(owner_id)s, owner_id) "
        "where bucket_id = %(old_bucket)s and name = %(old_name)s",
        {
            "name": name,
            "bucket": bucket,
            "version": version,
            "owner": owner_uuid(owner_id),
            "owner_id": owner_id,
            "old_bucket": row.bucket_id,
            "old_name": row.name,
        },
    )
    if cursor.rowcount == 0:
        raise errors.no_such_key()


async def delete(
    conn: Connection, bucket: str, names: list[str] | None = None
) -> list[StoredObject]:
    """Deletes those of ``names`` (None: all) that the transaction's role may see and delete."""
    async with conn.cursor(row_factory=class_row(StoredObject)) as cursor:
        await cursor.execute(_DELETE, {"bucket": bucket, "names": names})
        return await cursor.fetchall()


async def rows(
    conn: Connection, query: SQL | Composed, parameters: Mapping[str, Any]
) -> list[Json]:
    """What ``query`` finds, as dicts."""
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()


def json_size(value: Mapping[str, Any]) -> int:
    """Bytes of ``value`` as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _parameters(new: NewObject) -> Json:
    return {
        "bucket": new.bucket,
        "name": new.name,
        "owner": owner_uuid(new.owner_id),
        "owner_id": new.owner_id,
        "version": new.version,
        "metadata": Jsonb(dict(new.metadata)),
        "user_metadata": Jsonb(dict(new.user_metadata or {})),
    }
