"""Lists of objects: what the caller may select, in both versions of the call."""

from __future__ import annotations

import base64
import binascii
from datetime import datetime
from typing import Any, Literal

from psycopg.sql import SQL, Composed
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import bodies, caller, errors, objects
from .bodies import MAX_INTEGER, Body
from .database import transaction
from .objects import Json, timestamp
from .server import Server

_V1_LIMIT = 1500
_TIMES = ("created_at", "updated_at", "last_accessed_at")

_SEARCH = SQL("""
select name, id, updated_at, created_at, last_accessed_at, metadata
from storage.search(
    %(prefix)s, %(bucket)s, %(limit)s, %(levels)s, %(offset)s, %(search)s, %(column)s, %(order)s
)
""")

# Times are compared as clients see them: in milliseconds.
_FLAT = SQL("""
select id, name, created_at, updated_at, last_accessed_at, metadata
from storage.objects
where bucket_id = %(bucket)s and starts_with(name, %(prefix)s) and {after}
order by {order}
limit %(limit)s
""")

_FOLDERS = SQL("""
select key, name, id, created_at, updated_at, last_accessed_at, metadata
from storage.search_v2(
    %(prefix)s, %(bucket)s, %(limit)s, %(levels)s, %(last)s, %(order)s, %(column)s, %(time)s
)
""")


class SortBy(Body):
    column: Literal["name", "updated_at", "created_at", "last_accessed_at"] | None = None
    order: Literal["asc", "desc"] | None = None


class ListBody(Body):
    prefix: str
    limit: int = Field(100, ge=1, le=MAX_INTEGER)
    offset: int = Field(0, ge=0, le=MAX_INTEGER)
    sort_by: SortBy = Field(SortBy(), alias="sortBy")
    search: str = ""


class SortByV2(Body):
    column: Literal["name", "created_at", "updated_at"] | None = None
    order: Literal["asc", "desc"] | None = None


class ListV2Body(Body):
    prefix: str = ""
    limit: int = Field(1000, ge=1, le=1000)
    cursor: str = ""
    with_delimiter: bool = False
    sort_by: SortByV2 = Field(SortByV2(), alias="sortBy")


class Cursor(Body):
    """Where a page ended; ``time`` is that of the last item, when sorted by one."""

    last: str
    order: Literal["asc", "desc"] = "asc"
    column: Literal["name", "created_at", "updated_at"] = "name"
    time: str = ""

    def encode(self) -> str:
        lines = [f"l:{self.last}", f"o:{self.order}", f"c:{self.column}"]
        if self.time:
            lines.append(f"a:{self.time}")
        return base64.b64encode("\n".join(lines).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Raises InvalidRequest."""
        fields = {"l": "last", "o": "order", "c": "column", "a": "time"}
        try:
            lines = base64.b64decode(text, validate=True).decode().split("\n")
            named = dict(line.split(":", 1) for line in lines)
            cursor = cls.model_validate({fields[key]: value for key, value in named.items()})
            if cursor.column != "name":
                datetime.fromisoformat(cursor.time)
            if not bodies.can_be_stored(named):
                raise ValueError("a null character")
        except (binascii.Error, ValueError, KeyError) as error:
            raise errors.invalid_body("body/cursor is not valid") from error
        return cursor


async def list_v1(server: Server, request: Request) -> Response:
    """One level of folders; a bucket that is not there, or not to be seen, is empty."""
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, ListBody)
    prefix = body.prefix
    if prefix and not prefix.endswith("/"):
        prefix += "/"
    parameters = {
        "prefix": prefix,
        "bucket": request.path_params["bucket"].replace("\x00", ""),
        "limit": min(body.limit, _V1_LIMIT),
        # The search may itself name folders.
        "levels": (prefix + body.search).count("/") + 1,
        "offset": body.offset,
        "search": body.search,
        "column": body.sort_by.column or "name",
        "order": body.sort_by.order or "asc",
    }
    async with transaction(server.pool, who, request, "storage.object.list") as conn:
        found = await objects.rows(conn, _SEARCH, parameters)
    return JSONResponse([_item(row) for row in found])


async def list_v2(server: Server, request: Request) -> Response:
    """Page by page, in the order of bytes; ``with_delimiter``: one level, with its folders."""
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, ListV2Body)
    sort = body.sort_by
    start = (
        Cursor.decode(body.cursor)
        if body.cursor
        else Cursor(last="", order=sort.order or "asc", column=sort.column or "name")
    )
    parameters = {
        "prefix": body.prefix,
        "bucket": request.path_params["bucket"].replace("\x00", ""),
        # One more, to know whether there is more.
        "limit": body.limit + 1,
        "levels": body.prefix.count("/") + 1,
        "last": start.last,
        "order": start.order,
        "column": start.column,
        "time": start.time,
    }
    query = _FOLDERS if body.with_delimiter else _flat_query(start)
    async with transaction(server.pool, who, request, "storage.object.list_v2") as conn:
        found = await objects.rows(conn, query, parameters)
    page = found[: body.limit]
    answer: Json = {
        "hasNext": len(found) > len(page),
        "folders": [_item(row) for row in page if row["id"] is None],
        "objects": [_item(row) for row in page if row["id"] is not None],
    }
    if answer["hasNext"]:
        last = page[-1]
        time = timestamp(last.get(start.column)) if start.column != "name" else ""
        end = Cursor(last=last["name"], order=start.order, column=start.column, time=time or "")
        answer["nextCursor"] = end.encode()
        answer["nextCursorKey"] = last["name"]
    return JSONResponse(answer)


def _flat_query(start: Cursor) -> Composed:
    """Keyset pages; ``column`` and ``order`` are of closed sets."""
    compare = "<" if start.order == "desc" else ">"
    name, last = 'name collate "C"', '%(last)s::text collate "C"'
    order, after = f"{name} {start.order}", f"{name} {compare} {last}"
    if start.column != "name":
        time = f"date_trunc('milliseconds', {start.column})"
        order = f"{time} {start.order}, {order}"
        after = f"({time}, {name}) {compare} (%(time)s::timestamptz, {last})"
    return _FLAT.format(order=SQL(order), after=SQL(after if start.last else "true"))


def _item(row: Json) -> dict[str, Any]:
    item = {**row, "id": str(row["id"]) if row["id"] else None}
    return {**item, **{name: timestamp(row[name]) for name in _TIMES}}
