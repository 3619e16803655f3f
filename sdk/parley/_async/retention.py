"""How long messages live, and what stops that they go."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final
from uuid import UUID

from parley import _wire
from parley._ids import checked_id
from parley._models import LegalHold, PurgeRun, RetentionPreview, TierChange

from .conversations import optional_id
from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_HOLDS: Final = _wire.Keyset(("placed_at", "id"), (datetime, UUID))
_CHANGES: Final = _wire.Keyset(("id",), (int,))
_RUNS: Final = _wire.Keyset(("happened_at", "seq"), (datetime, int))


class AsyncRetention:
    """``parley.retention``, for owners and admins of a tenant.

    ``tenant_id`` is for who is in several tenants.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def preview(
        self,
        *,
        at: datetime | None = None,
        policy: Mapping[str, _wire.Argument] | None = None,
        tenant_id: UUID | str | None = None,
    ) -> tuple[RetentionPreview, ...]:
        """What a sweep would remove. Changes nothing.

        at: When the sweep runs, with a time zone; None: now.
        policy: Suppose other rules: ``retention_mode``, ``retention``, ``restore_window``, and
            ``tiers``, such as ``{"tiers": {"free": "7 days"}}``.

        Raises PermissionDeniedError (``not_a_tenant_admin``).
        """
        arguments: dict[str, _wire.Argument] = {
            "tenant_id": optional_id(tenant_id, "tenant_id"),
            "at": at,
            "policy": policy,
        }
        request = _wire.call("preview_retention", arguments)
        return await self._services.rest.rows(RetentionPreview, request)

    async def place_hold(
        self,
        reason: str,
        *,
        user: UUID | str | None = None,
        conversation_id: UUID | str | None = None,
        tenant_id: UUID | str | None = None,
    ) -> LegalHold:
        """Keeps messages from being purged and erased: a user's, a conversation's, or all.

        reason: 1 to 2,000 characters.

        Raises InvalidRequestError (``hold_scope`` when both are given,
        ``legal_holds_reason_check``), PermissionDeniedError (``not_a_tenant_admin``).
        """
        arguments: dict[str, _wire.Argument] = {
            "reason": reason,
            "user_id": None if user is None else checked_id(user, "user"),
            "conversation_id": optional_id(conversation_id, "conversation_id"),
            "tenant_id": optional_id(tenant_id, "tenant_id"),
        }
        request = _wire.call("place_hold", arguments, is_repeatable=False)
        return await self._services.rest.one(LegalHold, request)

    async def lift_hold(self, hold: LegalHold | UUID | str) -> None:
        """Ends a hold. Raises NotFoundError (``hold_not_found``)."""
        hold_id = hold.id if isinstance(hold, LegalHold) else checked_id(hold, "hold")
        request = _wire.call("lift_hold", {"id": hold_id}, done_code="hold_not_found")
        await self._services.rest.send(request)

    async def holds(self, *, limit: int = 50, cursor: str | None = None) -> AsyncPage[LegalHold]:
        """What is held, newest first. limit: How many a page holds, up to 500."""
        return await self._services.rest.page(LegalHold, _HOLDS, limit=limit, cursor=cursor)

    async def tier_changes(
        self, *, user: UUID | str | None = None, limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[TierChange]:
        """Who changed tiers, newest first: for admins all of the tenant, else one's own.

        limit: How many a page holds, up to 500.
        """
        filters = () if user is None else (_wire.equals("user_id", checked_id(user, "user")),)
        return await self._services.rest.page(
            TierChange, _CHANGES, *filters, limit=limit, cursor=cursor
        )

    async def purge_runs(
        self, *, limit: int = 50, cursor: str | None = None
    ) -> AsyncPage[PurgeRun]:
        """What was purged, newest first. limit: How many a page holds, up to 500."""
        return await self._services.rest.page(PurgeRun, _RUNS, limit=limit, cursor=cursor)
