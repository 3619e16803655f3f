"""Broadcasts of the last days, repeated to a private channel when it is joined.

Rows committed while they are being read come from both sides, the query and the stream. A window
keeps what the stream brings meanwhile; what was repeated is not told again.
Source: Supabase Realtime protocol, section 6.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .broadcasts import PREFIX, EventBroadcast
from .topics import TopicKey
from .wire import Ref, Wire, raw_push, to_json

if TYPE_CHECKING:
    from .authorization import Authorizer
    from .channel import Channel

MAX_ROWS = 25
_MAX_SINCE = 253_402_300_799_000
"""The end of the year 9999: what PostgreSQL and everyone else can tell."""
_REMEMBER_SECONDS = 60.0
"""How long the stream may lag behind the table."""

_ROWS = f"""
select id::text, event, payload::text, binary_payload
from realtime.messages
where topic = %(topic)s
    and private is true
    and extension = 'broadcast'
    and event is not null
    and inserted_at >= to_timestamp(%(since)s / 1000.0) at time zone 'utc'
order by inserted_at desc
limit least(%(limit)s, {MAX_ROWS})
"""  # noqa: S608 - a constant of this module


@dataclass(frozen=True, slots=True)
class Replay:
    """What a join asks for: the newest ``limit`` broadcasts since a time (Unix, milliseconds)."""

    since: int
    limit: int


def read_replay(value: object) -> Replay | None:
    """A join's ``replay``; None if it makes no sense."""
    if not isinstance(value, dict):
        return None
    since, limit = value.get("since"), value.get("limit", MAX_ROWS)
    if type(since) is not int or type(limit) is not int:
        return None
    return Replay(min(max(since, 0), _MAX_SINCE), min(max(limit, 1), MAX_ROWS))


@dataclass(frozen=True, slots=True)
class Replayed:
    """A row of realtime.messages; ``body`` is JSON text, or bytes."""

    id: str
    event: str
    body: bytes
    is_json: bool

    @property
    def live_meta(self) -> bytes:
        """What the same row has as meta when it comes from the stream."""
        return to_json({"id": self.id})

    def encode(self, wire: Wire, join_ref: Ref, topic: str) -> bytes | None:
        """The whole frame; None if this version has no form for it. ``topic`` without prefix."""
        meta = to_json({"replayed": True, "id": self.id})
        if not self.is_json:
            return EventBroadcast(self.event, self.body, False, meta).encode(wire, topic)
        head = (b'{"type":"broadcast","event":', to_json(self.event), b',"payload":', self.body)
        payload = b"".join((*head, b',"meta":', meta, b"}"))
        return raw_push(wire, join_ref, PREFIX + topic, "broadcast", payload)


async def fetch(authorizer: Authorizer, topic: str, replay: Replay) -> list[Replayed]:
    """The broadcasts to repeat, oldest first. Raises AuthorizationError."""
    parameters = {"topic": topic, "since": replay.since, "limit": replay.limit}
    async with authorizer.connection() as connection:
        cursor = await connection.execute(_ROWS.encode(), parameters)
        rows: Sequence[Any] = await cursor.fetchall()
    return [
        Replayed(row_id, event, payload.encode() if payload else bytes(binary), bool(payload))
        for row_id, event, payload, binary in reversed(rows)
        if payload is not None or binary is not None
    ]


@dataclass(slots=True, eq=False)
class Window:
    """One replay that is under way, and what the stream has brought since it began."""

    missed: list[EventBroadcast] = field(default_factory=list)


class Replays:
    """Keeps replays and the stream from losing or repeating a broadcast."""

    def __init__(self) -> None:
        self._windows: dict[TopicKey, set[Window]] = {}
        self._told: dict[bytes, set[Channel]] = {}

    @contextmanager
    def window(self, key: TopicKey) -> Iterator[Window]:
        """From before the query until the channel listens."""
        window = Window()
        self._windows.setdefault(key, set()).add(window)
        try:
            yield window
        finally:
            self._windows[key].discard(window)
            if not self._windows[key]:
                del self._windows[key]

    def tell(self, channel: Channel, rows: list[Replayed], window: Window) -> None:
        """Write ``rows`` to ``channel``, then what came meanwhile."""
        repeated = {row.live_meta for row in rows}
        frames = [row.encode(channel.wire, channel.join_ref, channel.topic) for row in rows]
        for broadcast in window.missed:
            if broadcast.meta not in repeated:
                frames.append(broadcast.encode(channel.wire, channel.topic))
        for frame in frames:
            if frame is not None:
                channel.write(frame)
        for meta in repeated.difference(broadcast.meta for broadcast in window.missed):
            self._told.setdefault(meta, set()).add(channel)
        asyncio.get_running_loop().call_later(_REMEMBER_SECONDS, self._forget, channel, repeated)

    def streamed(self, key: TopicKey, broadcast: EventBroadcast) -> Collection[Channel]:
        """The stream has brought a row; the channels that have it already."""
        for window in self._windows.get(key, ()):
            window.missed.append(broadcast)
        return self._told.get(broadcast.meta, ())

    def _forget(self, channel: Channel, metas: set[bytes]) -> None:
        for meta in metas:
            if told := self._told.get(meta):
                told.discard(channel)
                if not told:
                    del self._told[meta]
