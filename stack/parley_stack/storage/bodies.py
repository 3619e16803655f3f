"""Request bodies and queries: read with a limit, made into models, refused in ajv's words.

Types are coerced, because clients send numbers as text; unknown fields are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, from_json
from starlette.requests import Request

from . import errors

MAX_BODY_BYTES = 1 << 20
MAX_INTEGER = 2**31 - 1

_WORDS = {
    "int": "must be integer",
    "float": "must be number",
    "string": "must be string",
    "bool": "must be boolean",
    "list": "must be array",
    "dict": "must be object",
    "model": "must be object",
}


class Body(BaseModel):
    """The fields of a JSON object or of a query."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


AnyBody = TypeVar("AnyBody", bound=Body)


async def read(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body. Raises EntityTooLarge beyond ``limit``, without reading on."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise errors.too_large("Request body is too large")
        chunks.append(chunk)
    return b"".join(chunks)


async def parse(request: Request, model: type[AnyBody], *, keeps_null: bool = False) -> AnyBody:
    """The JSON body as ``model``; no body is an object without fields.

    Null fields are as good as absent, unless ``keeps_null``. Raises InvalidRequest.
    """
    data = await read(request)
    try:
        fields: Any = from_json(data, allow_inf_nan=False) if data.strip() else {}
    except ValueError as error:
        raise errors.invalid_body("Body is not valid JSON") from error
    if not isinstance(fields, dict):
        raise errors.invalid_body("body must be object")
    if not can_be_stored(fields):
        raise errors.invalid_body("body must NOT contain null characters")
    if not keeps_null:
        fields = {name: value for name, value in fields.items() if value is not None}
    return check(model, fields, "body")


def parse_query(request: Request, model: type[AnyBody]) -> AnyBody:
    """The query as ``model``; empty values are as good as absent. Raises InvalidRequest."""
    fields = {name: value for name, value in request.query_params.items() if value}
    if not can_be_stored(fields):
        raise errors.invalid_body("querystring must NOT contain null characters")
    return check(model, fields, "querystring")


def check(model: type[AnyBody], fields: Mapping[str, Any], where: str) -> AnyBody:
    """``fields`` as ``model``. Raises InvalidRequest naming the field, never its value."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise errors.invalid_body(_describe(first, where)) from None


def can_be_stored(value: Any) -> bool:
    """Whether PostgreSQL can take it: no text has a null character."""
    if isinstance(value, str):
        return "\x00" not in value
    if isinstance(value, dict):
        return all(can_be_stored(part) for pair in value.items() for part in pair)
    if isinstance(value, list):
        return all(can_be_stored(part) for part in value)
    return True


def _describe(problem: ErrorDetails, where: str) -> str:
    kind = problem["type"]
    context = problem.get("ctx", {})
    path = "/".join([where, *(str(part) for part in problem["loc"])])
    if kind == "missing":
        path, _, name = path.rpartition("/")
        return f"{path} must have required property '{name}'"
    if kind == "greater_than_equal":
        return f"{path} must be >= {context['ge']}"
    if kind == "less_than_equal":
        return f"{path} must be <= {context['le']}"
    if kind == "literal_error":
        return f"{path} must be equal to one of the allowed values"
    if kind == "too_short":
        return f"{path} must NOT have fewer than {context['min_length']} items"
    if kind == "too_long":
        return f"{path} must NOT have more than {context['max_length']} items"
    if kind == "value_error":
        return str(context["error"])
    return f"{path} {_WORDS.get(kind.partition('_')[0], problem['msg'])}"
