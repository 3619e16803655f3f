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
_REPLICATION_READY = "Replication connection established"
_OPTIONS = {
    "config": {
        # The server says when the database's changes have begun to flow: one that was committed
        # between the join and then was not heard.
        "broadcast": {"ack": False, "self": False, "replication_ready": True},
        "presence": {"key": "", "enabled": False},
        "private": True,
    }
}


class Owner(Protocol):
    """Who joins."""

    name: str

    def on_broadcast(self, event: str, payload: Mapping[str, object]) -> None:
        """Something was said."""

    def on_joined(self) -> None:
        """The topic is being heard; also called when the database's changes begin to flow."""


class Join:
    """A channel of the realtime package, used once.

    was_joined: Whether the server let the user in.
    is_rate_limited: Whether it asked to come less often.
    reason: What ended the join, for the log.
    """

    def __init__(self, owner: Owner, client: AsyncRealtimeClient) -> None:
        self.was_joined = False
        self.is_rate_limited = False
        self.reason = ""
        self._owner = owner
        self._client = client
        self._ended = asyncio.Event()
        self._closed = asyncio.Event()
        options = cast("RealtimeChannelOptions", {"config": {**_OPTIONS["config"]}})
        self._channel = client.channel(owner.name, options)
        self._channel.on_broadcast("*", self._on_broadcast)
        self._channel.on_system(self._on_system)

    async def hold(self) -> None:
        """Joins, and returns when that ends. Leaves when cancelled."""
        try:
            await self._channel.subscribe(self._on_state)
            await self._ended.wait()
        except Exception as error:  # noqa: BLE001 - whatever its libraries raise ends the join
            self.reason = type(error).__name__
        finally:
            await self._leave()

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
        if message.message == _REPLICATION_READY and self.was_joined and not self._ended.is_set():
            self._owner.on_joined()

    def _on_state(self, state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if self._ended.is_set():
            if state == "CLOSED":
                self._closed.set()
            return
        if state == "SUBSCRIBED":
            self.was_joined = True
            self._owner.on_joined()
            return
        self.reason = f"{state.value} {error or ''}".rstrip()
        self.is_rate_limited = "RateLimitReached" in self.reason
        self._ended.set()
        if state == "CLOSED":
            self._closed.set()
