"""One conversation."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from parley import _wire
from parley._models import Changes, ConversationInfo

from .attachments import AsyncAttachments
from .drafts import AsyncDrafts
from .marks import AsyncMarks
from .participants import AsyncParticipants
from .polls import AsyncPolls
from .scheduled import AsyncScheduled
from .settings import AsyncSettings
from .threads import AsyncThreads

if TYPE_CHECKING:
    from .services import Services

# Not in the synchronous client: it listens.
if TYPE_CHECKING:
    from parley._live.stream import EventStream
    from parley._live.typing import Typing


class AsyncConversation(AsyncMarks):
    """A conversation that the signed-in user takes part in, at hand for what one does there.

    Made by ``parley.conversations``. ``info`` is as it was then, or
    when this object last changed it.
    """

    def __init__(self, services: Services, info: ConversationInfo) -> None:
        super().__init__(services, info.id)
        self.info = info

    @property
    def id(self) -> UUID:
        """Its id."""
        return self.info.id

    @property
    def tenant_id(self) -> UUID:
        """The tenant it belongs to."""
        return self.info.tenant_id

    @property
    def kind(self) -> str:
        """``direct``, ``group`` or ``subject``; later versions may add some."""
        return self.info.kind

    @property
    def title(self) -> str | None:
        """A group's title; None for direct conversations."""
        return self.info.title

    @property
    def created_by(self) -> UUID | None:
        """Who started it; None when their account is gone."""
        return self.info.created_by

    @property
    def created_at(self) -> datetime:
        """When it was started."""
        return self.info.created_at

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.kind}>"

    # What is in it ------------------------------------------------------------------------------

    @property
    def participants(self) -> AsyncParticipants:
        """Who takes part."""
        return AsyncParticipants(self._services, self.id)

    @property
    def settings(self) -> AsyncSettings:
        """How the caller keeps it: muted, pinned, archived."""
        return AsyncSettings(self._services, self.id)

    @property
    def attachments(self) -> AsyncAttachments:
        """Its files."""
        return AsyncAttachments(self._services, self.id, self.tenant_id)

    @property
    def threads(self) -> AsyncThreads:
        """Following and reading its threads."""
        return AsyncThreads(self._services, self.id)

    @property
    def drafts(self) -> AsyncDrafts:
        """What the caller began to write."""
        return AsyncDrafts(self._services, self.id)

    @property
    def scheduled(self) -> AsyncScheduled:
        """The caller's messages to be sent later."""
        return AsyncScheduled(self._services, self.id)

    @property
    def polls(self) -> AsyncPolls:
        """Polls."""
        return AsyncPolls(self._services, self.id)

    # The conversation itself --------------------------------------------------------------------

    async def rename(self, title: str) -> ConversationInfo:
        """Changes the title of a group. For owners and admins.

        Raises PermissionDeniedError (``not_an_admin``), InvalidRequestError
        (``conversations_title_check``).
        """
        return await self._changed(self._call("update_conversation", {"title": title}))

    async def close(self) -> ConversationInfo:
        """Closes it: nobody writes any more. For owners and admins; ``reopen`` undoes it."""
        return await self._changed(self._call("update_conversation", {"status": "closed"}))

    async def reopen(self) -> ConversationInfo:
        """Undoes ``close``."""
        return await self._changed(self._call("update_conversation", {"status": "open"}))

    async def set_slow_mode(self, seconds: int) -> ConversationInfo:
        """How long a member waits between two messages.

        seconds: Up to 3,600; 0: no wait. For owners and admins, and moderators of the tenant.

        Raises PermissionDeniedError (``not_an_admin``), InvalidRequestError
        (``conversations_slow_mode_seconds_check``).
        """
        return await self._changed(self._call("set_slow_mode", {"seconds": seconds}))

    async def set_retention(self, retention: timedelta | None) -> ConversationInfo:
        """How long messages live here, those already sent too.

        retention: None: as the tenant's settings say. For owners and admins, where the tenant lets
            them (``may_set_retention``).

        Raises PermissionDeniedError (``not_allowed_to_set_retention``), InvalidRequestError
        (``conversations_retention_check``).
        """
        return await self._changed(self._call("set_retention", {"retention": retention}))

    async def leave(self) -> None:
        """Leaves. The longest-serving admin, or else member, follows the last owner.

        Raises InvalidRequestError (``direct_is_fixed``), NotFoundError
        (``conversation_not_found``).
        """
        await self._services.rest.send(self._call("leave", done_code="conversation_not_found"))

    async def sync(self, cursor: str | None = None, *, page_size: int = 500) -> Changes:
        """What changed here since a cursor; see docs/reference/sync.md.

        ``events()`` does this for you; use ``sync`` to keep a copy without being connected.

        page_size: 1 to 2,000.

        Raises InvalidRequestError (``sync_cursor_invalid``), NotFoundError
        (``conversation_not_found``).
        """
        request = self._call("sync", {"cursor": cursor, "page_size": page_size})
        return await self._services.rest.one(Changes, request)

    # Not in the synchronous client: it listens.
    def events(self) -> EventStream:
        """What happens here from now on, live and in order; see EventStream."""
        from parley._live.stream import EventStream

        return EventStream(self._services, self.id)

    # Not in the synchronous client: it listens.
    def typing(self) -> Typing:
        """Who is typing, and saying that one is; see Typing."""
        from parley._live.typing import Typing

        return Typing(self._services, self.id)

    async def _changed(self, request: _wire.Request) -> ConversationInfo:
        self.info = await self._services.rest.one(ConversationInfo, request)
        return self.info
