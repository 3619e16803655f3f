"""Who listens to what, and the loop that delivers.

A frame is encoded once per serializer version and the same bytes go to every listener's
transport: no JSON, task or lock per delivery. A listener that does not read is noticed by its
transport's buffer limit, not here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from .broadcasts import Broadcast
from .wire import Wire

if TYPE_CHECKING:
    from .channel import Channel

TopicKey = tuple[bool, str]
"""Private flag and topic without prefix: private and public topics never meet."""


class _Listeners:
    """Channels of one topic, with a snapshot per serializer that delivery may iterate safely."""

    __slots__ = ("_snapshots", "channels")

    def __init__(self) -> None:
        self.channels: dict[Channel, None] = {}
        self._snapshots: dict[Wire, tuple[Channel, ...]] | None = None

    def add(self, channel: Channel) -> None:
        self.channels[channel] = None
        self._snapshots = None

    def discard(self, channel: Channel) -> None:
        self.channels.pop(channel, None)
        self._snapshots = None

    def by_wire(self) -> dict[Wire, tuple[Channel, ...]]:
        if self._snapshots is None:
            grouped = {wire: tuple(c for c in self.channels if c.wire is wire) for wire in Wire}
            self._snapshots = {wire: channels for wire, channels in grouped.items() if channels}
        return self._snapshots


class Topics:
    """Index from topic to the channels that may receive its broadcasts."""

    def __init__(self) -> None:
        self._listeners: dict[TopicKey, _Listeners] = {}

    def add(self, key: TopicKey, channel: Channel) -> None:
        """Deliver broadcasts of ``key`` to ``channel`` from now on."""
        self._listeners.setdefault(key, _Listeners()).add(channel)

    def discard(self, key: TopicKey, channel: Channel) -> None:
        """Stop delivering; harmless if the channel never listened."""
        listeners = self._listeners.get(key)
        if listeners is not None:
            listeners.discard(channel)
            if not listeners.channels:
                del self._listeners[key]

    def listeners(self, key: TopicKey) -> tuple[Channel, ...]:
        """The channels that would receive a broadcast."""
        listeners = self._listeners.get(key)
        return tuple(listeners.channels) if listeners else ()

    def deliver(
        self, key: TopicKey, broadcast: Broadcast, without: Collection[Channel] = ()
    ) -> None:
        """Write a broadcast to every listener that is not among ``without``."""
        listeners = self._listeners.get(key)
        if listeners is None:
            return
        for wire, channels in listeners.by_wire().items():
            frame = broadcast.encode(wire, key[1])
            if frame is None:
                continue
            for channel in channels:
                if channel not in without:
                    channel.write(frame)
