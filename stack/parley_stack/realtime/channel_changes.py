"""postgres_changes of one channel: from the bindings of its join to what it is told.

Source: Supabase Realtime protocol, sections 5 and 8.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .changes.bindings import Binding, BindingError, read_binding
from .changes.judge import SubscribeError, UnavailableError
from .joins import number_changes
from .states import ChannelState
from .wire import raw_push

if TYPE_CHECKING:
    from .channel import Channel
    from .server import Realtime

_SUBSCRIBED = "Subscribed to PostgreSQL"
_RETRY_SECONDS = 5.0


class ChannelChanges:
    """The bindings of a channel, numbered as the client knows them."""

    def __init__(self, realtime: Realtime, channel: Channel) -> None:
        self.numbered = number_changes(channel.config.changes)
        self._realtime = realtime
        self._channel = channel
        self._bindings: list[tuple[int, Binding]] = []
        self._attempt = 0

    def subscribe(self) -> None:
        """Subscribe with the channel's token, in the background; the client is told."""
        if self.numbered:
            self._attempt += 1
            self._realtime.changes.spawn(self._subscribe(self._attempt))

    def end(self) -> None:
        """The channel has ended: it is told nothing more."""
        if self.numbered:
            self._attempt += 1
            self._realtime.changes.unsubscribe(self)

    def resubscribed(self, error: str | None) -> None:
        """The server made the subscription anew, or could not."""
        if error is None:
            self._say("ok", _SUBSCRIBED)
        else:
            self._say("error", error)

    def tell(self, ids: tuple[int, ...], data: bytes, frames: dict[object, bytes]) -> None:
        """Write a change for the bindings with ``ids``."""
        channel = self._channel
        key = (channel.wire, channel.name, ids, data)
        frame = frames.get(key)
        if frame is None:
            numbers = ",".join(map(str, ids)).encode()
            payload = b"".join((b'{"ids":[', numbers, b'],"data":', data, b"}"))
            frame = raw_push(channel.wire, None, channel.name, "postgres_changes", payload)
            frames[key] = frame
        channel.write(frame)

    async def _subscribe(self, attempt: int) -> None:
        try:
            self._bindings = [(item["id"], read_binding(item)) for item in self.numbered]
        except BindingError as error:
            self._say("error", str(error))
            return
        changes = self._realtime.changes
        while attempt == self._attempt:
            try:
                await changes.subscribe(self, self._bindings, self._channel.caller.claims)
            except SubscribeError as error:
                if attempt == self._attempt:
                    self._say("error", str(error))
                return
            except UnavailableError as error:
                if attempt == self._attempt:
                    self._say("error", str(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                if attempt == self._attempt:
                    self._say("ok", _SUBSCRIBED)
                elif self._channel.state is ChannelState.CLOSED:
                    changes.unsubscribe(self)
                return

    def _say(self, status: str, message: str) -> None:
        self._channel.system("postgres_changes", status, message)
