"""All conversations of the signed-in user."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from parley import _wire
from parley._ids import checked_id
from parley._models import (
    Changes,
    InboxEntry,
    SavedMessage,
    ScheduledMessage,
    Thread,
    UnreadTotal,
)

from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

# Not in the synchronous client: it listens.
if TYPE_CHECKING:
    from parley._live.inbox import InboxStream

_BY_ACTIVITY: Final = _wire.Keyset(("last_activity_at", "conversation_id"), (datetime, UUID))
_THREADS: Final = _wire.Keyset(
    ("last_activity_at", "conversation_id", "thread_root_seq"), (datetime, UUID, int)
)
_SAVED: Final = _wire.Keyset(("saved_at", "conversation_id", "message_seq"), (datetime, UUID, int))


class AsyncInbox:
    """``parley.inbox``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(
        self,
        *,
        limit: int = 30,
        cursor: str | None = None,
        archived: bool | None = None,
        pinned: bool | None = None,
        kind: str | None = None,
    ) -> AsyncPage[InboxEntry]:
        """The caller's conversations, the newest activity first.

        limit: How many a page holds, up to 500.
        cursor: A page's ``next_cursor``.
        archived, pinned, kind: Only those that are, or are not; None: all.

        A conversation that becomes active while one pages on moves to the front, and is not seen
        again further down.
        """
        wanted = {"is_archived": archived, "is_pinned": pinned, "kind": kind}
        filters = [_wire.equals(name, value) for name, value in wanted.items() if value is not None]
        return await self._services.rest.page(
            InboxEntry, _BY_ACTIVITY, *filters, limit=limit, cursor=cursor
        )

    async def get(self, conversation_id: UUID | str) -> InboxEntry:
        """One of them. Raises NotFoundError (``conversation_not_found``)."""
        key = _wire.equals("conversation_id", checked_id(conversation_id, "conversation_id"))
        rows = await self._services.rest.rows(InboxEntry, _wire.read("inbox", key))
        return _wire.only(rows, _wire.conversation_not_found())

    async def unread_totals(self) -> tuple[UnreadTotal, ...]:
        """What is unread in all conversations: a row for each tenant the caller is in."""
        return await self._services.rest.rows(UnreadTotal, _wire.read("unread_totals"))

    async def threads(self, *, limit: int = 50, cursor: str | None = None) -> AsyncPage[Thread]:
        """The threads the caller follows, the newest activity first.

        limit: How many a page holds, up to 500.
        """
        return await self._services.rest.page(Thread, _THREADS, limit=limit, cursor=cursor)

    async def saved_messages(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[SavedMessage]:
        """What the caller keeps for themselves, newest first.

        limit: How many a page holds, up to 500.
        """
        return await self._services.rest.page(SavedMessage, _SAVED, limit=limit, cursor=cursor)

    async def scheduled_messages(self) -> tuple[ScheduledMessage, ...]:
        """The caller's messages to be sent later, in all conversations; the next first."""
        request = _wire.read("scheduled_messages", order="send_at.asc,id.asc")
        return await self._services.rest.rows(ScheduledMessage, request)

    async def sync(self, cursor: str | None = None, *, page_size: int = 500) -> Changes:
        """What changed in all conversations since a cursor; see docs/reference/sync.md.

        page_size: 1 to 2,000.

        Raises InvalidRequestError (``sync_cursor_invalid``).
        """
        request = _wire.call("sync", {"cursor": cursor, "page_size": page_size})
        return await self._services.rest.one(Changes, request)

    # Not in the synchronous client: it listens.
    def events(self) -> InboxStream:
        """What happens in all conversations from now on, and to the caller; see InboxStream."""
        from parley._live.inbox import InboxStream

        return InboxStream(self._services)
