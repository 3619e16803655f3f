"""Signed URLs: a token for one object, to download it or to upload it.

Opening a link asks PostgreSQL nothing: it was asked when the link was made.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import jwt
from psycopg.sql import SQL
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from parley_stack.keys import Keys, TokenError

from . import bodies, caller, errors, objects
from .bodies import MAX_INTEGER, Body
from .database import transaction
from .server import Server

UPLOAD_SECONDS = 7200
_ALGORITHM = "HS256"
_DOWNLOAD, _UPLOAD = "download", "upload"
_VISIBLE = SQL(
    "select name from storage.objects where bucket_id = %(bucket)s and name = any (%(names)s)"
)
_HIDDEN = "Either the object does not exist or you do not have access to it"


class SignOne(Body):
    expires_in: int = Field(alias="expiresIn", ge=1, le=MAX_INTEGER)
    transform: dict[str, Any] | None = None


class SignMany(Body):
    expires_in: int = Field(alias="expiresIn", ge=1, le=MAX_INTEGER)
    paths: list[str] = Field(min_length=1, max_length=1000)


@dataclass(frozen=True)
class UploadClaims:
    name: str
    owner_id: str | None
    is_upsert: bool


async def sign_one(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, SignOne)
    bucket, name = request.path_params["bucket"], request.path_params["name"]
    async with transaction(server.pool, who, request, "storage.object.sign") as conn:
        await objects.get(conn, bucket, name)
    claims: dict[str, Any] = {}
    route = "object"
    if body.transform:
        route = "render/image"
        claims["transformations"] = ",".join(f"{k}:{v}" for k, v in body.transform.items())
    token = _sign(server.keys, _DOWNLOAD, bucket, name, body.expires_in, claims)
    return JSONResponse({"signedURL": _link(route, bucket, name, token)})


async def sign_many(server: Server, request: Request) -> Response:
    who = caller.of_request(server.keys, request)
    body = await bodies.parse(request, SignMany)
    bucket = request.path_params["bucket"]
    async with transaction(server.pool, who, request, "storage.object.sign_many") as conn:
        found = await objects.rows(
            conn,
            _VISIBLE,
            {"bucket": bucket.replace("\x00", ""), "names": body.paths},
        )
    visible = {row["name"] for row in found}
    answer = []
    for path in body.paths:
        url = None
        if path in visible:
            token = _sign(server.keys, _DOWNLOAD, bucket, path, body.expires_in, {})
            url = _link("object", bucket, path, token)
        answer.append({"error": None if url else _HIDDEN, "path": path, "signedURL": url})
    return JSONResponse(answer)


def verify_download(keys: Keys, token: str, bucket: str, name: str) -> tuple[str, float]:
    """The object's name and when the link ends (Unix time).

    Raises InvalidJWT for a bad or expired token, InvalidSignature for that of something else.
    """
    claims = _verify(keys, token, _DOWNLOAD)
    return _require_url(claims, bucket, name), claims["exp"]


def verify_upload(keys: Keys, token: str, bucket: str, name: str) -> UploadClaims:
    """As ``verify_download``."""
    claims = _verify(keys, token, _UPLOAD)
    owner = claims.get("owner")
    return UploadClaims(
        _require_url(claims, bucket, name),
        owner if isinstance(owner, str) else None,
        claims.get("upsert") is True,
    )


def upload_token(
    keys: Keys, bucket: str, name: str, owner_id: str | None, *, is_upsert: bool
) -> str:
    more = {"owner": owner_id, "upsert": is_upsert}
    return _sign(keys, _UPLOAD, bucket, name, UPLOAD_SECONDS, more)


def path_of(bucket: str, name: str) -> str:
    """The end of a URL's path: not encoded, because clients do that, but for what would end it."""
    return f"{bucket}/{name}".replace("?", "%3F")


def _link(route: str, bucket: str, name: str, token: str) -> str:
    return f"/{route}/sign/{path_of(bucket, name)}?token={token}"


def _sign(
    keys: Keys, scope: str, bucket: str, name: str, seconds: int, more: dict[str, Any]
) -> str:
    now = int(time.time())
    claims = {"url": f"{bucket}/{name}", "scope": scope, **more, "iat": now, "exp": now + seconds}
    # Always with the shared secret: these tokens are for this server alone.
    return jwt.encode(claims, keys.jwt_secret, algorithm=_ALGORITHM)


def _verify(keys: Keys, token: str, scope: str) -> dict[str, Any]:
    try:
        claims = keys.verify(token)
    except TokenError as error:
        raise errors.invalid_jwt(caller.refusal_of(error)) from error
    if claims.get("scope") != scope:
        raise errors.invalid_signature(f"Token is not scoped for {scope}")
    if not isinstance(claims.get("exp"), int | float):
        raise errors.invalid_signature()
    return claims


def _require_url(claims: dict[str, Any], bucket: str, name: str) -> str:
    # Some clients encode what is encoded already; names have no "%".
    asked = unquote(f"{bucket}/{name}")
    if claims.get("url") != asked:
        raise errors.invalid_signature()
    return asked.removeprefix(f"{bucket}/")
