"""One topic joined on one socket.

Messages are handled in the order they came. Where PostgreSQL has to be asked, the channel waits
for the answer and queues what arrives meanwhile; everything else happens at once.
Presence and postgres_changes are in ``channel_presence`` and ``channel_changes``.
Source: Supabase Realtime protocol, sections 3 to 6.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from . import errors, replay, tokens
from .authorization import EVERYTHING, Permissions
from .broadcasts import PREFIX, Broadcast, EventBroadcast, ObjectBroadcast
from .channel_changes import ChannelChanges
from .channel_presence import ChannelPresence
from .errors import AuthorizationError, Problem
from .inbound import Inbound, UserBroadcast
from .joins import JoinConfig
from .states import ChannelState, advance
from .tokens import Caller, TokenRefusedError
from .wire import Payload, Ref, ending, push, reply, to_json

if TYPE_CHECKING:
    from .server import Realtime
    from .socket import RealtimeSocket

_log = logging.getLogger(__name__)

_MAX_QUEUED = 1_000
_REPLICATION_SECONDS = 60.0


class Channel:
    """A join, from its request to its end. ``topic`` is the name without prefix."""

    def __init__(
        self, realtime: Realtime, socket: RealtimeSocket, request: Inbound, config: JoinConfig
    ) -> None:
        self.state = ChannelState.JOINING
        self.name = request.topic
        self.topic = request.topic.removeprefix(PREFIX)
        self.join_ref: Ref = request.join_ref if request.join_ref is not None else request.ref
        self.config = config
        self.key = (config.is_private, self.topic)
        self.wire = socket.wire
        self.write: Callable[[bytes], None] = socket.write
        """Bytes straight to the transport: the path of every delivery."""
        self._realtime = realtime
        self._socket = socket
        self._request = request
        self._loop = asyncio.get_running_loop()
        self._token = ""
        self._caller: Caller | None = None
        self.reads = EVERYTHING
        self.writes: Permissions | None = None if config.is_private else EVERYTHING
        """What may be sent; None until PostgreSQL was asked for the present token."""
        self._presence = ChannelPresence(realtime, self)
        self._changes = ChannelChanges(realtime, self)
        self._inbox: deque[Inbound] = deque()
        self._work: asyncio.Task[None] | None = None
        self._readiness: asyncio.Task[None] | None = None
        self._token_timer: asyncio.TimerHandle | None = None

    # Joining

    def join(self) -> None:
        """Check the token, ask for permissions if private, and answer."""
        token = self.config.token
        if token is None or tokens.is_api_key(token):
            token = self._socket.token
        try:
            self._adopt(token)
        except TokenRefusedError as error:
            self._refuse(error.reason)
            return
        if self.config.is_private:
            self.begin(self._join_private())
        elif self.config.replay is not None:
            self._refuse(Problem.REPLAY_PUBLIC.reason)
        else:
            self._joined()

    async def _join_private(self) -> None:
        try:
            await self.ask_reads()
        except AuthorizationError as error:
            self._realtime.report(error)
            cause = error.problem
            unauthorized = Problem.UNAUTHORIZED.reason + f": {self.topic}"
            self._refuse(unauthorized if cause is Problem.POLICY else cause.reason)
            return
        wants_replay = self.config.replay is not None
        if not (self.reads.broadcast or (self.reads.presence and not wants_replay)):
            self._refuse(f"{Problem.UNAUTHORIZED.reason}: {self.topic}")
        elif wants_replay:
            await self._join_with_replay()
        else:
            self._joined()

    async def _join_with_replay(self) -> None:
        wanted = replay.read_replay(self.config.replay)
        if wanted is None:
            self._refuse(Problem.REPLAY_PARAMETERS.reason)
            return
        replays = self._realtime.replays
        with replays.window(self.key) as window:
            try:
                rows = await replay.fetch(self._realtime.authorizer, self.topic, wanted)
            except AuthorizationError as error:
                self._realtime.report(error)
                self._refuse(Problem.REPLAY_FAILED.reason)
                return
            self._joined()
            replays.tell(self, rows, window)

    def _joined(self) -> None:
        self.state = advance(self.state, ChannelState.JOINED)
        if self.reads.broadcast:
            self._realtime.topics.add(self.key, self)
        self.reply(self._request, "ok", {"postgres_changes": self._changes.numbered})
        self._presence.show()
        self._changes.subscribe()
        if self.config.wants_replication_ready:
            self._readiness = self._loop.create_task(self._announce_replication())

    async def _announce_replication(self) -> None:
        try:
            await asyncio.wait_for(self._realtime.stream.live.wait(), _REPLICATION_SECONDS)
        except TimeoutError:
            self.expel(errors.REPLICATION_LATE)
        else:
            self.system("system", "ok", errors.REPLICATION_READY)

    def _refuse(self, reason: str) -> None:
        self.reply(self._request, "error", {"reason": reason})
        self.end()

    # Messages

    def receive(self, message: Inbound) -> None:
        """Handle a message now, or after what is being waited for."""
        if self._work is None:
            self._handle(message)
        elif len(self._inbox) < _MAX_QUEUED:
            self._inbox.append(message)
        else:
            self._crash()

    def _handle(self, message: Inbound) -> None:
        if message.event == "broadcast":
            if self.writes is None:
                self.begin(self._broadcast_private(message))
            else:
                self._broadcast(message)
        elif message.event == "presence":
            self._presence.receive(message)
        elif message.event == "access_token":
            self._access_token(message)
        elif message.event == "phx_leave" and message.join_ref in (None, self.join_ref):
            self.reply(message, "ok", {})
            self._close()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` that waits; messages that arrive meanwhile are handled after it."""
        self._work = self._loop.create_task(work)
        self._work.add_done_callback(self._finish)

    def _finish(self, work: asyncio.Task[None]) -> None:
        """Go on with what arrived meanwhile."""
        self._work = None
        if work.cancelled():
            return
        if error := work.exception():
            _log.error("a channel crashed", exc_info=error)
            self._crash()
        while self._inbox and self._work is None:
            self._handle(self._inbox.popleft())

    # Broadcast

    async def _broadcast_private(self, message: Inbound) -> None:
        """Ask for the right to send, once per token; without it a send is met with silence."""
        try:
            await self.ask_writes()
        except AuthorizationError as error:
            self._realtime.report(error)
            return
        self._broadcast(message)

    def _broadcast(self, message: Inbound) -> None:
        if self.writes is None or not self.writes.broadcast:
            return
        broadcast, size = _outgoing(message)
        if size > self._realtime.max_payload_bytes:
            if self.config.acknowledges:
                self.reply(message, "error", {"reason": errors.PAYLOAD_TOO_LARGE})
            return
        sender = None if self.config.echoes else self
        if not self._realtime.broadcast(self.key, broadcast, sender):
            return
        if self.config.acknowledges:
            self.reply(message, "ok", {})

    # Tokens

    def _access_token(self, message: Inbound) -> None:
        token = message.payload.get("access_token") if isinstance(message.payload, dict) else None
        if not isinstance(token, str) or tokens.is_api_key(token) or token == self._token:
            return
        try:
            self._adopt(token)
        except TokenRefusedError as error:
            self.expel(error.message)
            return
        if self.config.is_private:
            self.writes = None
            self.begin(self._renew())
        else:
            self._changes.subscribe()

    async def _renew(self) -> None:
        """Ask again what a new token may receive; a right that is gone ends the channel."""
        before = self.reads
        try:
            await self.ask_reads()
        except AuthorizationError as error:
            self._realtime.report(error)
            if error.problem in errors.TRANSIENT:
                self.system("system", "error", error.problem.message)
                self._crash()
            else:
                self.expel(errors.cannot_read(self.topic))
            return
        if not (self.reads.broadcast or self.reads.presence):
            self.expel(errors.cannot_read(self.topic))
        elif before.broadcast > self.reads.broadcast or before.presence > self.reads.presence:
            self.expel(errors.can_no_longer_read(self.topic))
        else:
            if self.reads.broadcast:
                self._realtime.topics.add(self.key, self)
            self._presence.show()
            self._changes.subscribe()

    def _adopt(self, token: str) -> None:
        """Make ``token`` the channel's, and watch its end. Raises TokenRefusedError."""
        claims = tokens.verify(self._realtime.keys, token)
        self._token = token
        self._caller = Caller(claims, self._socket.headers)
        if self._token_timer is not None:
            self._token_timer.cancel()
        remaining = (tokens.expiry(claims) or 0) - time.time()
        delay = min(max(remaining, 0), self._realtime.settings.token_check_seconds)
        self._token_timer = self._loop.call_later(delay, self._check_token)

    def _check_token(self) -> None:
        if self.state is ChannelState.CLOSED:
            return
        try:
            self._adopt(self._token)
        except TokenRefusedError as error:
            self.expel(error.message)

    @property
    def caller(self) -> Caller:
        """On whose behalf the channel acts."""
        assert self._caller is not None, "a channel acts only with a token"
        return self._caller

    async def ask_reads(self) -> None:
        """Ask PostgreSQL what may be received, if private. Raises AuthorizationError."""
        if self.config.is_private:
            authorizer, presence = self._realtime.authorizer, self._presence.is_on
            caller = self.caller
            self.reads = await authorizer.read(caller, self.topic, with_presence=presence)

    async def ask_writes(self) -> None:
        """Ask PostgreSQL what may be sent, unless it is known. Raises AuthorizationError."""
        if self.writes is None:
            self.writes = await self._realtime.authorizer.write(self.caller, self.topic)

    # Ending

    def end(self) -> None:
        """Stop everything, without a word to the client."""
        if self.state is ChannelState.CLOSED:
            return
        self.state = advance(self.state, ChannelState.CLOSED)
        self._realtime.topics.discard(self.key, self)
        self._presence.end()
        self._changes.end()
        self._socket.forget(self)
        self._inbox.clear()
        if self._token_timer is not None:
            self._token_timer.cancel()
        current = asyncio.current_task()
        for task in (self._work, self._readiness):
            if task is not None and task is not current:
                task.cancel()

    def expel_for_rate(self) -> None:
        """End a channel whose topic is too busy."""
        self.expel(errors.TOO_MANY_MESSAGES)

    def expel(self, message: str) -> None:
        """End the channel for good: a system error, then phx_close. The socket stays."""
        if self.state is ChannelState.JOINING:
            self._refuse(message)
        elif self.state is ChannelState.JOINED:
            self.system("system", "error", message)
            self._close()

    def _close(self) -> None:
        self.write(ending(self.wire, self.join_ref, self.name, "phx_close"))
        self.end()

    def _crash(self) -> None:
        """End the channel so that the client rejoins."""
        if self.state is ChannelState.JOINING:
            self._refuse(errors.UNKNOWN)
        elif self.state is ChannelState.JOINED:
            self.write(ending(self.wire, self.join_ref, self.name, "phx_error"))
            self.end()

    # Writing

    def push(self, event: str, payload: Payload) -> None:
        """A message to this channel alone."""
        self.write(push(self.wire, self.join_ref, self.name, event, payload))

    def system(self, extension: str, status: str, message: str) -> None:
        """A system message; ``status`` is ok or error."""
        payload = {"extension": extension, "status": status, "message": message}
        self.push("system", {**payload, "channel": self.topic})

    def reply(self, message: Inbound, status: str, response: Payload) -> None:
        """Answer a message; ``status`` is ok or error."""
        frame = reply(self.wire, message.join_ref, message.ref, self.name, status, response)
        self.write(frame)


def _outgoing(message: Inbound) -> tuple[Broadcast, int]:
    """What a client's broadcast becomes, and the size of its payload in bytes."""
    payload = message.payload
    if isinstance(payload, UserBroadcast):
        broadcast = EventBroadcast(payload.event, payload.body, payload.is_json)
        return broadcast, len(payload.body)
    body = to_json(payload)
    return ObjectBroadcast(body), len(body)
