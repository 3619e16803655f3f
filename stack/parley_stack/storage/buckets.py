"""``/bucket``: row security on ``storage.buckets`` applies to every call."""

from __future__ import annotations

from typing import Any, Literal

from psycopg import errors as pg
from psycopg.rows import dict_row
from psycopg.sql import SQL, Composable, Identifier, Placeholder
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import bodies, caller, errors, names, objects
from .bodies import MAX_INTEGER, Body
from .caller import Caller
from .database import Connection, act_as, transaction
from .objects import timestamp
from .server import Server
from .sizes import parse_size

_COLUMNS = SQL(
    "id, name, owner, coalesce(public, false) as public, created_at, updated_at, "
    "file_size_limit, allowed_mime_types, type::text"
)
_GET = SQL("select {} from storage.buckets where id = %s").format(_COLUMNS)
_PAGE = SQL(
    "select {columns} from storage.buckets "
    "where type = 'STANDARD' and position(lower(%(search)s) in lower(name)) > 0 "
    "order by {column} {order}, id limit %(limit)s offset %(offset)s"
)


class BucketFields(Body):
    public: bool | None = None
    file_size_limit: int | str | None = None
    allowed_mime_types: list[str] | None = None


class NewBucket(BucketFields):
    name: str
    id: str | None = None
    type: Literal["STANDARD", "ANALYTICS", "VECTOR"] | None = None


class BucketPage(Body):
    limit: int | None = Field(None, ge=1, le=MAX_INTEGER)
    offset: int = Field(0, ge=0, le=MAX_INTEGER)
    sort_column: Literal["id", "name", "created_at", "updated_at"] = Field("id", alias="sortColumn")
    sort_order: Literal["asc", "desc"] = Field("asc", alias="sortOrder")
    search: str = ""


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """Clients want an owner that is text."""
    return {
        "id": row["id"],
        "name": row["name"],
        "owner": str(row["owner"] or ""),
        "public": row["public"],
        "created_at": timestamp(row["created_at"]),
        "updated_at": timestamp(row["updated_at"]),
        "file_size_limit": row["file_size_limit"],
        "allowed_mime_types": row["allowed_mime_types"],
    }


async def _get(conn: Connection, bucket: str) -> dict[str, Any]:
    if "\x00" in bucket:
        raise errors.no_such_bucket()
    async with conn.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_GET, (bucket,))
        row = await cursor.fetchone()
    if row is None:
        raise errors.no_such_bucket()
    return row


async def create(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, NewBucket)
    if body.type not in (None, "STANDARD"):
        raise errors.not_offered(f"a bucket of type {body.type}")
    bucket = names.check_bucket(body.id or body.name)
    names.check_bucket(body.name)
    values = {
        "id": bucket,
        "name": body.name,
        "owner": caller.owner_uuid(who.owner_id),
        "owner_id": who.owner_id,
        **_settings(server, body),
    }
    try:
        async with transaction(server.pool, who, request, "storage.bucket.create") as conn:
            await conn.execute(
                SQL("insert into storage.buckets ({}) values ({})").format(
                    SQL(", ").join(map(Identifier, values)),
                    SQL(", ").join(map(Placeholder, values)),
                ),
                values,
            )
    except pg.UniqueViolation as error:
        raise errors.already_exists("BucketAlreadyExists") from error
    return JSONResponse({"name": bucket})


async def list_all(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    page = bodies.parse_query(request, BucketPage)
    query = _PAGE.format(
        columns=_COLUMNS, column=Identifier(page.sort_column), order=SQL(page.sort_order)
    )
    async with transaction(server.pool, who, request, "storage.bucket.list") as conn:
        rows = await objects.rows(conn, query, page.model_dump())
    return JSONResponse([{**as_json(row), "type": row["type"]} for row in rows])


async def get(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    async with transaction(server.pool, who, request, "storage.bucket.get") as conn:
        return JSONResponse(as_json(await _get(conn, request.path_params["bucket"])))


async def update(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, BucketFields, keeps_null=True)
    values = _settings(server, body)
    # Something to set, so that the right to update is asked for in any case.
    assignments: list[Composable] = [
        SQL("{} = {}").format(Identifier(name), Placeholder(name)) for name in values
    ]
    assignments.append(SQL("updated_at = now()"))
    async with transaction(server.pool, who, request, "storage.bucket.update") as conn:
        bucket = (await _get(conn, request.path_params["bucket"]))["id"]
        cursor = await conn.execute(
            SQL("update storage.buckets set {} where id = %(id)s").format(
                SQL(", ").join(assignments)
            ),
            {**values, "id": bucket},
        )
        if cursor.rowcount == 0:
            raise errors.no_such_bucket()
    return JSONResponse({"message": "Successfully updated"})


async def empty(server: Server, request: Request) -> Response:
    """At once, where the official server does it later; row security decides of what."""
    who = caller.of_request(server.keys, request)
    await bodies.read(request)
    bucket = request.path_params["bucket"]
    async with transaction(server.pool, who, request, "storage.bucket.empty") as conn:
        await _get(conn, bucket)
        gone = await objects.delete(conn, bucket)
    await server.files.delete(row.place for row in gone)
    message = "Empty bucket has been queued. Completion may take up to an hour."
    return JSONResponse({"message": message})


async def delete(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    await bodies.read(request)
    bucket = request.path_params["bucket"]
    operation = "storage.bucket.delete"
    try:
        async with transaction(server.pool, who, request, operation) as conn:
            await _get(conn, bucket)
            await _require_empty(server, conn, who, request, bucket)
            cursor = await conn.execute("delete from storage.buckets where id = %s", (bucket,))
            if cursor.rowcount == 0:
                raise errors.no_such_bucket()
    except pg.ForeignKeyViolation as error:
        raise errors.not_empty() from error
    return JSONResponse({"message": "Successfully deleted"})


async def _require_empty(
    server: Server, conn: Connection, who: Caller, request: Request, bucket: str
) -> None:
    """Raises ResourceNotEmpty, also for objects that the caller cannot see."""
    operation = "storage.bucket.delete"
    await act_as(conn, server.service, request, operation)
    cursor = await conn.execute(
        "select exists (select from storage.objects where bucket_id = %s)", (bucket,)
    )
    if await cursor.fetchone() == (True,):
        raise errors.not_empty()
    await act_as(conn, who, request, operation)


def _settings(server: Server, body: BucketFields) -> dict[str, Any]:
    """Columns to set: those that ``body`` names."""
    values: dict[str, Any] = {}
    given = body.model_fields_set
    if "public" in given:
        values["public"] = bool(body.public)
    if "file_size_limit" in given:
        limit = body.file_size_limit
        values["file_size_limit"] = None if limit is None else _limit(server, limit)
    if "allowed_mime_types" in given:
        names.check_allowed_entries(body.allowed_mime_types or ())
        values["allowed_mime_types"] = body.allowed_mime_types
    return values


def _limit(server: Server, given: int | str) -> int:
    size = parse_size(given)
    if size > server.settings.file_size_limit:
        raise errors.too_large()
    return size
