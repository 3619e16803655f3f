"""Who is in a conversation."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from parley import _wire
from parley._ids import checked_id
from parley._models import Participant

from .here import AsyncHere
from .messages import checked_ids
from .page import AsyncPage

_BY_JOINING: Final = _wire.Keyset(("joined_at", "user_id"), (datetime, UUID), is_descending=False)

Role = Literal["owner", "admin", "member"]


class AsyncParticipants(AsyncHere):
    """``conversation.participants``."""

    async def list(
        self, *, limit: int = 100, cursor: str | None = None, with_former: bool = False
    ) -> AsyncPage[Participant]:
        """Who takes part, longest first.

        limit: How many a page holds, up to 500.
        with_former: Also those who have left.
        """
        filters = () if with_former else (_wire.equals("left_at", None),)
        return await self._services.rest.page(
            Participant, _BY_JOINING, self._is_here(), *filters, limit=limit, cursor=cursor
        )

    async def add(
        self, users: Iterable[UUID | str], *, party: str | None = None, see_history: bool = True
    ) -> tuple[Participant, ...]:
        """Adds members of the tenant by their ids, and returns those who are new.

        party: Whom they speak for, in a conversation about a subject.
        see_history: Whether they read what the caller can; else from the next message on.

        Raises PermissionDeniedError (``not_an_admin``, ``blocked``), NotFoundError
        (``user_not_found``), InvalidRequestError (``direct_is_fixed``, ``too_many_participants``).
        """
        arguments: dict[str, _wire.Argument] = {
            "user_ids": checked_ids(users, "users"),
            "party": party,
            "see_history": see_history,
        }
        request = self._call("add_participants", arguments)
        return await self._services.rest.rows(Participant, request)

    async def remove(self, user: UUID | str) -> None:
        """Removes somebody: from then on they read and hear nothing more.

        Raises PermissionDeniedError (``not_an_admin``, ``not_the_owner``), NotFoundError
        (``participant_not_found``), InvalidRequestError (``direct_is_fixed``).
        """
        await self._services.rest.send(
            self._call(
                "remove_participant",
                {"user_id": checked_id(user, "user")},
                done_code="participant_not_found",
            )
        )

    async def set_role(self, user: UUID | str, role: Role) -> Participant:
        """Makes somebody owner, admin or member. For owners; the last one stays one.

        Raises PermissionDeniedError (``not_the_owner``, ``last_owner``), NotFoundError
        (``participant_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {"user_id": checked_id(user, "user"), "role": role}
        return await self._services.rest.one(Participant, self._call("set_role", arguments))

    async def silence(
        self, user: UUID | str, *, until: datetime | Literal["infinity"]
    ) -> Participant:
        """Lets somebody read but not write. For owners and admins, and moderators.

        until: With a time zone; ``"infinity"``: for good.

        Raises PermissionDeniedError (``not_an_admin``, ``outranked``), NotFoundError
        (``participant_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {"user_id": checked_id(user, "user"), "until": until}
        request = self._call("silence_participant", arguments)
        return await self._services.rest.one(Participant, request)

    async def unsilence(self, user: UUID | str) -> Participant:
        """Undoes ``silence``."""
        request = self._call("silence_participant", {"user_id": checked_id(user, "user")})
        return await self._services.rest.one(Participant, request)
