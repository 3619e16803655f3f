"""Reports, bans and the audit log, for moderators and admins of a tenant."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal
from uuid import UUID

from parley import _wire
from parley._ids import checked_id
from parley._models import AuditCheck, AuditEntry, Ban, Evidence, Report

from .conversations import optional_id
from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_NEWEST_FIRST: Final = _wire.Keyset(("created_at", "id"), (datetime, UUID))


class AsyncModeration:
    """``parley.moderation``. ``tenant_id`` is for who is in several tenants."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def reports(
        self, *, state: str | None = "open", limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[Report]:
        """Reports, newest first: for moderators all of their tenants, else the caller's own.

        state: ``open``, ``resolved`` or ``dismissed``; None: all.
        limit: How many a page holds, up to 500.
        """
        filters = () if state is None else (_wire.equals("state", state),)
        return await self._services.rest.page(
            Report, _NEWEST_FIRST, *filters, limit=limit, cursor=cursor
        )

    async def evidence(self, report: Report | UUID | str) -> Evidence | None:
        """The message that was reported, as it was then; None of a report about a user."""
        request = _wire.read("report_evidence", _wire.equals("report_id", _id(report)))
        rows = await self._services.rest.rows(Evidence, request)
        return rows[0] if rows else None

    async def resolve_report(
        self,
        report: Report | UUID | str,
        *,
        state: Literal["resolved", "dismissed"],
        resolution: str | None = None,
    ) -> Report:
        """Closes a report.

        resolution: A note, up to 2,000 characters, that who reported can read.

        Raises NotFoundError (``report_not_found``), ConflictError (``report_closed``).
        """
        arguments: dict[str, _wire.Argument] = {
            "report_id": _id(report),
            "state": state,
            "resolution": resolution,
        }
        request = _wire.call("resolve_report", arguments, is_repeatable=False)
        return await self._services.rest.one(Report, request)

    async def ban(
        self,
        user: UUID | str,
        *,
        reason: str | None = None,
        expires_at: datetime | None = None,
        tenant_id: UUID | str | None = None,
    ) -> Ban:
        """Bans somebody of a lower role: from then on they see, send and hear nothing.

        expires_at: With a time zone; None: without end.

        Raises PermissionDeniedError (``not_a_moderator``, ``outranked``), InvalidRequestError
        (``expiry_in_past``), NotFoundError (``user_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {
            "user_id": checked_id(user, "user"),
            "reason": reason,
            "expires_at": expires_at,
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        request = _wire.call("ban_user", arguments, is_repeatable=False)
        return await self._services.rest.one(Ban, request)

    async def unban(self, user: UUID | str, *, tenant_id: UUID | str | None = None) -> Ban:
        """Lifts a ban. The user is a member again, but in no conversation.

        Raises NotFoundError (``ban_not_found``), PermissionDeniedError (``not_a_moderator``,
        ``outranked``).
        """
        arguments: dict[str, _wire.Argument] = {
            "user_id": checked_id(user, "user"),
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        request = _wire.call("unban_user", arguments, is_repeatable=False)
        return await self._services.rest.one(Ban, request)

    async def bans(
        self, *, with_lifted: bool = False, limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[Ban]:
        """Who is banned, newest first. limit: How many a page holds, up to 500."""
        filters = () if with_lifted else (_wire.equals("lifted_at", None),)
        return await self._services.rest.page(
            Ban, _NEWEST_FIRST, *filters, limit=limit, cursor=cursor
        )

    async def audit_log(
        self,
        *,
        tenant_id: UUID | str | None = None,
        limit: int = 100,
        before: int | str | None = None,
    ) -> AsyncPage[AuditEntry]:
        """Who did what, newest first. For owners and admins of the tenant.

        limit: How many a page holds, up to 500.
        before: Only entries before this ``seq``, or a page's ``next_cursor``.

        Raises PermissionDeniedError (``not_a_tenant_admin``).
        """
        arguments: dict[str, _wire.Argument] = {
            "tenant_id": optional_id(tenant_id, "tenant_id"),
            "before_seq": None if before is None else int(before),
            "page_size": _wire.checked_limit(limit),
        }
        request = _wire.call("read_audit_log", arguments)
        entries = await self._services.rest.rows(AuditEntry, request)
        is_full = len(entries) == limit

        async def following(cursor: str) -> AsyncPage[AuditEntry]:
            return await self.audit_log(tenant_id=tenant_id, limit=limit, before=cursor)

        return AsyncPage(entries, str(entries[-1].seq) if is_full else None, following)

    async def verify_audit_log(self, *, tenant_id: UUID | str | None = None) -> AuditCheck:
        """Recomputes the chain of the log. For owners and admins of the tenant."""
        arguments = {"tenant_id": optional_id(tenant_id, "tenant_id")}
        rows = await self._services.rest.rows(AuditCheck, _wire.call("verify_audit_log", arguments))
        return rows[0]


def _id(report: Report | UUID | str) -> UUID:
    return report.id if isinstance(report, Report) else checked_id(report, "report")
