"""Outgoing messages as complete WebSocket frames, in both serializer versions.

1.0.0 is ``{"topic","event","payload","ref"}`` with ``ref`` null on everything that is no reply;
2.0.0 is ``[join_ref, ref, topic, event, payload]``. Source: Supabase Realtime protocol, section 2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

from websockets.frames import Frame, Opcode

Ref = str | int | None
"""A client's reference; echoed as it came."""

Payload = Mapping[str, Any]


class Wire(Enum):
    """Serializer version of a socket."""

    V1 = "1.0.0"
    V2 = "2.0.0"


def wire_of(version: str | None) -> Wire | None:
    """The serializer for a ``vsn`` parameter; None if there is none for it."""
    if version is None or re.fullmatch(r"1\.0\.\d+", version):
        return Wire.V1
    if re.fullmatch(r"2\.0\.\d+", version):
        return Wire.V2
    return None


def to_json(value: object) -> bytes:
    """Compact UTF-8 JSON. Raises ValueError for numbers JSON has no text for."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only an escape can carry
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def text_frame(data: bytes) -> bytes:
    """A whole text message as bytes for the transport."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def binary_frame(data: bytes) -> bytes:
    """A whole binary message as bytes for the transport."""
    return Frame(Opcode.BINARY, data).serialize(mask=False)


def _message(wire: Wire, join_ref: Ref, ref: Ref, topic: str, event: str, payload: bytes) -> bytes:
    name, kind = to_json(topic), to_json(event)
    if wire is Wire.V2:
        refs = (b"[", to_json(join_ref), b",", to_json(ref), b",")
        return text_frame(b"".join((*refs, name, b",", kind, b",", payload, b"]")))
    head = (b'{"topic":', name, b',"event":', kind, b',"payload":', payload)
    return text_frame(b"".join((*head, b',"ref":', to_json(ref), b"}")))


def reply(wire: Wire, join_ref: Ref, ref: Ref, topic: str, status: str, response: Payload) -> bytes:
    """``phx_reply``: the answer to the message with this ``ref``; ``status`` is ok or error."""
    payload = to_json({"status": status, "response": response})
    return _message(wire, join_ref, ref, topic, "phx_reply", payload)


def push(wire: Wire, join_ref: Ref, topic: str, event: str, payload: Payload) -> bytes:
    """A message of the server to one channel."""
    return raw_push(wire, join_ref, topic, event, to_json(payload))


def raw_push(wire: Wire, join_ref: Ref, topic: str, event: str, payload: bytes) -> bytes:
    """A message whose payload is JSON already; ``join_ref`` is None if it is for many channels."""
    return _message(wire, join_ref, None, topic, event, payload)


def ending(wire: Wire, join_ref: Ref, topic: str, event: str) -> bytes:
    """``phx_close`` or ``phx_error``; its ref is the channel's, or clients ignore it."""
    return _message(wire, join_ref, join_ref, topic, event, b"{}")
