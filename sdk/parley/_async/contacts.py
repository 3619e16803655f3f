"""Contacts and blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from parley import _wire
from parley._ids import checked_id
from parley._models import Block, Contact, Report

from .conversations import named, optional_id

if TYPE_CHECKING:
    from .services import Services


class AsyncContacts:
    """``parley.contacts``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self, *, state: str | None = None) -> tuple[Contact, ...]:
        """The caller's contacts and requests, newest first.

        state: Only those that are ``pending`` or ``accepted``.
        """
        filters = () if state is None else (_wire.equals("state", state),)
        request = _wire.read("contacts", *filters, order="created_at.desc")
        return await self._services.rest.rows(Contact, request)

    async def request(self, user: UUID | str) -> Contact:
        """Asks somebody to be a contact; accepts when they have asked already.

        user: A username or an id.

        Raises NotFoundError (``user_not_found``), InvalidRequestError (``contact_with_self``),
        PermissionDeniedError (``blocked``).
        """
        return await self._services.rest.one(Contact, _wire.call("request_contact", named(user)))

    async def accept(self, user: UUID | str) -> Contact:
        """Accepts the request of a user. Raises NotFoundError (``contact_not_found``)."""
        return await self._services.rest.one(Contact, _wire.call("accept_contact", _id(user)))

    async def decline(self, user: UUID | str) -> None:
        """Turns the request of a user down. Raises NotFoundError (``contact_not_found``)."""
        done = "contact_not_found"
        await self._services.rest.send(_wire.call("decline_contact", _id(user), done_code=done))

    async def remove(self, user: UUID | str) -> None:
        """Ends being contacts, or takes a request to or from the user back.

        Raises NotFoundError (``contact_not_found``).
        """
        done = "contact_not_found"
        await self._services.rest.send(_wire.call("remove_contact", _id(user), done_code=done))

    async def block(self, user: UUID | str) -> None:
        """Blocks a user everywhere; they are not told."""
        row: dict[str, _wire.Argument] = {
            "blocker_id": self._services.auth.user_id,
            "blocked_id": checked_id(user, "user"),
        }
        request = _wire.insert_once("blocks", row, on_conflict="blocker_id,blocked_id")
        await self._services.rest.send(request)

    async def unblock(self, user: UUID | str) -> None:
        """Undoes ``block``."""
        blocked = _wire.equals("blocked_id", checked_id(user, "user"))
        await self._services.rest.send(_wire.delete("blocks", self._mine(), blocked))

    async def blocked(self) -> tuple[Block, ...]:
        """Whom the caller has blocked, newest first."""
        request = _wire.read("blocks", self._mine(), order="created_at.desc")
        return await self._services.rest.rows(Block, request)

    async def report(
        self,
        user: UUID | str,
        *,
        reason: str,
        details: str | None = None,
        tenant_id: UUID | str | None = None,
    ) -> Report:
        """Reports a user to the moderators; ``conversation.report`` reports a message.

        Raises ConflictError (``report_exists``), InvalidRequestError (``reports_reason_check``,
        ``report_of_self``), NotFoundError (``user_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {
            **_id(user),
            "reason": reason,
            "details": details,
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        request = _wire.call("report_user", arguments, is_repeatable=False)
        return await self._services.rest.one(Report, request)

    def _mine(self) -> _wire.Filter:
        return _wire.equals("blocker_id", self._services.auth.user_id)


def _id(user: UUID | str) -> dict[str, _wire.Argument]:
    return {"user_id": checked_id(user, "user")}
