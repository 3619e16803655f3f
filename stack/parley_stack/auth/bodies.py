"""Request bodies: read with a limit, parsed as JSON, checked by a model.

Clients send ``null`` for what they leave out, and fields this server does not know.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json
from starlette.requests import Request

from .errors import AuthError

MAX_BODY_BYTES = 1 << 20


class Body(BaseModel):
    """A JSON object in a request."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


AnyBody = TypeVar("AnyBody", bound=Body)


def bad_json(reason: str) -> AuthError:
    return AuthError(400, "bad_json", f"Could not parse request body as JSON: {reason}")


async def read(request: Request) -> bytes:
    """The whole body. Raises 413 beyond MAX_BODY_BYTES, without reading on."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise AuthError(413, "request_entity_too_large", "Request body is too large")
        chunks.append(chunk)
    return b"".join(chunks)


async def read_fields(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The fields of a JSON or form body, without those that are null.

    ``optional``: an empty body has no fields. Raises ``bad_json`` for anything else, and for
    values PostgreSQL cannot store.
    """
    body = await read(request)
    if optional and not body:
        return {}
    if _is_form(request) and not body.lstrip().startswith(b"{"):
        fields: Any = dict(parse_qsl(body.decode(errors="replace")))
    else:
        try:
            fields = from_json(body, allow_inf_nan=False)
        except ValueError as error:
            raise bad_json(str(error)) from error
    if not isinstance(fields, dict):
        raise bad_json("not an object")
    if not _can_be_stored(fields):
        raise bad_json("a text has a null character or a number is out of range")
    return {name: value for name, value in fields.items() if value is not None}


def check(model: type[AnyBody], fields: dict[str, Any]) -> AnyBody:
    """``fields`` as ``model``. Raises ``bad_json`` naming the field, never its value."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise bad_json(f"{place}: {first['msg']}") from None


async def parse(request: Request, model: type[AnyBody]) -> AnyBody:
    """The body of ``request`` as ``model``. Raises 413 or ``bad_json``."""
    return check(model, await read_fields(request))


def _is_form(request: Request) -> bool:
    """Whether the body calls itself a form; curl says so of JSON too."""
    kind = request.headers.get("content-type", "")
    return kind.startswith("application/x-www-form-urlencoded")


def _can_be_stored(value: Any) -> bool:
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_can_be_stored(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(_can_be_stored(part) for part in value)
    return True
