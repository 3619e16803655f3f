"""Downloads and what is known of an object: GET and HEAD, with ranges and conditions."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from io import FileIO
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from . import caller, errors, names, objects, signing
from .database import act_as, transaction
from .incoming import DEFAULT_TYPE, NO_CACHE
from .objects import StoredObject, timestamp
from .server import Server

_BLOCK_BYTES = 256 << 10
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_LAST_TIME = 253_402_300_799
"""End of the year 9999, beyond which there are no dates."""
_COMPONENT = "!'()*-._~"
"""What JavaScript's encodeURIComponent leaves as it is, besides letters and digits."""


async def get(server: Server, request: Request) -> Response:
    async def find() -> StoredObject:
        return await _visible(server, request, "storage.object.get_authenticated")

    return await _send(server, request, find)


async def get_public(server: Server, request: Request) -> Response:
    async def find() -> StoredObject:
        return await _public(server, request, "storage.object.get_public")

    return await _send(server, request, find)


async def get_signed(server: Server, request: Request) -> Response:
    bucket, path = request.path_params["bucket"], request.path_params["name"]
    token = request.query_params.get("token", "")
    name, ends = signing.verify_download(server.keys, token, bucket, path)

    async def find() -> StoredObject:
        operation = "storage.object.get_signed"
        async with transaction(server.pool, server.service, request, operation) as conn:
            return await objects.get(conn, bucket, name)

    return await _send(server, request, find, ends=ends)


async def info(server: Server, request: Request) -> Response:
    operation = f"object.{'head' if request.method == 'HEAD' else 'get'}_authenticated_info"
    return _describe(await _visible(server, request, operation))


async def info_public(server: Server, request: Request) -> Response:
    return _describe(await _public(server, request, "storage.object.info_public"))


async def _visible(server: Server, request: Request, operation: str) -> StoredObject:
    """The object, if the caller may read it or the bucket is public.

    Without a good token a private bucket does not exist. Raises NoSuchBucket, NoSuchKey.
    """
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    async with transaction(server.pool, server.service, request, operation) as conn:
        rules = await objects.bucket_rules(conn, bucket)
        if not rules.public:
            try:
                who = caller.of_request(server.keys, request)
            except errors.StorageError as error:
                raise errors.no_such_bucket() from error
            await act_as(conn, who, request, operation)
        return await objects.get(conn, bucket, name)


async def _public(server: Server, request: Request, operation: str) -> StoredObject:
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    async with transaction(server.pool, server.service, request, operation) as conn:
        if not (await objects.bucket_rules(conn, bucket)).public:
            raise errors.no_such_bucket()
        return await objects.get(conn, bucket, name)


def _describe(row: StoredObject) -> Response:
    metadata = row.metadata if isinstance(row.metadata, dict) else {}
    return JSONResponse(
        {
            "id": str(row.id),
            "name": row.name,
            "version": row.version or "",
            "bucket_id": row.bucket_id,
            "size": metadata.get("size"),
            "content_type": metadata.get("mimetype"),
            "cache_control": metadata.get("cacheControl"),
            "etag": metadata.get("eTag"),
            "metadata": row.user_metadata or {},
            "last_modified": timestamp(_modified(row)),
            "created_at": timestamp(row.created_at),
        }
    )


async def _send(
    server: Server,
    request: Request,
    find: Callable[[], Awaitable[StoredObject]],
    *,
    ends: float | None = None,
) -> Response:
    """The file. ``ends``: when the link to it does, in Unix time."""
    row = await find()
    try:
        file = server.files.open_file(row.place)
    except FileNotFoundError:
        # Replaced since; or lost, and then it is missing again.
        row = await find()
        try:
            file = server.files.open_file(row.place)
        except FileNotFoundError as error:
            raise errors.no_file() from error
    try:
        answer = _answer(request, row, file, ends)
    except BaseException:
        file.close()
        raise
    if not isinstance(answer, StreamingResponse):
        file.close()
    return answer


def _answer(request: Request, row: StoredObject, file: FileIO, ends: float | None) -> Response:
    size = file.seek(0, os.SEEK_END)
    headers = _headers(request, row, ends)
    if _is_unchanged(request, row, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    status, start, stop = 200, 0, size
    asked = _range(request, row, headers["ETag"], size)
    if asked is not None:
        status, (start, stop) = 206, asked
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_pieces(file, start, stop), status, headers)


def _headers(request: Request, row: StoredObject, ends: float | None) -> dict[str, str]:
    kind = row.said("mimetype")
    if not names.is_header_value(kind):
        kind = DEFAULT_TYPE
    etag = row.said("eTag")
    cache_control = row.said("cacheControl")
    headers = {
        # A page of somebody's must not run with this address's rights.
        "Content-Type": "text/plain" if "text/html" in kind.lower() else kind,
        "Accept-Ranges": "bytes",
        "ETag": etag if names.is_header_value(etag) else f'"{row.version}"',
        "Last-Modified": format_datetime(_modified(row), usegmt=True),
        "X-Robots-Tag": "none",
    }
    if ends is None:
        known = names.is_header_value(cache_control)
        headers["Cache-Control"] = cache_control if known else NO_CACHE
    else:
        end = datetime.fromtimestamp(min(ends, _LAST_TIME), UTC)
        headers["Expires"] = format_datetime(end, usegmt=True)
    name = request.query_params.get("download")
    if name is not None:
        encoded = quote(name, safe=_COMPONENT)
        headers["Content-Disposition"] = "attachment;" + (
            f" filename={encoded}; filename*=UTF-8''{encoded}" if name else ""
        )
    return headers


def _modified(row: StoredObject) -> datetime:
    try:
        moment = datetime.fromisoformat(row.said("lastModified"))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return (row.updated_at or datetime.fromtimestamp(0, UTC)).astimezone(UTC)


def _is_unchanged(request: Request, row: StoredObject, etag: str) -> bool:
    """RFC 9110, section 13: If-None-Match decides, and without it If-Modified-Since."""
    known = request.headers.get("if-none-match")
    if known is not None:
        tags = {tag.strip().removeprefix("W/") for tag in known.split(",")}
        return bool(tags & {etag.removeprefix("W/"), "*"})
    since = _date(request.headers.get("if-modified-since", ""))
    return since is not None and _modified(row).replace(microsecond=0) <= since


def _range(request: Request, row: StoredObject, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None for the whole file. Raises InvalidRange.

    One range, of the file as it is; several at a time are not offered.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or not any(match.groups()):
        return None
    condition = request.headers.get("if-range")
    if condition not in (None, etag):
        moment = _date(condition or "")
        if moment is None or moment != _modified(row).replace(microsecond=0):
            return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    if start >= stop:
        raise errors.invalid_range()
    return start, stop


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


async def _pieces(file: FileIO, start: int, stop: int) -> AsyncIterator[bytes]:
    with file:
        file.seek(start)
        while start < stop:
            data = await asyncio.to_thread(file.read, min(_BLOCK_BYTES, stop - start))
            if not data:
                return
            start += len(data)
            yield data
