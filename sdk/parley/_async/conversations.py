"""Starting and finding conversations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

from parley import _wire
from parley._errors import InvalidRequestError
from parley._ids import checked_id, is_uuid_text, new_id
from parley._models import ConversationInfo

from .conversation import AsyncConversation
from .messages import checked_ids

if TYPE_CHECKING:
    from .services import Services


class AsyncConversations:
    """``parley.conversations``. ``parley.inbox`` lists them."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def start_direct(
        self, user: UUID | str, *, tenant_id: UUID | str | None = None
    ) -> AsyncConversation:
        """The direct conversation with another user; made on the first call of either.

        user: A username (whatever the case) or an id.
        tenant_id: For a caller who is in several tenants.

        Raises NotFoundError (``user_not_found``), InvalidRequestError (``direct_with_self``,
        ``tenant_required``), PermissionDeniedError (``start_not_allowed``, ``blocked``).
        """
        arguments = {**named(user), "tenant_id": optional_id(tenant_id, "tenant_id")}
        return await self._open(_wire.call("start_direct", arguments))

    async def start_group(
        self,
        title: str,
        *,
        users: Iterable[UUID | str] = (),
        id: UUID | str | None = None,
        tenant_id: UUID | str | None = None,
    ) -> AsyncConversation:
        """Makes a group with the caller as its owner.

        title: 1 to 200 characters.
        users: Ids of its other members.
        id: Chosen here before the first attempt, so that trying again never makes a second group;
            give one to go on trying after an error.
        tenant_id: For a caller who is in several tenants.

        Raises InvalidRequestError (``conversations_title_check``, ``too_many_participants``),
        NotFoundError (``user_not_found``), ConflictError (``conversation_id_taken``),
        PermissionDeniedError (``start_not_allowed``, ``blocked``).
        """
        if not title:
            raise InvalidRequestError(
                "A group needs a title.",
                code="conversations_title_check",
                hint="Give 1 to 200 characters.",
            )
        arguments: dict[str, _wire.Argument] = {
            "title": title,
            "user_ids": checked_ids(users, "users"),
            "id": new_id() if id is None else checked_id(id, "id"),
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        return await self._open(_wire.call("start_group", arguments))

    async def open_subject(
        self,
        type: str,
        *,
        id: str,
        participants: Mapping[UUID | str, str | None] | None = None,
        title: str | None = None,
        tenant_id: UUID | str | None = None,
    ) -> AsyncConversation:
        """The one conversation about a business object, made on the first call by anybody.

        type, id: Which object, in your words: ``"order"`` and its number.
        participants: Ids of people, and the party that each speaks for (or None).
        tenant_id: For a caller who is in several tenants.

        Raises PermissionDeniedError (``start_not_allowed``), NotFoundError
        (``conversation_not_found`` when it is there and the caller is not in it),
        InvalidRequestError (``tenant_required``).
        """
        if not type or not id:
            raise InvalidRequestError("`type` or `id` is empty.", hint="Give both.")
        arguments: dict[str, _wire.Argument] = {
            "subject_type": type,
            "subject_id": id,
            "participants": _people(participants or {}),
            "title": title,
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        return await self._open(_wire.call("open_subject", arguments))

    async def get(self, id: UUID | str) -> AsyncConversation:
        """The conversation with this id. Raises NotFoundError (``conversation_not_found``)."""
        request = _wire.read("conversations", _wire.equals("id", checked_id(id, "id")))
        rows = await self._services.rest.rows(ConversationInfo, request)
        return AsyncConversation(self._services, _wire.only(rows, _wire.conversation_not_found()))

    async def _open(self, request: _wire.Request) -> AsyncConversation:
        info = await self._services.rest.one(ConversationInfo, request)
        return AsyncConversation(self._services, info)


def named(user: UUID | str) -> dict[str, _wire.Argument]:
    """The arguments that name a user by id or username. Raises InvalidRequestError."""
    if isinstance(user, UUID) or is_uuid_text(user):
        return {"user_id": str(user)}
    if not user:
        raise InvalidRequestError(
            "`user` is empty.", code="user_required", hint="Give a username or an id."
        )
    return {"username": user}


def optional_id(id: UUID | str | None, name: str) -> UUID | None:
    """As checked_id, of None: None."""
    return None if id is None else checked_id(id, name)


def _people(participants: Mapping[UUID | str, str | None]) -> list[_wire.Argument]:
    return [
        {"user_id": checked_id(user, "participants"), **({"party": party} if party else {})}
        for user, party in participants.items()
    ]
