"""The live events of all of a user's conversations."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from pydantic import ValidationError

from parley import _retry, _wire
from parley._errors import AuthenticationError, ParleyError, RequestTimeoutError
from parley._events import (
    ConversationAdded,
    ConversationRemoved,
    InboxEvent,
    PrivateChanged,
    Resumed,
    parse_user_event,
    rev_of,
)
from parley._models import Changes

from .reading import read_messages
from .sequence import HELD_LIMIT, RevSequence
from .snapshot import snapshot_of
from .topic import EVERYTHING

if TYPE_CHECKING:
    from parley._async.services import Services

    from .socket import LiveSocket

# A change may overtake another by a little; and what Realtime did not take is found by asking.
_REORDER_SECONDS = 0.1
_CHECK_SECONDS = 30.0
_DEAF_CHECK_SECONDS = 5.0
# Of one conversation; there may be hundreds.
_HELD_LIMIT = 100


class InboxStream:
    """What happens in all of the user's conversations from now on, and to the user.

        async with parley.inbox.events() as events:
            async for event in events:
                ...

    Yields what ``InboxEvent`` names: of each conversation what its own stream would, each change
    once and in the order of ``rev``; conversations that come and go; contacts, blocks, what is
    private, notifications. These last are not numbered: Resumed says when some may have been
    missed.

    A change of a conversation with more participants than the tenant's ``fan_out_limit`` (usually
    50) comes within 30 seconds; ``conversation.events()`` has it at once.

    For one consumer. Lasts and ends as an EventStream does, but for conversations: that the user
    takes part in one no more is an event here.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._socket: LiveSocket | None = None
        self._topic = ""
        self._cursor: str | None = None
        self._sequences: dict[UUID, RevSequence] = {}
        self._private_revs: dict[UUID, int] = {}
        self._out: deque[InboxEvent] = deque()
        self._early: list[tuple[str, Mapping[str, object]]] = []
        self._ready: dict[UUID, None] = {}
        self._wake = asyncio.Event()
        self._is_started = False
        self._is_joined = False
        self._was_lost = False
        self._is_asked = False
        self._hole_at: float | None = None
        self._read_at = 0.0
        self._waits = _retry.delays(None)
        self._error: ParleyError | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> InboxEvent:
        if not self._is_started and not self._is_closed:
            await self._start()
        while not self._is_closed:
            event = self._take()
            if event is not None:
                return event
            if self._error is not None:
                await self.aclose()
                raise self._error
            await self._step()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream: a consumer that waits, stops."""
        self._is_closed = True
        self._wake.set()
        if self._socket is not None:
            self._socket.unlisten(self._topic, EVERYTHING, self)

    # What the topic says; called in the event loop -----------------------------------------------

    def heard(self, event: str, payload: Mapping[str, object]) -> None:
        """A broadcast to the user."""
        if self._is_started:
            self._offer(event, payload)
        else:
            self._keep(event, payload)
        self._wake.set()

    def joined(self, topic: str) -> None:
        """The topic is being heard; what was said before may have been missed."""
        self._is_joined = self._is_asked = True
        self._wake.set()

    def lost(self, topic: str) -> None:
        """The topic is not being heard."""
        self._is_joined, self._was_lost = False, True
        self._wake.set()

    def failed(self, error: ParleyError) -> None:
        """Nothing more will be heard."""
        self._error = error
        self._wake.set()

    # Private -----------------------------------------------------------------------------------

    async def _start(self) -> None:
        user = self._services.auth.user
        if user is None:
            raise AuthenticationError(code="sign_in_required", hint="Sign in first.")
        self._topic = f"user:{user.id}"
        seconds = max(self._services.config.retry_seconds, self._services.config.timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._join()
        except TimeoutError:
            raise RequestTimeoutError(
                "Realtime could not be joined in time.", hint="Check that Realtime runs."
            ) from None

    async def _join(self) -> None:
        self._socket = self._services.socket()
        self._socket.listen(self._topic, EVERYTHING, self, awaits_changes=True)
        while not self._is_joined:
            self._wake.clear()
            if self._error is not None:
                raise self._error
            if not self._is_joined:
                await self._wake.wait()
        self._is_asked = False
        await self._read(None)
        self._is_started = True
        self._out.clear()
        self._hear_kept()

    def _keep(self, event: str, payload: Mapping[str, object]) -> None:
        if len(self._early) < HELD_LIMIT:
            self._early.append((event, payload))

    def _hear_kept(self) -> None:
        kept, self._early = self._early, []
        for event, payload in kept:
            conversation_id = _uuid(payload.get("conversation_id"))
            if rev_of(payload) is None or conversation_id in self._sequences:
                self._offer(event, payload)

    def _take(self) -> InboxEvent | None:
        while not self._out and self._ready:
            conversation_id = next(iter(self._ready))
            sequence = self._sequences.get(conversation_id)
            event = None if sequence is None else sequence.take()
            if event is not None:
                return event
            del self._ready[conversation_id]
        return self._out.popleft() if self._out else None

    def _offer(self, name: str, payload: Mapping[str, object]) -> None:
        conversation_id = _uuid(payload.get("conversation_id"))
        if conversation_id is not None and rev_of(payload) is not None:
            sequence = self._sequences.get(conversation_id)
            if sequence is None:
                # A new one: heard again when it has been read.
                self._is_asked = True
                self._keep(name, payload)
                return
            sequence.offer(name, payload)
            self._ready[conversation_id] = None
            return
        if name == "participant_left":
            # The user was removed and is told so without more. Or was; ask.
            self._is_asked = True
            return
        with contextlib.suppress(ValidationError):
            event = parse_user_event(name, payload)
            if isinstance(event, PrivateChanged):
                self._note_private(event.conversation_id, event.private_rev)
            elif event is not None and len(self._out) < HELD_LIMIT:
                self._out.append(event)
            elif event is not None:
                # Nobody reads; they will be told that some are missing.
                self._was_lost = self._is_asked = True

    def _note_private(self, conversation_id: UUID, rev: int) -> None:
        if len(self._out) >= HELD_LIMIT:
            # The next answer of sync has it still.
            self._was_lost = True
        elif rev > self._private_revs.get(conversation_id, 0):
            self._private_revs[conversation_id] = rev
            self._out.append(PrivateChanged(conversation_id=conversation_id, private_rev=rev))

    async def _step(self) -> None:
        """Waits until there may be something to take; reads what is due."""
        self._wake.clear()
        wait = self._due() - time.monotonic()
        if wait > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            return
        self._is_asked = False
        try:
            await self._read(self._cursor)
            self._hear_kept()
        except asyncio.CancelledError:
            self._is_asked = True
            raise
        except ParleyError as error:
            if isinstance(error, AuthenticationError):
                self._error = error
                return
            self._is_asked = True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(next(self._waits)):
                    while not (self._is_closed or self._error):
                        self._wake.clear()
                        await self._wake.wait()
            return
        self._waits = _retry.delays(None)
        if self._was_lost and self._is_joined:
            self._was_lost = False
            self._out.append(Resumed())

    def _due(self) -> float:
        now = time.monotonic()
        if self._is_asked:
            return now
        due = self._read_at + (_CHECK_SECONDS if self._is_joined else _DEAF_CHECK_SECONDS)
        if any(sequence.has_hole for sequence in self._sequences.values()):
            self._hole_at = self._hole_at or now
            return min(due, self._hole_at + _REORDER_SECONDS)
        self._hole_at = None
        return due

    async def _read(self, cursor: str | None) -> None:
        """Reads all that changed since the cursor, page by page."""
        while True:
            request = _wire.call("sync", {"cursor": cursor})
            # The stream tries again itself, and listens meanwhile.
            budget = 0 if self._is_started else None
            since = {key: sequence.rev for key, sequence in self._sequences.items()}
            content = await self._services.rest.send(request, retry_seconds=budget)
            changes = _wire.parse_model(Changes, content)
            await self._apply(changes, since)
            self._cursor = cursor = changes.cursor
            self._read_at, self._hole_at = time.monotonic(), None
            if not changes.has_more:
                return

    async def _apply(self, changes: Changes, since: dict[UUID, int]) -> None:
        for conversation_id in changes.left:
            if self._sequences.pop(conversation_id, None) is not None:
                self._out.append(ConversationRemoved(conversation_id=conversation_id))
        for part in changes.conversations:
            snapshot = snapshot_of(changes, part)
            if snapshot is None:
                continue
            conversation_id = part.conversation_id
            sequence = self._sequences.get(conversation_id)
            if part.private.settings is not None:
                self._note_private(conversation_id, part.private.settings.rev)
            if sequence is None:
                self._sequences[conversation_id] = RevSequence(snapshot, held_limit=_HELD_LIMIT)
                added = ConversationAdded(
                    conversation_id=conversation_id, entry=snapshot.conversation
                )
                self._out.append(added)
                continue
            if snapshot.is_reset:
                rest = self._services.rest
                messages = await read_messages(rest, conversation_id, sequence.seq)
                snapshot = replace(snapshot, messages=messages)
            sequence.apply(snapshot, since=since.get(conversation_id, 0))
            self._ready[conversation_id] = None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
