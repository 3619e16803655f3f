"""One topic joined on one socket.

Messages are handled in the order they came. Where PostgreSQL has to be asked, the channel waits
for the answer and queues what arrives meanwhile; everything else happens at once.
Source: Supabase Realtime protocol, sections 3 to 6.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from . import errors, tokens
from .authorization import EVERYTHING, Permissions
from .broadcasts import PREFIX, Broadcast, EventBroadcast, ObjectBroadcast
from .errors import AuthorizationError, Problem
from .inbound import Inbound, UserBroadcast
from .joins import JoinConfig, number_changes
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
        self._reads = EVERYTHING
        self._writes: Permissions | None = None if config.is_private else EVERYTHING
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
            self._begin(self._join_private())
        else:
            self._joined()

    async def _join_private(self) -> None:
        try:
            self._reads = await self._read_permissions()
        except AuthorizationError as error:
            self._realtime.report(error)
            cause = error.problem
            unauthorized = Problem.UNAUTHORIZED.reason + f": {self.topic}"
            self._refuse(unauthorized if cause is Problem.POLICY else cause.reason)
            return
        if not (self._reads.broadcast or self._reads.presence):
            self._refuse(f"{Problem.UNAUTHORIZED.reason}: {self.topic}")
            return
        self._joined()

    def _joined(self) -> None:
        self.state = advance(self.state, ChannelState.JOINED)
        if self._reads.broadcast:
            self._realtime.topics.add(self.key, self)
        changes = number_changes(self.config.changes)
        self._reply(self._request, "ok", {"postgres_changes": changes})
        if self.config.has_presence:
            self.push("presence_state", {})
        if changes:
            self._system("postgres_changes", "error", errors.NO_POSTGRES_CHANGES)
        if self.config.wants_replication_ready:
            self._readiness = self._loop.create_task(self._announce_replication())

    async def _announce_replication(self) -> None:
        try:
            await asyncio.wait_for(self._realtime.stream.live.wait(), _REPLICATION_SECONDS)
        except TimeoutError:
            self._expel(errors.REPLICATION_LATE)
        else:
            self._system("system", "ok", errors.REPLICATION_READY)

    def _refuse(self, reason: str) -> None:
        self._reply(self._request, "error", {"reason": reason})
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
            if self._writes is None:
                self._begin(self._broadcast_private(message))
            else:
                self._broadcast(message)
        elif message.event == "access_token":
            self._access_token(message)
        elif message.event == "phx_leave" and message.join_ref in (None, self.join_ref):
            self._reply(message, "ok", {})
            self._close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
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
            self._writes = await self._realtime.authorizer.write(self._identity(), self.topic)
        except AuthorizationError as error:
            self._realtime.report(error)
            return
        self._broadcast(message)

    def _broadcast(self, message: Inbound) -> None:
        if self._writes is None or not self._writes.broadcast:
            return
        broadcast, size = _outgoing(message)
        if size > self._realtime.max_payload_bytes:
            if self.config.acknowledges:
                self._reply(message, "error", {"reason": errors.PAYLOAD_TOO_LARGE})
            return
        sender = None if self.config.echoes else self
        if not self._realtime.broadcast(self.key, broadcast, sender):
            return
        if self.config.acknowledges:
            self._reply(message, "ok", {})

    # Tokens

    def _access_token(self, message: Inbound) -> None:
        token = message.payload.get("access_token") if isinstance(message.payload, dict) else None
        if not isinstance(token, str) or tokens.is_api_key(token) or token == self._token:
            return
        try:
            self._adopt(token)
        except TokenRefusedError as error:
            self._expel(error.message)
            return
        if self.config.is_private:
            self._writes = None
            self._begin(self._renew())

    async def _renew(self) -> None:
        """Ask again what a new token may receive; a right that is gone ends the channel."""
        before = self._reads
        try:
            self._reads = await self._read_permissions()
        except AuthorizationError as error:
            self._realtime.report(error)
            if error.problem in errors.TRANSIENT:
                self._system("system", "error", error.problem.message)
                self._crash()
            else:
                self._expel(errors.cannot_read(self.topic))
            return
        if not (self._reads.broadcast or self._reads.presence):
            self._expel(errors.cannot_read(self.topic))
        elif before.broadcast > self._reads.broadcast or before.presence > self._reads.presence:
            self._expel(errors.can_no_longer_read(self.topic))
        elif self._reads.broadcast:
            self._realtime.topics.add(self.key, self)

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
            self._expel(error.message)

    def _identity(self) -> Caller:
        assert self._caller is not None, "a channel acts only with a token"
        return self._caller

    async def _read_permissions(self) -> Permissions:
        presence = self.config.has_presence
        authorizer = self._realtime.authorizer
        return await authorizer.read(self._identity(), self.topic, with_presence=presence)

    # Ending

    def end(self) -> None:
        """Stop everything, without a word to the client."""
        if self.state is ChannelState.CLOSED:
            return
        self.state = advance(self.state, ChannelState.CLOSED)
        self._realtime.topics.discard(self.key, self)
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
        self._expel(errors.TOO_MANY_MESSAGES)

    def _expel(self, message: str) -> None:
        """End the channel for good: a system error, then phx_close. The socket stays."""
        if self.state is ChannelState.JOINING:
            self._refuse(message)
        elif self.state is ChannelState.JOINED:
            self._system("system", "error", message)
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

    def _system(self, extension: str, status: str, message: str) -> None:
        payload = {"extension": extension, "status": status, "message": message}
        self.push("system", {**payload, "channel": self.topic})

    def _reply(self, message: Inbound, status: str, response: Payload) -> None:
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
