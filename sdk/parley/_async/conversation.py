"""One conversation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from pydantic import JsonValue

from parley import _wire
from parley._ids import checked_id, new_id
from parley._models import ConversationRow, Message, Participant

from .page import AsyncPage

if TYPE_CHECKING:
    from parley._live.stream import EventStream

    from .client import Services


class AsyncConversation:
    """A conversation that the signed-in user takes part in, at hand for what one does there.

    Made by ``parley.conversations``. Its attributes are as they were then.
    """

    def __init__(self, services: Services, row: ConversationRow) -> None:
        self._services = services
        self._row = row

    @property
    def id(self) -> UUID:
        """Its id."""
        return self._row.id

    @property
    def tenant_id(self) -> UUID:
        """The tenant it belongs to."""
        return self._row.tenant_id

    @property
    def kind(self) -> str:
        """``direct`` or ``group``; later versions may add some."""
        return self._row.kind

    @property
    def title(self) -> str | None:
        """A group's title; None for direct conversations."""
        return self._row.title

    @property
    def created_by(self) -> UUID | None:
        """Who started it; None when their account is gone."""
        return self._row.created_by

    @property
    def created_at(self) -> datetime:
        """When it was started."""
        return self._row.created_at

    def __repr__(self) -> str:
        return f"<AsyncConversation {self.id} {self.kind}>"

    async def send(
        self,
        body: str,
        *,
        id: UUID | str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
    ) -> Message:
        """Sends a message and returns it as stored.

        Its id is chosen before the first attempt, so that trying again never makes a second
        message: on connection errors and 502, 503 and 504 this is done here, with growing pauses,
        for the configured ``retry_seconds``. To go on after that, or after a restart, give the
        ``id`` that you used before.

        body: Up to 10,000 characters, not all of them spaces.
        metadata: A JSON object of up to 16 KiB.
        reply_to: The message this one answers, or its ``seq``.

        Raises InvalidRequestError (``messages_body_check``, ``messages_metadata_check``),
        NotFoundError (``conversation_not_found``, ``message_not_found``), ConflictError
        (``message_id_taken``), ConnectionFailedError.
        """
        request = _wire.send_message(
            self.id,
            body,
            new_id() if id is None else checked_id(id, "id"),
            metadata,
            _seq(reply_to),
        )
        return _wire.parse_model(Message, await self._services.rest.send(request))

    async def history(
        self, *, limit: int = 50, before: Message | int | str | None = None
    ) -> AsyncPage[Message]:
        """Messages, newest first.

        limit: How many a page holds, up to 500.
        before: Only those before this message, ``seq``, or page's ``next_cursor``.

        Somebody who no longer takes part gets an empty page.
        """
        seq = before.seq if isinstance(before, Message) else _wire.read_seq_cursor(before)
        request = _wire.read_history(self.id, limit, seq)
        content = await self._services.rest.send(request)
        items, last = _wire.cut_page(_wire.parse_messages(content), limit)
        return AsyncPage(
            items,
            None if last is None else str(last.seq),
            lambda cursor: self.history(limit=limit, before=cursor),
        )

    async def mark_read(self, up_to: Message | int | None = None) -> Participant:
        """Marks messages as read, and returns the caller's place in the conversation.

        up_to: The last message read, or its ``seq``; None: all there are. Never moves back.

        Raises NotFoundError (``conversation_not_found``).
        """
        request = _wire.mark_read(self.id, _seq(up_to))
        return _wire.parse_model(Participant, await self._services.rest.send(request))

    def events(self) -> EventStream:
        """What happens here from now on, live and in order; see EventStream."""
        from parley._live.stream import EventStream

        return EventStream(self._services, self.id)


def _seq(message: Message | int | None) -> int | None:
    return message.seq if isinstance(message, Message) else message
