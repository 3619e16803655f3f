"""Move, copy and remove."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import bodies, caller, errors, incoming, names, objects, uploads
from .bodies import Body
from .database import is_in_doubt, transaction
from .files import Place
from .objects import NewObject, StoredObject
from .server import Server
from .uploads import Target


class CopyMetadata(Body):
    mimetype: str | None = None
    cache_control: str | None = Field(None, alias="cacheControl")


class MoveBody(Body):
    bucket_id: str = Field(alias="bucketId")
    source_key: str = Field(alias="sourceKey")
    destination_key: str = Field(alias="destinationKey")
    destination_bucket: str | None = Field(None, alias="destinationBucket")

    @property
    def target_bucket(self) -> str:
        return self.destination_bucket or self.bucket_id


class CopyBody(MoveBody):
    copy_metadata: bool = Field(True, alias="copyMetadata")
    metadata: CopyMetadata | None = None


class RemoveBody(Body):
    prefixes: list[str | dict[str, Any]] = Field(min_length=1, max_length=1000)

    def names(self) -> list[str]:
        """Exact names, despite what the field is called; newer clients send objects."""
        return [
            entry if isinstance(entry, str) else str(entry.get("path", ""))
            for entry in self.prefixes
        ]


async def move(server: Server, request: Request) -> Response:
    """The caller needs to select the source and to update it to the new name."""
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, MoveBody)
    operation = "storage.object.move"
    bucket, name = body.target_bucket, names.check_key(body.destination_key)
    done = JSONResponse({"message": "Successfully moved"})
    async with transaction(server.pool, who, request, operation, is_probe=True) as conn:
        row = await objects.get(conn, body.bucket_id, body.source_key)
        if (row.bucket_id, row.name) == (bucket, name):
            return done
        version, owner_id = objects.PROBE_VERSION, who.owner_id
        await objects.move(conn, row, bucket=bucket, name=name, version=version, owner_id=owner_id)
    place = await _copy_file(server, row, bucket, name)
    try:
        async with transaction(server.pool, server.service, request, operation) as conn:
            # As it is now: it may have been replaced or moved since.
            current = await objects.get(conn, row.bucket_id, row.name, for_update=True)
            if current.version != row.version:
                raise errors.no_such_key()
            await objects.move(
                conn, row, bucket=bucket, name=name, version=place.version, owner_id=owner_id
            )
    except Exception as error:
        if not is_in_doubt(error):
            await server.files.delete([place])
        raise
    await server.files.delete([row.place])
    return done


async def copy(server: Server, request: Request) -> Response:
    """The caller needs to select the source and to insert the copy, whose owner is the caller."""
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, CopyBody)
    bucket, name = body.target_bucket, names.check_key(body.destination_key)
    is_upsert = uploads.asks_upsert(request)
    target = Target(bucket, name, who.owner_id, is_upsert, "storage.object.copy")
    async with transaction(server.pool, who, request, target.operation, is_probe=True) as conn:
        row = await objects.get(conn, body.bucket_id, body.source_key)
        new = _copied(body, request, row, target)
        await objects.probe(conn, new, is_upsert=is_upsert)
    place = await _copy_file(server, row, bucket, name)
    new = NewObject(bucket, name, who.owner_id, place.version, new.metadata, new.user_metadata)
    made = await uploads.commit_row(server, request, target, new, place)
    return JSONResponse({"Id": str(made.id), "Key": f"{bucket}/{name}", **made.as_json()})


async def remove_many(server: Server, request: Request) -> Response:
    """Rows that were there for the caller to delete; of others nothing is said."""
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, RemoveBody)
    bucket = request.path_params["bucket"].replace("\x00", "")
    async with transaction(server.pool, who, request, "storage.object.delete_many") as conn:
        gone = await objects.delete(conn, bucket, body.names())
    await server.files.delete(row.place for row in gone)
    return JSONResponse([row.as_json() for row in gone])


async def remove_one(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    await bodies.read(request)
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    operation = "storage.object.delete"
    async with transaction(server.pool, server.service, request, operation) as conn:
        await objects.get(conn, bucket, name)
    async with transaction(server.pool, who, request, operation) as conn:
        gone = await objects.delete(conn, bucket, [name])
    if not gone:
        raise errors.access_denied("Access denied")
    await server.files.delete(row.place for row in gone)
    return JSONResponse({"message": "Successfully deleted"})


async def _copy_file(server: Server, row: StoredObject, bucket: str, name: str) -> Place:
    try:
        return await server.files.copy(row.place, bucket, name)
    except FileNotFoundError as error:
        raise errors.no_file() from error


def _copied(body: CopyBody, request: Request, row: StoredObject, target: Target) -> NewObject:
    """The copy's row: the source's metadata, or what the request says instead."""
    metadata = dict(row.metadata or {})
    user_metadata = row.user_metadata
    if not body.copy_metadata:
        given = body.metadata or CopyMetadata()
        metadata["mimetype"] = given.mimetype or metadata.get("mimetype")
        metadata["cacheControl"] = given.cache_control or incoming.NO_CACHE
        user_metadata = incoming.decode_metadata(request.headers.get("x-metadata", ""))
    return NewObject(
        target.bucket,
        target.name,
        target.owner_id,
        objects.PROBE_VERSION,
        metadata,
        user_metadata,
    )
