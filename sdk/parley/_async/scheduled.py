"""Messages to be sent later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from parley import _wire
from parley._ids import checked_id
from parley._models import Message, ScheduledMessage

from .here import AsyncHere, optional_seq_of
from .messages import checked_body, message_arguments


class AsyncScheduled(AsyncHere):
    """``conversation.scheduled``: the caller's own; nobody else sees them."""

    async def add(
        self,
        body: str,
        *,
        send_at: datetime,
        id: UUID | str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
        thread: Message | int | None = None,
        mentions: Iterable[UUID | str] = (),
    ) -> ScheduledMessage:
        """Has a message sent later. Whether the caller may send is asked at that time.

        send_at: With a time zone; up to a year ahead.

        Raises InvalidRequestError (``send_at_out_of_range``), ConflictError
        (``too_many_scheduled``) and what ``send`` raises.
        """
        reply, root = optional_seq_of(reply_to), optional_seq_of(thread)
        arguments = message_arguments(body, id, "text", metadata, reply, root, mentions)
        request = self._call("schedule_message", {**arguments, "send_at": send_at})
        return await self._services.rest.one(ScheduledMessage, request)

    async def list(self) -> tuple[ScheduledMessage, ...]:
        """Those that wait here, and those that were refused (``failed_at``); the next first."""
        request = _wire.read("scheduled_messages", self._is_here(), order="send_at.asc,id.asc")
        return await self._services.rest.rows(ScheduledMessage, request)

    async def update(
        self,
        message: ScheduledMessage | UUID | str,
        *,
        send_at: datetime | None = None,
        body: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
    ) -> ScheduledMessage:
        """Changes one; None leaves things as they are.

        Raises NotFoundError (``scheduled_message_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {
            "id": _id(message),
            "send_at": send_at,
            "body": None if body is None else checked_body(body),
            "metadata": metadata,
        }
        request = _wire.call("update_scheduled_message", arguments)
        return await self._services.rest.one(ScheduledMessage, request)

    async def cancel(self, message: ScheduledMessage | UUID | str) -> None:
        """Takes one back. Raises NotFoundError (``scheduled_message_not_found``)."""
        arguments: dict[str, _wire.Argument] = {"id": _id(message)}
        done = "scheduled_message_not_found"
        request = _wire.call("cancel_scheduled_message", arguments, done_code=done)
        await self._services.rest.send(request)


def _id(message: ScheduledMessage | UUID | str) -> UUID:
    return message.id if isinstance(message, ScheduledMessage) else checked_id(message, "message")
