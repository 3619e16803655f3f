"""The conversations of the signed-in user."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from uuid import UUID

from parley import _wire
from parley._ids import checked_id, new_id
from parley._models import ConversationRow, InboxEntry

from .conversation import AsyncConversation
from .page import AsyncPage

if TYPE_CHECKING:
    from .client import Services


class AsyncConversations:
    """``parley.conversations``: start, find and list them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def start_direct(self, user: UUID | str) -> AsyncConversation:
        """The direct conversation with another user; made on the first call of either.

        user: A username (whatever the case) or an id.

        Raises NotFoundError (``user_not_found``), InvalidRequestError (``direct_with_self``,
        ``tenant_required``).
        """
        return await self._open(_wire.start_direct(user))

    async def start_group(
        self, title: str, *, users: Iterable[UUID | str] = (), id: UUID | str | None = None
    ) -> AsyncConversation:
        """Makes a group with the caller as its owner.

        users: Ids of its other members.
        id: Chosen here before the first attempt, so that trying again never makes a second group;
            give one to go on trying after an error.

        Raises InvalidRequestError (``conversations_title_check``, ``too_many_participants``),
        NotFoundError (``user_not_found``), ConflictError (``conversation_id_taken``).
        """
        user_ids = [checked_id(user, "users") for user in users]
        chosen = new_id() if id is None else checked_id(id, "id")
        return await self._open(_wire.start_group(title, user_ids, chosen))

    async def get(self, id: UUID | str) -> AsyncConversation:
        """The conversation with this id. Raises NotFoundError (``conversation_not_found``)."""
        request = _wire.read_conversation(checked_id(id, "id"))
        row = _wire.parse_conversation(await self._services.rest.send(request))
        return AsyncConversation(self._services, row)

    async def list(self, *, limit: int = 30, cursor: str | None = None) -> AsyncPage[InboxEntry]:
        """The caller's inbox: conversations with the newest activity first.

        limit: How many a page holds, up to 500.
        cursor: A page's ``next_cursor``.

        A conversation that becomes active while one pages on moves to the front, and is not seen
        again further down.
        """
        content = await self._services.rest.send(_wire.read_inbox(limit, cursor))
        items, last = _wire.cut_page(_wire.parse_inbox(content), limit)
        return AsyncPage(
            items,
            None if last is None else _wire.inbox_cursor(last),
            lambda cursor: self.list(limit=limit, cursor=cursor),
        )

    async def _open(self, request: _wire.Request) -> AsyncConversation:
        content = await self._services.rest.send(request)
        return AsyncConversation(self._services, _wire.parse_model(ConversationRow, content))
