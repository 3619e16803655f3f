"""Messages that outlast the program."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import JsonValue

from parley import _retry, _wire
from parley._compat import AsyncSingleFlight, async_sleep
from parley._errors import AuthenticationError, InvalidRequestError, ParleyError, RateLimitedError
from parley._ids import checked_id
from parley._models import Message
from parley._outbox import OutboxFile, Waiting

from .here import optional_seq_of
from .messages import message_arguments

if TYPE_CHECKING:
    from .services import Services

_LONGEST_WAIT_SECONDS = 60.0


class AsyncOutbox:
    """Messages in a file until the server has them.

        outbox = parley.outbox("outbox.sqlite")
        outbox.put(room.id, "hello")    # returns when it is on disk
        await outbox.send()             # all, in order; also those of the last run

    What was put is sent once, however often the program or the network ends in between, because
    each message got its id when it was put. One user's messages are sent one after the other; a
    message that the server refuses is kept with the reason, and the next one is sent.
    """

    def __init__(self, services: Services, path: Path | str) -> None:
        self._services = services
        self._file = OutboxFile(path)
        self._sending = AsyncSingleFlight()
        self._sent: list[Message] = []

    def put(
        self,
        conversation_id: UUID | str,
        body: str,
        *,
        id: UUID | str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
        thread: Message | int | None = None,
        mentions: Iterable[UUID | str] = (),
    ) -> UUID:
        """Writes a message down, to be sent as the signed-in user; returns its id.

        Raises InvalidRequestError for what ``send`` would refuse at once, AuthenticationError when
        nobody is signed in.
        """
        reply, root = optional_seq_of(reply_to), optional_seq_of(thread)
        arguments = message_arguments(body, id, "text", metadata, reply, root, mentions)
        chosen = arguments["id"]
        if not isinstance(chosen, UUID):
            raise InvalidRequestError("`id` is not an id.")
        room = checked_id(conversation_id, "conversation_id")
        request = _wire.call("send_message", {**arguments, "conversation_id": room})
        self._file.put(chosen, self._services.auth.user_id, room, request.body or {})
        return chosen

    def waiting(self) -> tuple[Waiting, ...]:
        """The signed-in user's messages that are not sent, in order, with those refused."""
        return self._file.all(self._services.auth.user_id)

    def retry(self, id: UUID | str) -> None:
        """Has a refused message sent with the next ``send``."""
        self._file.retry(checked_id(id, "id"))

    def discard(self, id: UUID | str) -> None:
        """Gives a message up."""
        self._file.remove(checked_id(id, "id"))

    async def send(self) -> tuple[Message, ...]:
        """Sends what waits, in order, and returns the stored rows.

        While the server cannot be reached, or wants fewer messages, it tries again, for ever: run
        it in a task of its own, or bound it with a timeout. Cancelled, it loses nothing.

        Raises AuthenticationError when the session has ended.
        """
        await self._sending.run(self._send)
        sent, self._sent = tuple(self._sent), []
        return sent

    async def aclose(self) -> None:
        """Closes the file; what waits stays in it."""
        await self._sending.aclose()
        self._file.close()

    async def _send(self) -> None:
        user_id, after = self._services.auth.user_id, 0
        while (waiting := self._file.first(user_id, after)) is not None:
            after = waiting.number
            try:
                self._sent.append(await self._send_one(waiting))
            except AuthenticationError:
                raise
            except ParleyError as error:
                self._file.refuse(waiting.number, error.code, error.message)
            else:
                self._file.remove(waiting.id)

    async def _send_one(self, waiting: Waiting) -> Message:
        waits = _retry.delays(None, longest_seconds=_LONGEST_WAIT_SECONDS)
        request = _wire.Request("POST", "rpc/send_message", body=waiting.arguments)
        while True:
            try:
                content = await self._services.rest.send(request, retry_seconds=0)
                return _wire.parse_model(Message, content)
            except ParleyError as error:
                if not (_retry.is_passing(error) or isinstance(error, RateLimitedError)):
                    raise
                await async_sleep(next(waits))
