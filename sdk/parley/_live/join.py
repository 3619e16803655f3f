"""One join of one topic on one connection, from the request to whatever ends it.

Once the realtime package's channel says anything but "subscribed", it is left and thrown away: it
neither tells a late close of an earlier join from one of its own, nor comes back after a close.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from realtime import AsyncRealtimeClient, RealtimeChannelOptions, RealtimeSubscribeStates
    from realtime.message import SuccessSystemPayload
    from realtime.types import BroadcastPayload

_LEAVE_SECONDS = 2.0
_READY_SECONDS = 1.0
_READY = "Replication connection established"


class Owner(Protocol):
    """Who joins."""

    name: str

    def on_broadcast(self, event: str, payload: Mapping[str, object]) -> None:
        """Something was said."""

    def on_joined(self) -> None:
        """The topic is being heard."""


class Join:
    """A channel of the realtime package, used once.

    A server that has just started lets people in before the database's changes reach it. With
    ``awaits_changes`` it is asked to say when they do; servers that do not know the question are
    given a second.

    was_joined: Whether the server let the user in.
    is_rate_limited: Whether it asked to come less often.
    reason: What ended the join, for the log.
    """

    def __init__(self, owner: Owner, client: AsyncRealtimeClient, *, awaits_changes: bool) -> None:
        self.was_joined = False
        self.is_rate_limited = False
        self.reason = ""
        self._owner = owner
        self._client = client
        self._ended = asyncio.Event()
        self._closed = asyncio.Event()
        self._awaits_changes = awaits_changes
        self._ready = asyncio.Event()
        self._is_told = False
        self._channel = client.channel(owner.name, _options(awaits_changes))
        self._channel.on_broadcast("*", self._on_broadcast)
        self._channel.on_system(self._on_system)

    async def hold(self) -> None:
        """Joins, and returns when that ends. Leaves when cancelled."""
        try:
            await self._channel.subscribe(self._on_state)
            if self.was_joined and not self._ended.is_set():
                if self._awaits_changes:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_READY_SECONDS):
                            await self._ready.wait()
                if not self._ended.is_set():
                    self._is_told = True
                    self._owner.on_joined()
            await self._ended.wait()
        except Exception as error:  # noqa: BLE001 - whatever its libraries raise ends the join
            self.reason = type(error).__name__
        finally:
            await self._leave()

    def end(self, reason: str) -> None:
        """Has ``hold`` return; there is nobody left to tell."""
        if not self._ended.is_set():
            self.reason = reason
        self._ended.set()
        self._ready.set()
        self._closed.set()

    async def say(self, event: str, payload: Mapping[str, object]) -> None:
        """Broadcasts, unless the connection is lost meanwhile."""
        with contextlib.suppress(Exception):
            await self._channel.send_broadcast(event, dict(payload))

    def discard(self) -> None:
        """Ends the channel's timers and its place in the client."""
        self._channel.rejoin_timer.reset()
        self._channel.join_push.destroy()
        for push in self._channel.messages_waiting_for_ack.values():
            push.destroy()
        if self._client.channels.get(self._channel.topic) is self._channel:
            del self._client.channels[self._channel.topic]

    async def _leave(self) -> None:
        if not self._client.is_connected or self._closed.is_set():
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self._channel.unsubscribe()
                await self._closed.wait()

    def _on_broadcast(self, message: BroadcastPayload) -> None:
        self._owner.on_broadcast(message["event"], message["payload"])

    def _on_system(self, message: SuccessSystemPayload) -> None:
        if message.message != _READY:
            return
        self._ready.set()
        if self._is_told:
            self._owner.on_joined()

    def _on_state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if self._ended.is_set():
            if state == "CLOSED":
                self._closed.set()
            return
        if state == "SUBSCRIBED":
            self.was_joined = True
            return
        self.reason = f"{state.value} {error or ''}".rstrip()
        self.is_rate_limited = "RateLimitReached" in self.reason
        self._ended.set()
        self._ready.set()
        if state == "CLOSED":
            self._closed.set()


def _options(awaits_changes: bool) -> RealtimeChannelOptions:
    config = {
        "broadcast": {"ack": False, "self": False, "replication_ready": awaits_changes},
        "presence": {"key": "", "enabled": False},
        "private": True,
    }
    return cast("RealtimeChannelOptions", {"config": config})
