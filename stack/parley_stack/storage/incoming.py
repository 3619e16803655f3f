"""A file on its way in: what the request says of it, and its bytes."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.requests import Request

from . import errors, names, objects
from .bodies import can_be_stored
from .multipart import Multipart, MultipartError, boundary_of
from .objects import BucketRules

DEFAULT_TYPE = "application/octet-stream"
NO_CACHE = "no-cache"
MAX_METADATA_BYTES = 1 << 20
_MAX_FIELDS = 100


@dataclass(frozen=True)
class FileFacts:
    """What is said of a file. ``declared_size`` None: not known yet."""

    mimetype: str
    cache_control: str
    user_metadata: dict[str, Any]
    declared_size: int | None

    def probe_metadata(self) -> dict[str, Any]:
        """What policies can judge before the file is there."""
        known: dict[str, Any] = {"mimetype": self.mimetype}
        if self.declared_size is not None:
            known["contentLength"] = self.declared_size
        return {**self.user_metadata, **known}


@dataclass(frozen=True)
class Incoming:
    """A file to store. ``chunks`` can be read once."""

    facts: FileFacts
    chunks: AsyncIterator[bytes]


def size_limit(global_limit: int, rules: BucketRules, name: str) -> int:
    """Most bytes that an object of this name may have."""
    if names.is_placeholder(name):
        return 0
    own = rules.file_size_limit
    return global_limit if own is None else min(global_limit, own)


def check(facts: FileFacts, limit: int, rules: BucketRules, name: str) -> None:
    """Raises EntityTooLarge, InvalidMimeType or InvalidRequest."""
    if facts.declared_size is not None and facts.declared_size > limit:
        raise errors.too_large()
    allowed = None if names.is_placeholder(name) else rules.allowed_mime_types
    names.check_mime_type(facts.mimetype, allowed)
    if not names.is_header_value(facts.cache_control):
        raise errors.invalid_request("cache-control is not valid")
    if objects.json_size(facts.user_metadata) > MAX_METADATA_BYTES:
        raise errors.too_large("metadata exceeds the maximum allowed size")


def parse_metadata(text: str | bytes) -> dict[str, Any]:
    """User metadata of JSON text; anything but an object is ignored."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return {}
    return value if isinstance(value, dict) and can_be_stored(value) else {}


def decode_metadata(text: str) -> dict[str, Any]:
    """User metadata of a header: JSON in base64."""
    try:
        return parse_metadata(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return {}


async def of_request(request: Request) -> Incoming:
    """The file of a multipart form, or the whole body. Raises InvalidRequest, EntityTooLarge."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        return _raw(request, content_type)
    try:
        return await _of_form(Multipart(boundary_of(content_type), request.stream()))
    except MultipartError as error:
        raise errors.invalid_request(str(error)) from error


def _raw(request: Request, content_type: str) -> Incoming:
    length = request.headers.get("content-length", "")
    facts = FileFacts(
        mimetype=content_type or DEFAULT_TYPE,
        cache_control=request.headers.get("cache-control") or NO_CACHE,
        user_metadata=decode_metadata(request.headers.get("x-metadata", "")),
        declared_size=int(length) if length.isascii() and length.isdigit() else None,
    )
    return Incoming(facts, request.stream())


async def _of_form(form: Multipart) -> Incoming:
    fields: dict[str, str] = {}
    room = MAX_METADATA_BYTES
    while (part := await form.next_part()) is not None and not part.is_file:
        value = b""
        async for data in form.data():
            value += data
            if len(value) > room:
                raise errors.too_large("metadata exceeds the maximum allowed size")
        room -= len(value)
        fields[part.name] = value.decode("utf-8", "replace")
        if len(fields) > _MAX_FIELDS:
            raise errors.invalid_request("reach fields limit")
    if part is None:
        raise errors.invalid_request("The form has no file")
    seconds = fields.get("cacheControl")
    facts = FileFacts(
        mimetype=fields.get("contentType") or part.content_type or DEFAULT_TYPE,
        cache_control=f"max-age={seconds}" if seconds else NO_CACHE,
        user_metadata=parse_metadata(fields.get("metadata") or fields.get("userMetadata") or ""),
        # The request's length is that of the whole form.
        declared_size=None,
    )
    return Incoming(facts, _file(form))


async def _file(form: Multipart) -> AsyncIterator[bytes]:
    try:
        async for data in form.data():
            yield data
        await form.drain()
    except MultipartError as error:
        raise errors.invalid_request(str(error)) from error
