"""Frames of clients, in both serializer versions, as one typed message.

Whatever does not follow the protocol raises MalformedFrameError and nothing else.
Source: Supabase Realtime protocol, section 2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .errors import MalformedFrameError
from .wire import Ref, Wire

_PUSH = 0
_USER_BROADCAST_PUSH = 3
_OPAQUE = 0
_JSON = 1


@dataclass(frozen=True, slots=True)
class UserBroadcast:
    """Body of a binary broadcast push: JSON text, or opaque bytes."""

    event: str
    body: bytes
    is_json: bool


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message of a client. ``payload`` is a JSON object, or a binary broadcast's body."""

    join_ref: Ref
    ref: Ref
    topic: str
    event: str
    payload: dict[str, Any] | UserBroadcast


def decode_text(wire: Wire, data: bytes) -> Inbound:
    """A text frame: an array (2.0.0) or an object (1.0.0)."""
    value = load_json(data)
    if wire is Wire.V2:
        if not isinstance(value, list) or len(value) != 5:
            raise MalformedFrameError("expected an array of five")
        join_ref, ref, topic, event, payload = value
    else:
        if not isinstance(value, dict) or not value.keys() >= {"topic", "event", "payload", "ref"}:
            raise MalformedFrameError("expected topic, event, payload and ref")
        topic, event, payload = value["topic"], value["event"], value["payload"]
        join_ref, ref = value.get("join_ref"), value["ref"]
    return Inbound(
        _reference(join_ref),
        _reference(ref),
        _name(topic),
        _name(event),
        _object({} if payload is None else payload),
    )


def decode_binary(wire: Wire, data: bytes) -> Inbound:
    """A binary frame of 2.0.0: kind 3, a broadcast, or kind 0, any other message."""
    if wire is not Wire.V2 or not data:
        raise MalformedFrameError("unexpected binary frame")
    if data[0] == _USER_BROADCAST_PUSH:
        (join_ref, ref, topic, event, meta), encoding, body = _fields(data, 5, has_encoding=True)
        if meta:
            load_json(meta)
        if encoding not in (_OPAQUE, _JSON):
            raise MalformedFrameError("unknown encoding")
        if encoding == _JSON:
            load_json(body)
        broadcast = UserBroadcast(_text(event), body, encoding == _JSON)
        return Inbound(_text(join_ref), _text(ref), _text(topic), "broadcast", broadcast)
    if data[0] == _PUSH:
        (join_ref, ref, topic, event), _, body = _fields(data, 4, has_encoding=False)
        payload = _object(load_json(body))
        return Inbound(_text(join_ref), _text(ref), _text(topic), _text(event), payload)
    raise MalformedFrameError("unknown kind of binary frame")


def load_json(data: bytes) -> Any:
    """JSON that can be written again as JSON. Raises MalformedFrameError."""
    try:
        return json.loads(data.decode(), parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise MalformedFrameError("not JSON") from error


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(text)
    return number


def _fields(
    data: bytes, count: int, *, has_encoding: bool
) -> tuple[list[bytes], int | None, bytes]:
    """Split ``[kind][length of each field]([encoding])`` and the fields that follow."""
    start = 1 + count
    lengths = data[1:start]
    encoding = None
    if has_encoding:
        encoding = data[start] if len(data) > start else None
        start += 1
    if len(lengths) != count or len(data) < start + sum(lengths):
        raise MalformedFrameError("truncated binary frame")
    fields = []
    for length in lengths:
        fields.append(data[start : start + length])
        start += length
    return fields, encoding, data[start:]


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise MalformedFrameError("not UTF-8") from error


def _reference(value: object) -> Ref:
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise MalformedFrameError("a reference must be a string")


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedFrameError("topic and event must be strings")
    return _encodable(value)


def _encodable(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise MalformedFrameError("not Unicode text") from error
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise MalformedFrameError("a payload must be an object")
    return value
