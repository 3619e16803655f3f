"""Reading what was not heard."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from parley import _wire
from parley._models import Message

if TYPE_CHECKING:
    from parley._async.rest import AsyncRest


async def read_messages(
    rest: AsyncRest, conversation_id: UUID, after_seq: int
) -> tuple[Message, ...]:
    """All messages after one, oldest first."""
    messages: list[Message] = []
    while True:
        request = _wire.read(
            "messages",
            _wire.equals("conversation_id", conversation_id),
            ("seq", f"gt.{messages[-1].seq if messages else after_seq}"),
            order="seq.asc",
            limit=_wire.LONGEST_PAGE,
        )
        page = _wire.parse_rows(Message, await rest.send(request, retry_seconds=0))
        messages += page
        if len(page) < _wire.LONGEST_PAGE:
            return tuple(messages)
