"""Uploads: POST and PUT ``/object/{bucket}/{name}``, and those with a signed URL.

First PostgreSQL is asked whether the caller may, in a transaction that is rolled back; then the
file is written; then its row, by the server itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import bodies, caller, errors, incoming, names, objects, signing
from .caller import Caller
from .database import is_in_doubt, transaction
from .files import Place, TooLargeError, Written
from .incoming import FileFacts
from .objects import BucketRules, NewObject, StoredObject
from .server import Server


@dataclass(frozen=True)
class Target:
    """Where an upload goes, and for whom. ``operation``: what policies read."""

    bucket: str
    name: str
    owner_id: str | None
    is_upsert: bool
    operation: str


async def post(server: Server, request: Request) -> Response:
    return await _upload(server, request, is_upsert=asks_upsert(request))


async def put(server: Server, request: Request) -> Response:
    return await _upload(server, request, is_upsert=True)


async def sign(server: Server, request: Request) -> Response:
    """A token to upload with once, given to who may upload now."""
    who = caller.of_request(server.keys, request)
    await bodies.read(request)
    is_upsert = asks_upsert(request)
    bucket, name = request.path_params["bucket"], names.check_key(request.path_params["name"])
    target = Target(bucket, name, who.owner_id, is_upsert, "storage.object.sign_upload_url")
    await rules_of(server, request, target)
    await ask(server, request, who, target, {})
    token = signing.upload_token(server.keys, bucket, name, who.owner_id, is_upsert=is_upsert)
    url = f"/object/upload/sign/{signing.path_of(bucket, name)}?token={token}"
    return JSONResponse({"url": url, "token": token})


async def put_signed(server: Server, request: Request) -> Response:
    """The token says where, for whom, and whether to overwrite."""
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    token = request.query_params.get("token", "")
    claims = signing.verify_upload(server.keys, token, bucket, name)
    owner_id, is_upsert = claims.owner_id, claims.is_upsert
    target = Target(bucket, claims.name, owner_id, is_upsert, "storage.object.upload_signed")
    rules = await rules_of(server, request, target)
    if not is_upsert:
        async with transaction(server.pool, server.service, request, target.operation) as conn:
            if await objects.find(conn, target.bucket, target.name) is not None:
                raise errors.already_exists()
    await _receive(server, request, None, target, rules)
    return JSONResponse({"Key": f"{target.bucket}/{target.name}"})


def asks_upsert(request: Request) -> bool:
    return request.headers.get("x-upsert", "").strip().lower() == "true"


async def rules_of(server: Server, request: Request, target: Target) -> BucketRules:
    """Of any bucket, whether or not the caller sees it. Raises NoSuchBucket."""
    async with transaction(server.pool, server.service, request, target.operation) as conn:
        return await objects.bucket_rules(conn, target.bucket)


async def ask(
    server: Server, request: Request, who: Caller, target: Target, metadata: dict[str, Any]
) -> None:
    """Raises AccessDenied, or 409 for a name that is taken, as PostgreSQL decides.

    ``metadata``: what policies can judge before the file is there.
    """
    version = objects.PROBE_VERSION
    new = NewObject(target.bucket, target.name, who.owner_id, version, metadata)
    async with transaction(server.pool, who, request, target.operation, is_probe=True) as conn:
        await objects.probe(conn, new, is_upsert=target.is_upsert)


async def save(
    server: Server, request: Request, target: Target, facts: FileFacts, written: Written
) -> StoredObject:
    """The row of what was written; the file goes again if there is to be no row."""
    metadata = objects.file_metadata(written, facts.mimetype, facts.cache_control)
    new = NewObject(
        target.bucket,
        target.name,
        target.owner_id,
        written.place.version,
        metadata,
        facts.user_metadata,
    )
    return await commit_row(server, request, target, new, written.place)


async def commit_row(
    server: Server, request: Request, target: Target, new: NewObject, place: Place
) -> StoredObject:
    """Saves ``new``, whose file is at ``place``, and deletes the file it replaces."""
    try:
        async with transaction(server.pool, server.service, request, target.operation) as conn:
            row, old = await objects.save(conn, new, is_upsert=target.is_upsert)
    except Exception as error:
        if not is_in_doubt(error):
            await server.files.delete([place])
        raise
    if old is not None:
        await server.files.delete([old])
    return row


async def _upload(server: Server, request: Request, *, is_upsert: bool) -> Response:
    who = caller.of_request(server.keys, request)
    operation = (
        "storage.object.upload_update" if request.method == "PUT" else ("storage.object.upload")
    )
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    target = Target(bucket, name, who.owner_id, is_upsert, operation)
    rules = await rules_of(server, request, target)
    row = await _receive(server, request, who, target, rules)
    return JSONResponse({"Id": str(row.id), "Key": f"{target.bucket}/{target.name}"})


async def _receive(
    server: Server, request: Request, who: Caller | None, target: Target, rules: BucketRules
) -> StoredObject:
    """Stores the request's file. ``who`` None: was asked before, when the URL was signed."""
    file = await incoming.of_request(request)
    limit = incoming.size_limit(server.settings.file_size_limit, rules, target.name)
    incoming.check(file.facts, limit, rules, target.name)
    names.check_key(target.name)
    if who is not None:
        await ask(server, request, who, target, file.facts.probe_metadata())
    try:
        written = await server.files.write(target.bucket, target.name, file.chunks, limit)
    except TooLargeError as error:
        raise errors.too_large() from error
    return await save(server, request, target, file.facts, written)
