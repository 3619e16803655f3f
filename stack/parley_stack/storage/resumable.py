"""Resumable uploads: TUS 1.0 with the extensions creation, creation-with-upload, expiration and
termination, under ``/upload/resumable``.

What has come is a file in ``resumable/``, what it is to become a JSON file beside it; both outlive
the process. Whoever may upload is asked for at every step. Source: tus.io, protocol 1.0.0.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import wraps
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from starlette.requests import Request
from starlette.responses import Response

from . import caller, errors, incoming, names, uploads
from .caller import Caller
from .errors import StorageError
from .files import TooLargeError, pour, write_all
from .incoming import FileFacts
from .server import Server
from .uploads import Target

if TYPE_CHECKING:
    from .app import Endpoint

VERSION = "1.0.0"
_SECONDS = 24 * 3600
_OPERATION = "storage.object.upload"
_CONTENT = "application/offset+octet-stream"
_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)

_busy: set[str] = set()
"""Ids of uploads that a request is writing to."""


@dataclass(frozen=True)
class Upload:
    """What an upload is to become. ``created``: Unix time."""

    id: str
    bucket: str
    name: str
    owner_id: str | None
    role: str
    is_upsert: bool
    size: int
    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any]
    created: float

    @property
    def target(self) -> Target:
        return Target(self.bucket, self.name, self.owner_id, self.is_upsert, _OPERATION)

    @property
    def file(self) -> FileFacts:
        return FileFacts(self.mimetype, self.cache_control, self.user_metadata, self.size)

    @property
    def headers(self) -> dict[str, str]:
        ends = datetime.fromtimestamp(self.created + _SECONDS, UTC)
        return {"Upload-Expires": format_datetime(ends, usegmt=True)}


def delete_expired(folder: Path) -> None:
    """Forgets the uploads that nobody went on with for a day."""
    for path in folder.iterdir():
        if path.stat().st_mtime < time.time() - _SECONDS:
            path.unlink()


def _speaks_tus(endpoint: Endpoint) -> Endpoint:
    """Answers carry the version, and errors their own HTTP status."""

    @wraps(endpoint)
    async def answer(server: Server, request: Request) -> Response:
        try:
            if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
                raise StorageError(412, "InvalidRequest", f"Tus-Resumable must be {VERSION}")
            response = await endpoint(server, request)
        except (StorageError, psycopg.Error) as error:
            refusal = error if isinstance(error, StorageError) else errors.of_database(error)
            refusal.http_status = refusal.status
            response = refusal.respond()
        response.headers["Tus-Resumable"] = VERSION
        return response

    return answer


@_speaks_tus
async def options(server: Server, _request: Request) -> Response:
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": "creation,creation-with-upload,expiration,termination",
            "Tus-Max-Size": str(server.settings.file_size_limit),
        },
    )


@_speaks_tus
async def create(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    upload = _new(request, who)
    rules = await uploads.rules_of(server, request, upload.target)
    limit = incoming.size_limit(server.settings.file_size_limit, rules, upload.name)
    incoming.check(upload.file, limit, rules, upload.name)
    names.check_key(upload.name)
    await uploads.ask(server, request, who, upload.target, upload.file.probe_metadata())
    data = server.files.resumable / upload.id
    await asyncio.to_thread(_store, data, upload)
    headers = {**upload.headers, "Location": _location(request, upload.id)}
    if request.headers.get("content-type") == _CONTENT or upload.size == 0:
        headers["Upload-Offset"] = str(await _receive(server, request, upload, data, 0))
    return Response(status_code=201, headers=headers)


@_speaks_tus
async def head(server: Server, request: Request) -> Response:
    upload, data = _find(server, request, caller.of_request(server.keys, request))
    offset, length = data.stat().st_size, upload.size
    return Response(
        headers={
            **upload.headers,
            "Upload-Offset": str(offset),
            "Upload-Length": str(length),
            "Cache-Control": "no-store",
        }
    )


@_speaks_tus
async def patch(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    upload, data = _find(server, request, who)
    if request.headers.get("content-type") != _CONTENT:
        raise StorageError(415, "InvalidRequest", f"Content-Type must be {_CONTENT}")
    offset = _number(request, "upload-offset")
    await uploads.ask(server, request, who, upload.target, upload.file.probe_metadata())
    offset = await _receive(server, request, upload, data, offset)
    return Response(status_code=204, headers={**upload.headers, "Upload-Offset": str(offset)})


@_speaks_tus
async def delete(server: Server, request: Request) -> Response:
    upload, data = _find(server, request, caller.of_request(server.keys, request))
    if upload.id in _busy:
        raise StorageError(423, "ResourceLocked", "The upload is being written to")
    _forget(data)
    return Response(status_code=204)


async def _receive(
    server: Server, request: Request, upload: Upload, data: Path, offset: int
) -> int:
    """Adds the request's body at ``offset``; a complete file becomes an object.

    Returns the new offset. What came before a connection broke is kept.
    """
    if upload.id in _busy:
        raise StorageError(423, "ResourceLocked", "The upload is being written to")
    _busy.add(upload.id)
    try:
        with FileIO(data, "ab") as file:
            if offset != file.tell():
                raise StorageError(409, "InvalidRequest", f"Upload-Offset is {file.tell()}")
            try:
                await pour(
                    request.stream(), lambda block: write_all(file, block), upload.size - offset
                )
            except TooLargeError as error:
                raise errors.too_large() from error
            finally:
                await asyncio.to_thread(os.fsync, file.fileno())
            offset = file.tell()
        if offset == upload.size:
            written = await server.files.adopt(data, upload.bucket, upload.name)
            await uploads.save(server, request, upload.target, upload.file, written)
            _forget(data)
        return offset
    finally:
        _busy.discard(upload.id)


def _new(request: Request, who: Caller) -> Upload:
    """The upload that the request describes. Raises InvalidRequest."""
    said = _metadata(request.headers.get("upload-metadata", ""))
    bucket, name = said.get("bucketName", ""), said.get("objectName", "")
    if not bucket or not name:
        raise errors.invalid_request("Upload-Metadata needs bucketName and objectName")
    seconds = said.get("cacheControl")
    return Upload(
        id=uuid.uuid4().hex,
        bucket=bucket,
        name=name,
        owner_id=who.owner_id,
        role=who.role,
        is_upsert=uploads.asks_upsert(request),
        size=_number(request, "upload-length"),
        mimetype=said.get("contentType") or incoming.DEFAULT_TYPE,
        cache_control=f"max-age={seconds}" if seconds else incoming.NO_CACHE,
        user_metadata=incoming.parse_metadata(said.get("metadata", "")),
        created=time.time(),
    )


def _metadata(header: str) -> dict[str, str]:
    """``key base64,key base64``. Raises InvalidRequest."""
    try:
        pairs = [pair.split() for pair in header.split(",") if pair.strip()]
        return {
            key: base64.b64decode("".join(value), validate=True).decode() for key, *value in pairs
        }
    except (binascii.Error, ValueError) as error:
        raise errors.invalid_request("Upload-Metadata is not valid") from error


def _number(request: Request, header: str) -> int:
    text = request.headers.get(header, "")
    if not _NUMBER.fullmatch(text):
        raise errors.invalid_request(f"{header} must be a number of bytes")
    return int(text)


def _find(server: Server, request: Request, who: Caller) -> tuple[Upload, Path]:
    """The caller's upload. Raises NoSuchUpload."""
    upload_id = request.path_params["id"]
    data = server.files.resumable / upload_id
    if not _ID.fullmatch(upload_id) or not data.exists():
        raise errors.no_upload()
    upload = Upload(**json.loads(_plan(data).read_text(encoding="utf-8")))
    if (upload.owner_id, upload.role) != (who.owner_id, who.role):
        raise errors.no_upload()
    return upload, data


def _plan(data: Path) -> Path:
    return data.with_suffix(".json")


def _store(data: Path, upload: Upload) -> None:
    """The data file last: with it the upload is there."""
    _plan(data).write_text(json.dumps(asdict(upload)), encoding="utf-8")
    data.touch(mode=0o600, exist_ok=False)


def _forget(data: Path) -> None:
    data.unlink(missing_ok=True)
    _plan(data).unlink(missing_ok=True)


def _location(request: Request, upload_id: str) -> str:
    """The upload's address as the client sees this server."""
    scheme = request.headers.get("x-forwarded-proto", "http")
    host = request.headers.get("x-forwarded-host", "localhost")
    prefix = request.headers.get("x-forwarded-prefix", "/")
    return f"{scheme}://{host}{prefix}upload/resumable/{upload_id}"
