"""What the caller began to write."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from parley import _wire
from parley._models import Draft, Message

from .here import AsyncHere, optional_seq_of


class AsyncDrafts(AsyncHere):
    """``conversation.drafts``: one for the conversation and one for each thread, on all devices."""

    async def get(self, *, thread: Message | int | None = None) -> Draft | None:
        """The draft, or None."""
        request = _wire.read("drafts", *self._own(), self._place(thread))
        rows = await self._services.rest.rows(Draft, request)
        return rows[0] if rows else None

    async def save(
        self,
        body: str,
        *,
        thread: Message | int | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
    ) -> Draft:
        """Replaces the draft. body: Up to 10,000 characters."""
        row: dict[str, _wire.Argument] = {
            "conversation_id": self._conversation_id,
            "user_id": self._services.auth.user_id,
            "thread_root_seq": optional_seq_of(thread),
            "body": body,
            "metadata": metadata or {},
            "reply_to_seq": optional_seq_of(reply_to),
        }
        columns = "conversation_id,user_id,thread_root_seq"
        request = _wire.upsert("drafts", row, on_conflict=columns)
        (draft,) = await self._services.rest.rows(Draft, request)
        return draft

    async def discard(self, *, thread: Message | int | None = None) -> None:
        """Removes the draft, if there is one."""
        request = _wire.delete("drafts", *self._own(), self._place(thread))
        await self._services.rest.send(request)

    def _place(self, thread: Message | int | None) -> _wire.Filter:
        return _wire.equals("thread_root_seq", optional_seq_of(thread))
