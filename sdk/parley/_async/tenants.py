"""Organisations, for who administers one."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from parley import _wire
from parley._errors import NotFoundError
from parley._ids import checked_id
from parley._models import Tenant, TenantMember, TenantSettings, Tier

from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_BY_JOINING: Final = _wire.Keyset(("joined_at", "user_id"), (datetime, UUID), is_descending=False)


class AsyncTenants:
    """``parley.tenants``: most applications have one, and never need this."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(self) -> tuple[Tenant, ...]:
        """The tenants the caller is in, by name."""
        return await self._services.rest.rows(Tenant, _wire.read("tenants", order="name.asc"))

    async def members(
        self, tenant_id: UUID | str, *, limit: int = 100, cursor: str | None = None
    ) -> AsyncPage[TenantMember]:
        """Who is in a tenant, longest first. limit: How many a page holds, up to 500."""
        key = _wire.equals("tenant_id", checked_id(tenant_id, "tenant_id"))
        present = _wire.equals("removed_at", None)
        return await self._services.rest.page(
            TenantMember, _BY_JOINING, key, present, limit=limit, cursor=cursor
        )

    async def tiers(self) -> tuple[Tier, ...]:
        """What tiers of membership there are."""
        return await self._services.rest.rows(Tier, _wire.read("tiers", order="name.asc"))

    async def settings(self, tenant_id: UUID | str) -> TenantSettings:
        """What a tenant decides for itself. Raises NotFoundError when the caller is not in it."""
        key = _wire.equals("tenant_id", checked_id(tenant_id, "tenant_id"))
        rows = await self._services.rest.rows(TenantSettings, _wire.read("settings", key))
        return _wire.only(rows, _not_found())

    async def update_settings(
        self,
        tenant_id: UUID | str,
        *,
        who_may_start: str | _wire.NotGiven = _wire.NOT_GIVEN,
        who_may_open_subjects: str | _wire.NotGiven = _wire.NOT_GIVEN,
        max_participants: int | _wire.NotGiven = _wire.NOT_GIVEN,
        fan_out_limit: int | _wire.NotGiven = _wire.NOT_GIVEN,
        message_max_length: int | _wire.NotGiven = _wire.NOT_GIVEN,
        edit_window: timedelta | _wire.NotGiven | None = _wire.NOT_GIVEN,
        revisions_visible_to: str | _wire.NotGiven = _wire.NOT_GIVEN,
        sends_per_minute: int | _wire.NotGiven | None = _wire.NOT_GIVEN,
        pins_per_conversation: int | _wire.NotGiven = _wire.NOT_GIVEN,
        attachments_per_message: int | _wire.NotGiven = _wire.NOT_GIVEN,
        attachment_max_bytes: int | _wire.NotGiven = _wire.NOT_GIVEN,
        attachment_mime_types: Iterable[str] | _wire.NotGiven = _wire.NOT_GIVEN,
        search_language: str | _wire.NotGiven = _wire.NOT_GIVEN,
        retention_mode: str | _wire.NotGiven = _wire.NOT_GIVEN,
        retention: timedelta | _wire.NotGiven | None = _wire.NOT_GIVEN,
        downgrade_grace: timedelta | _wire.NotGiven = _wire.NOT_GIVEN,
        restore_window: timedelta | _wire.NotGiven = _wire.NOT_GIVEN,
        may_set_retention: bool | _wire.NotGiven = _wire.NOT_GIVEN,
    ) -> TenantSettings:
        """Changes what is given. For owners and admins of the tenant.

        Raises NotFoundError for anybody else, InvalidRequestError (``settings_..._check``).
        """
        types = attachment_mime_types
        row: dict[str, _wire.Argument | _wire.NotGiven] = {
            "who_may_start": who_may_start,
            "who_may_open_subjects": who_may_open_subjects,
            "max_participants": max_participants,
            "fan_out_limit": fan_out_limit,
            "message_max_length": message_max_length,
            "edit_window": edit_window,
            "revisions_visible_to": revisions_visible_to,
            "sends_per_minute": sends_per_minute,
            "pins_per_conversation": pins_per_conversation,
            "attachments_per_message": attachments_per_message,
            "attachment_max_bytes": attachment_max_bytes,
            "attachment_mime_types": types if isinstance(types, _wire.NotGiven) else list(types),
            "search_language": search_language,
            "retention_mode": retention_mode,
            "retention": retention,
            "downgrade_grace": downgrade_grace,
            "restore_window": restore_window,
            "may_set_retention": may_set_retention,
        }
        key = _wire.equals("tenant_id", checked_id(tenant_id, "tenant_id"))
        request = _wire.update("settings", row, key)
        return _wire.only(await self._services.rest.rows(TenantSettings, request), _not_found())


def _not_found() -> NotFoundError:
    return NotFoundError(
        "There is no such tenant that you can do this in.", status=404, code="not_a_tenant_admin"
    )
