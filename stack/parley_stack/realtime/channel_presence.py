"""The presence of one channel: what its client asks, and whether it may.

Source: Supabase Realtime protocol, sections 7 and 9.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import AuthorizationError
from .inbound import Inbound
from .wire import to_json

if TYPE_CHECKING:
    from .channel import Channel
    from .server import Realtime


class ChannelPresence:
    """Presence is on if the join says so, or from the first track; till then nothing is told."""

    def __init__(self, realtime: Realtime, channel: Channel) -> None:
        config = channel.config
        self.is_on = config.has_presence
        self._realtime = realtime
        self._channel = channel
        self._name = config.presence_key or str(uuid.uuid4())
        self._is_listening = False
        self._calls: deque[float] = deque()

    def show(self) -> None:
        """Tell the client who is there, once it may know and wants to."""
        channel = self._channel
        if self.is_on and channel.reads.presence and not self._is_listening:
            self._is_listening = True
            state = self._realtime.presences.listen(channel.key, channel)
            channel.push("presence_state", state)

    def receive(self, message: Inbound) -> None:
        """A message ``presence``: track or untrack."""
        self._realtime.presence_events.add()
        if self._realtime.presence_events.is_exceeded():
            self._channel.expel(errors.TOO_MANY_PRESENCE_MESSAGES)
        elif self._is_too_frequent():
            self._channel.expel(errors.PRESENCE_RATE)
        else:
            self._act(message)

    def end(self) -> None:
        """The channel has ended: it is present no more."""
        self._realtime.presences.leave(self._channel.key, self._channel)

    def _is_too_frequent(self) -> bool:
        settings = self._realtime.settings
        now = time.monotonic()
        oldest = now - settings.client_presence_window_ms / 1000
        while self._calls and self._calls[0] <= oldest:
            self._calls.popleft()
        self._calls.append(now)
        return len(self._calls) > settings.client_presence_max_calls

    def _act(self, message: Inbound) -> None:
        asked: dict[str, Any] = message.payload if isinstance(message.payload, dict) else {}
        match str(asked.get("event")).lower():
            case "untrack":
                self._realtime.presences.untrack(self._channel.key, self._channel)
                self._channel.reply(message, "ok", {})
            case "track":
                payload = asked.get("payload", {})
                if not isinstance(payload, dict):
                    self._channel.reply(message, "error", {"reason": errors.PRESENCE_NO_MAP})
                elif len(to_json(payload)) > self._realtime.max_payload_bytes:
                    self._channel.expel(errors.TRACK_TOO_LARGE)
                elif self._channel.writes is None or not self.is_on:
                    self._channel.begin(self._ask_and_track(message, payload))
                else:
                    self._track(message, payload)
            case _:
                self._channel.reply(message, "error", {})

    async def _ask_and_track(self, message: Inbound, payload: dict[str, Any]) -> None:
        """Ask for the right to be seen, and to see if presence was off."""
        was_on, self.is_on = self.is_on, True
        try:
            if not was_on:
                await self._channel.ask_reads()
            await self._channel.ask_writes()
        except AuthorizationError as error:
            self.is_on = was_on
            self._realtime.report(error)
            self._channel.reply(message, "error", {})
            return
        self.show()
        self._track(message, payload)

    def _track(self, message: Inbound, payload: dict[str, Any]) -> None:
        writes = self._channel.writes
        if writes is None or not writes.presence:
            self._channel.reply(message, "error", {})
            return
        self._realtime.presences.track(self._channel.key, self._channel, self._name, payload)
        self._channel.reply(message, "ok", {})
