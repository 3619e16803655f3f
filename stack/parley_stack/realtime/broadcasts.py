"""Broadcasts on their way out, encoded once for each serializer version.

An object broadcast relays a client's JSON object as it is. A user broadcast has an event, a body
(JSON text or bytes) and meta data, and is binary (kind 4) for 2.0.0 sockets.
Source: Supabase Realtime protocol, sections 2 and 6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from .wire import Wire, binary_frame, raw_push, to_json

PREFIX = "realtime:"
"""What a channel's topic has in front of the name that SQL and HTTP use."""

MAX_FIELD_BYTES = 255
"""Most bytes of a topic or event in a binary frame: its length is one byte."""

_USER_BROADCAST = 4


class Broadcast(Protocol):
    """Something that listeners of a topic receive."""

    def encode(self, wire: Wire, topic: str) -> bytes | None:
        """The whole WebSocket frame; None if this version has no form for it."""


@dataclass(frozen=True, slots=True)
class ObjectBroadcast:
    """A broadcast payload (JSON of an object) relayed verbatim, as a text frame for everyone."""

    payload: bytes

    def encode(self, wire: Wire, topic: str) -> bytes:
        """The frame; ``topic`` without prefix."""
        return raw_push(wire, None, PREFIX + topic, "broadcast", self.payload)


@dataclass(frozen=True, slots=True)
class EventBroadcast:
    """An event with a body: JSON text, spliced without parsing, or opaque bytes."""

    event: str
    body: bytes
    is_json: bool
    meta: bytes = b""

    def encode(self, wire: Wire, topic: str) -> bytes | None:
        """The frame; None for opaque bytes where only JSON can be said."""
        name = (PREFIX + topic).encode()
        event = self.event.encode()
        fits = max(len(name), len(event), len(self.meta)) <= MAX_FIELD_BYTES
        if wire is Wire.V2 and fits:
            lengths = (_USER_BROADCAST, len(name), len(event), len(self.meta), int(self.is_json))
            return binary_frame(b"".join((bytes(lengths), name, event, self.meta, self.body)))
        if not self.is_json:
            return None
        parts = [b'{"event":', to_json(self.event), b',"type":"broadcast","payload":', self.body]
        if self.meta:
            parts += [b',"meta":', self.meta]
        return raw_push(wire, None, PREFIX + topic, "broadcast", b"".join((*parts, b"}")))
