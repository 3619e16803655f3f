"""Who is typing."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from parley import _wire
from parley._errors import ParleyError
from parley._models import ConversationInfo

if TYPE_CHECKING:
    from parley._async.services import Services

    from .socket import LiveSocket

EVENT = "typing"
# Said again while one types; believed a little longer.
_REPEAT_SECONDS = 3.0
_LASTING_SECONDS = 5.0


class Typing:
    """Who is typing in a conversation.

        async with room.typing() as typing:
            await typing.say()          # at each key: sent at most every 3 seconds
            async for people in typing:
                ...                     # ids of who types now, after each change

    What comes in is another participant's word, the name in it included: show it, and decide
    nothing by it. For one consumer. Ends like an EventStream.
    """

    def __init__(self, services: Services, conversation_id: UUID) -> None:
        self._services = services
        self._conversation_id = conversation_id
        self._key = str(conversation_id)
        self._user_id = services.auth.user_id
        self._user_topic = f"user:{self._user_id}"
        self._topic = ""
        self._epoch = 0
        self._socket: LiveSocket | None = None
        self._until: dict[UUID, float] = {}
        self._shown: frozenset[UUID] = frozenset()
        self._said_at = float("-inf")
        self._wake = asyncio.Event()
        self._error: ParleyError | None = None
        self._is_closed = False

    async def __aenter__(self) -> Self:
        request = _wire.read("conversations", _wire.equals("id", self._conversation_id))
        rows = await self._services.rest.rows(ConversationInfo, request)
        info = _wire.only(rows, _wire.conversation_not_found())
        self._socket = self._services.socket()
        self._socket.listen(self._user_topic, self._key, self, awaits_changes=True)
        self._move(info.epoch)
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

    async def __anext__(self) -> frozenset[UUID]:
        while not self._is_closed:
            if self._error is not None:
                raise self._error
            self._wake.clear()
            now = time.monotonic()
            self._until = {who: until for who, until in self._until.items() if until > now}
            people = frozenset(self._until)
            if people != self._shown:
                self._shown = people
                return people
            wait = min(self._until.values()) - now if self._until else None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()
        raise StopAsyncIteration

    async def say(self) -> None:
        """Says that the user is typing. Call it as often as you like; never raises for want of a
        connection.
        """
        now = time.monotonic()
        if self._socket is None or now - self._said_at < _REPEAT_SECONDS:
            return
        self._said_at = now
        await self._socket.say(self._topic, EVENT, self._payload())

    async def aclose(self) -> None:
        """Ends it: a consumer that waits, stops."""
        self._is_closed = True
        self._wake.set()
        if self._socket is not None:
            self._socket.unlisten(self._user_topic, self._key, self)
            self._socket.unlisten(self._topic, self._key, self)

    # What the topics say; called in the event loop ----------------------------------------------

    def heard(self, event: str, payload: Mapping[str, object]) -> None:
        """Somebody types, or has sent what they typed; or the topic moves."""
        epoch = payload.get("epoch")
        if event == EVENT:
            self._set(payload.get("user_id"), time.monotonic() + _LASTING_SECONDS)
        elif isinstance(epoch, int) and epoch > self._epoch:
            self._move(epoch)
        if event == "message_created":
            message = payload.get("message")
            if isinstance(message, Mapping):
                self._set(message.get("sender_id"), 0.0)

    def joined(self, topic: str) -> None:
        """Nothing to make good: what was typed meanwhile is over."""

    def lost(self, topic: str) -> None:
        """As joined."""

    def failed(self, error: ParleyError) -> None:
        """Nothing more will be heard."""
        self._error = error
        self._wake.set()

    # Private -----------------------------------------------------------------------------------

    def _payload(self) -> dict[str, str]:
        return {"conversation_id": self._key, "user_id": str(self._user_id)}

    def _set(self, user_id: object, until: float) -> None:
        try:
            who = UUID(str(user_id))
        except ValueError:
            return
        if who != self._user_id:
            self._until[who] = until
            self._wake.set()

    def _move(self, epoch: int) -> None:
        if self._socket is None or self._is_closed:
            return
        if self._topic:
            self._socket.unlisten(self._topic, self._key, self)
        self._epoch = epoch
        self._topic = f"conversation:{self._key}:{epoch}:typing"
        self._socket.listen(self._topic, self._key, self)
