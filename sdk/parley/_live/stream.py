"""The live events of one conversation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from parley import _wire
from parley._errors import AuthenticationError, ParleyError, RequestTimeoutError
from parley._events import ConversationEvent
from parley._models import Changes

from .reading import read_messages
from .repair import Repair
from .sequence import HELD_LIMIT, RevSequence
from .snapshot import Snapshot, snapshot_of

if TYPE_CHECKING:
    from parley._async.services import Services

    from .socket import LiveSocket


class EventStream:
    """What happens in a conversation from now on: each change once, in the order of ``rev``.

        async with room.events() as events:
            async for event in events:
                ...

    Entered, it has joined: everything committed from then on is yielded. A plain ``async for``
    joins on the first step; end it with ``aclose()``. For one consumer.

    Yields what ``ConversationEvent`` names. What was not heard (a broken connection, a restarted
    server, a slow consumer beyond 1,000 events) is noticed by its number and read with ``sync``
    instead: every message is yielded, in order and once; of other changes the last state, where
    several were not heard. When even that cannot be told, HistoryChanged says so.

    Lasts through restarts of any server. Ends by raising

    - NotFoundError (``conversation_not_found``) when the user no longer takes part, after
      everything they heard until then;
    - AuthenticationError when the user signs out, or the session has ended;
    - InvalidRequestError when the client is closed;
    - ConnectionFailedError on the first step, if it cannot join for ``retry_seconds``;

    and without an error after ``aclose()``.
    """

    def __init__(self, services: Services, conversation_id: UUID) -> None:
        self._services = services
        self._conversation_id = conversation_id
        self._key = str(conversation_id)
        self._socket: LiveSocket | None = None
        self._user_topic = ""
        self._topic = ""
        self._epoch = 0
        self._joined: set[str] = set()
        self._early: list[tuple[str, Mapping[str, object]]] = []
        self._sequence: RevSequence | None = None
        self._repair = Repair(self._read)
        self._wake = asyncio.Event()
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

    async def __anext__(self) -> ConversationEvent:
        if self._sequence is None and not self._is_closed:
            await self._start()
        while self._sequence is not None and not self._is_closed:
            event = self._sequence.take()
            if event is not None:
                return event
            if self._error is not None:
                await self.aclose()
                raise self._error
            await self._step(self._sequence)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ends the stream: a consumer that waits, stops."""
        self._is_closed = True
        self._wake.set()
        if self._socket is not None:
            self._socket.unlisten(self._user_topic, self._key, self)
            self._socket.unlisten(self._topic, self._key, self)
        await self._repair.aclose()

    # What the topics say; called in the event loop ----------------------------------------------

    def heard(self, event: str, payload: Mapping[str, object]) -> None:
        """A broadcast about this conversation, on its topic or the user's; often on both."""
        if self._sequence is not None:
            self._sequence.offer(event, payload)
        elif len(self._early) < HELD_LIMIT:
            self._early.append((event, payload))
        epoch = payload.get("epoch")
        if isinstance(epoch, int) and epoch > self._epoch:
            self._move(epoch)
        elif event == "participant_left" and "rev" not in payload:
            # Somebody was removed and is told so without more: it is this user. Or was; ask.
            self._repair.ask()
        self._wake.set()

    def joined(self, topic: str) -> None:
        """A topic is being heard; what was said before may have been missed."""
        self._joined.add(topic)
        self._repair.ask()
        self._wake.set()

    def lost(self, topic: str) -> None:
        """A topic is not being heard."""
        self._joined.discard(topic)
        self._repair.ask(has_missed=True)
        self._wake.set()

    def failed(self, error: ParleyError) -> None:
        """Nothing more will be heard."""
        self._error = error
        self._wake.set()

    # Private -----------------------------------------------------------------------------------

    @property
    def _is_live(self) -> bool:
        return {self._user_topic, self._topic} <= self._joined

    async def _start(self) -> None:
        """Joins, then finds where the conversation stands. Can be cancelled and begun again."""
        user = self._services.auth.user
        if user is None:
            raise AuthenticationError(code="sign_in_required", hint="Sign in first.")
        seconds = max(self._services.config.retry_seconds, self._services.config.timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                await self._join(f"user:{user.id}")
        except TimeoutError:
            raise RequestTimeoutError(
                "Realtime could not be joined in time.", hint="Check that Realtime runs."
            ) from None

    async def _join(self, user_topic: str) -> None:
        self._socket = self._services.socket()
        self._user_topic = user_topic
        self._socket.listen(user_topic, self._key, self, awaits_changes=True)
        while True:
            self._wake.clear()
            if self._error is not None:
                raise self._error
            if self._repair.is_asked:
                self._repair.is_asked = False
                start = await self._read(None)
                if start is None:
                    raise _wire.conversation_not_found()
                if self._is_live and start.conversation.epoch == self._epoch:
                    break
                self._move(start.conversation.epoch)
            await self._wake.wait()
        self._sequence = RevSequence(start)
        for event, payload in self._early:
            self._sequence.offer(event, payload)
        self._early.clear()

    def _move(self, epoch: int) -> None:
        """Listens to the topic of another epoch.

        Nothing is lost between the two: the user's topic goes on, and when the new one has been
        joined, what was missed is read.
        """
        if self._socket is None or epoch == self._epoch or self._is_closed:
            return
        if self._topic:
            self._socket.unlisten(self._topic, self._key, self)
        self._joined.discard(self._topic)
        self._epoch = epoch
        self._topic = f"conversation:{self._key}:{epoch}"
        self._socket.listen(self._topic, self._key, self)

    async def _read(self, cursor: str | None) -> Snapshot | None:
        """All since a cursor, None: nothing; without one, where the conversation stands."""
        arguments: dict[str, _wire.Argument] = {
            "conversation_id": self._conversation_id,
            "cursor": cursor,
        }
        # The stream tries again itself, and listens meanwhile.
        budget = None if self._sequence is None else 0
        request = _wire.call("sync", arguments)
        content = await self._services.rest.send(request, retry_seconds=budget)
        changes = _wire.parse_model(Changes, content)
        parts = [part for part in changes.conversations if part.conversation is not None]
        if changes.left:
            raise _wire.conversation_not_found()
        snapshot = snapshot_of(changes, parts[0]) if parts else None
        if snapshot is not None and cursor is not None and snapshot.is_reset:
            after_seq = self._sequence.seq if self._sequence else 0
            messages = await read_messages(self._services.rest, self._conversation_id, after_seq)
            snapshot = replace(snapshot, messages=messages)
        return snapshot

    async def _step(self, sequence: RevSequence) -> None:
        """Waits until there may be something to take; repairs what is due."""
        self._wake.clear()
        try:
            snapshot, seconds = self._repair.step(sequence, self._wake, is_live=self._is_live)
        except ParleyError as error:
            # Nothing more will come: what is held after a hole is given out all the same.
            sequence.pass_over()
            self._error = error
            return
        if snapshot is not None:
            self._move(snapshot.conversation.epoch)
        if not self._wake.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()
