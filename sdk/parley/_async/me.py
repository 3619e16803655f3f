"""The signed-in user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from parley import _wire
from parley._models import Profile, TenantMember

if TYPE_CHECKING:
    from .services import Services

Ids = tuple[UUID, ...]


class AsyncMe:
    """``parley.me``: how the user appears to others."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def profile(self) -> Profile:
        """The user's profile. Raises AuthenticationError when nobody is signed in."""
        rows = await self._services.rest.rows(Profile, _wire.read("profiles", self._key()))
        return _wire.only(rows, _wire.user_not_found())

    async def update(
        self,
        *,
        username: str | _wire.NotGiven = _wire.NOT_GIVEN,
        display_name: str | _wire.NotGiven | None = _wire.NOT_GIVEN,
        avatar_url: str | _wire.NotGiven | None = _wire.NOT_GIVEN,
    ) -> Profile:
        """Changes what is given; None removes it.

        Raises ConflictError (``profiles_username_key``), InvalidRequestError
        (``profiles_username_check``, ``profiles_display_name_check``,
        ``profiles_avatar_url_check``).
        """
        row: dict[str, _wire.Argument | _wire.NotGiven] = {
            "username": username,
            "display_name": display_name,
            "avatar_url": avatar_url,
        }
        request = _wire.update("profiles", row, self._key())
        rows = await self._services.rest.rows(Profile, request)
        return _wire.only(rows, _wire.user_not_found())

    async def set_status(self, status: Literal["online", "away", "offline"]) -> None:
        """Says how the user is to be seen, and that they were here just now."""
        await self._services.rest.send(_wire.call("set_status", {"status": status}))

    async def memberships(self) -> tuple[TenantMember, ...]:
        """The tenants the user is in, and was in (``removed_at``), with role and tier."""
        key = _wire.equals("user_id", self._services.auth.user_id)
        request = _wire.read("tenant_members", key, order="joined_at.asc")
        return await self._services.rest.rows(TenantMember, request)

    async def return_after_ban(self) -> tuple[UUID, ...]:
        """Makes the user a member again where their ban is over; returns these tenants' ids.

        Raises NotFoundError (``ban_not_found``), PermissionDeniedError (``banned``).
        """
        request = _wire.call("return_after_ban", is_repeatable=False)
        return await self._services.rest.value(Ids, request)

    def _key(self) -> _wire.Filter:
        return _wire.equals("id", self._services.auth.user_id)
