"""One private topic of Realtime, joined for as long as somebody listens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from parley import _retry
from parley._errors import ParleyError

from .join import Join

if TYPE_CHECKING:
    from realtime import AsyncRealtimeClient

_logger = logging.getLogger("parley.live")
_LONGEST_REJOIN_SECONDS = 10.0
_RATE_LIMITED_SECONDS = 30.0
EVERYTHING = "*"
"""Instead of a conversation's id: a listener who hears all that is said on the topic."""


class Listener(Protocol):
    """Who hears what happens in one conversation. Called in the event loop; must not raise."""

    def heard(self, event: str, payload: Mapping[str, object]) -> None:
        """A broadcast about the conversation."""

    def joined(self, topic: str) -> None:
        """The topic is (again) being heard; what was said before may have been missed."""

    def lost(self, topic: str) -> None:
        """The topic is not, or no longer, being heard; joining is tried again."""

    def failed(self, error: ParleyError) -> None:
        """Nothing more will be heard."""


class Connection(Protocol):
    """What a topic needs of the connection it shares with others."""

    async def connected(self) -> AsyncRealtimeClient:
        """The client, as soon as it is connected."""

    def is_up(self, client: AsyncRealtimeClient) -> bool:
        """Whether this client is in use, and connected as far as is known."""


class Topic:
    """Joins, joins again after whatever ended the last join, and leaves when stopped."""

    def __init__(
        self, connection: Connection, name: str, *, awaits_changes: bool, after: Topic | None
    ) -> None:
        """``awaits_changes``: see Join. ``after``: one of the same name that has to leave first."""
        self.name = name
        self._connection = connection
        self._listeners: dict[str, set[Listener]] = {}
        self._is_joined = False
        self._join: Join | None = None
        self._awaits_changes = awaits_changes
        self._task = asyncio.create_task(self._run(after), name=f"parley.live {name}")

    def add(self, conversation_id: str, listener: Listener) -> None:
        """Adds a listener, who hears ``joined`` at once when the topic is joined already."""
        self._listeners.setdefault(conversation_id, set()).add(listener)
        if self._is_joined:
            listener.joined(self.name)

    def remove(self, conversation_id: str, listener: Listener) -> bool:
        """Removes a listener; returns whether there are others."""
        found = self._listeners.get(conversation_id, set())
        found.discard(listener)
        if not found:
            self._listeners.pop(conversation_id, None)
        return bool(self._listeners)

    def fail(self, error: ParleyError) -> None:
        """Tells all listeners that nothing more comes."""
        for listener in self._everybody():
            listener.failed(error)

    def stop(self, on_end: Callable[[], None] | None = None) -> None:
        """Has the topic left in the background; stopping again does not wait for the server."""
        if on_end is not None:
            self._task.add_done_callback(lambda _: on_end())
        self._task.cancel()

    def disconnected(self) -> None:
        """The connection has ended, and with it the join under way."""
        if self._join is not None:
            self._join.end("the connection was lost")

    async def ended(self) -> None:
        """Waits until it has been left."""
        await asyncio.wait([self._task])

    # For the join under way --------------------------------------------------------------------

    def on_broadcast(self, event: str, payload: Mapping[str, object]) -> None:
        """Passes a broadcast on to those it concerns."""
        key = str(payload.get("conversation_id"))
        concerned = (*self._listeners.get(key, ()), *self._listeners.get(EVERYTHING, ()))
        for listener in concerned:
            listener.heard(event, payload)

    async def say(self, event: str, payload: Mapping[str, object]) -> None:
        """Broadcasts to the topic, if it is joined."""
        if self._join is not None and self._is_joined:
            await self._join.say(event, payload)

    def on_joined(self) -> None:
        """Tells that the topic is being heard."""
        self._is_joined = True
        for listener in self._everybody():
            listener.joined(self.name)

    # Private -----------------------------------------------------------------------------------

    async def _run(self, after: Topic | None) -> None:
        if after is not None:
            await after.ended()
        waits = _retry.delays(None, longest_seconds=_LONGEST_REJOIN_SECONDS)
        while True:
            client = await self._connection.connected()
            join = self._join = Join(self, client, awaits_changes=self._awaits_changes)
            try:
                await join.hold()
            finally:
                self._is_joined, self._join = False, None
                join.discard()
            for listener in self._everybody():
                listener.lost(self.name)
            if join.was_joined:
                waits = _retry.delays(None, longest_seconds=_LONGEST_REJOIN_SECONDS)
            if self._connection.is_up(client):
                wait = _RATE_LIMITED_SECONDS if join.is_rate_limited else next(waits)
                _logger.info("joining %s again in %.1f s: %s", self.name, wait, join.reason)
                await asyncio.sleep(wait)

    def _everybody(self) -> list[Listener]:
        return [listener for listeners in self._listeners.values() for listener in listeners]
