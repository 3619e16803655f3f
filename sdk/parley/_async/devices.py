"""Where the signed-in user is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from uuid import UUID

from parley import _wire
from parley._errors import NotFoundError
from parley._ids import checked_id
from parley._models import Device

if TYPE_CHECKING:
    from .services import Services


class AsyncDevices:
    """``parley.devices``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def register(
        self,
        id: UUID | str,
        *,
        name: str | None = None,
        provider: Literal["apns", "fcm", "webpush"] | None = None,
        token: str | None = None,
    ) -> Device:
        """Says that the caller uses this installation of the app; call it at each start.

        id: The installation's own; make it once with ``new_id()`` and keep it.
        name: What to show, up to 100 characters.
        provider, token: Where to push; both or neither.

        Raises InvalidRequestError (``token_and_provider_required``), PermissionDeniedError
        (``session_ended``).
        """
        arguments: dict[str, _wire.Argument] = {
            "id": checked_id(id, "id"),
            "name": name,
            "provider": provider,
            "token": token,
        }
        return await self._services.rest.one(Device, _wire.call("register_device", arguments))

    async def list(self) -> tuple[Device, ...]:
        """The caller's, the latest seen first."""
        request = _wire.read("devices", order="last_seen_at.desc")
        return await self._services.rest.rows(Device, request)

    async def rename(self, device: Device | UUID | str, name: str) -> Device:
        """Changes its name. Raises NotFoundError (``device_not_found``)."""
        key = _wire.equals("id", _id(device))
        request = _wire.update("devices", {"name": name}, key)
        missing = NotFoundError("You have no such device.", status=404, code="device_not_found")
        return _wire.only(await self._services.rest.rows(Device, request), missing)

    async def forget(self, device: Device | UUID | str) -> None:
        """Pushes nothing there any more; its session goes on."""
        await self._services.rest.send(_wire.delete("devices", _wire.equals("id", _id(device))))

    async def revoke(self, device: Device | UUID | str) -> None:
        """Signs it out: its session cannot be refreshed. Its access token works until it expires.

        Raises NotFoundError (``device_not_found``).
        """
        arguments: dict[str, _wire.Argument] = {"id": _id(device)}
        request = _wire.call("revoke_device", arguments, done_code="device_not_found")
        await self._services.rest.send(request)


def _id(device: Device | UUID | str) -> UUID:
    return device.id if isinstance(device, Device) else checked_id(device, "device")
