"""What the signed-in user is told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import time
from typing import TYPE_CHECKING, Final, Literal

from parley import _wire
from parley._models import Notification, NotificationPreferences

from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_NEWEST_FIRST: Final = _wire.Keyset(("id",), (int,))


class AsyncNotifications:
    """``parley.notifications``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def list(
        self, *, limit: int = 30, cursor: str | None = None, unread: bool = False
    ) -> AsyncPage[Notification]:
        """The feed, newest first.

        limit: How many a page holds, up to 500.
        unread: Only what is not read.
        """
        filters = (_wire.equals("read_at", None),) if unread else ()
        return await self._services.rest.page(
            Notification, _NEWEST_FIRST, *filters, limit=limit, cursor=cursor
        )

    async def count_unread(self) -> int:
        """How many are not read; exact."""
        return await self._services.rest.value(int, _wire.call("count_unread_notifications"))

    async def mark_read(self, notifications: Iterable[Notification | int]) -> int:
        """Marks up to 1,000 as read; returns how many were not.

        Those about messages are marked by reading the conversation or thread, too.
        """
        ids: list[_wire.Argument] = [_id(notification) for notification in notifications]
        if not ids:
            return 0
        request = _wire.call("mark_notifications_read", {"ids": ids})
        return await self._services.rest.value(int, request)

    async def mark_all_read(self, *, up_to: Notification | int) -> int:
        """Marks one and all before it as read; returns how many were not.

        up_to: The newest that was shown: what arrives meanwhile stays unread.
        """
        request = _wire.call("mark_notifications_read", {"up_to_id": _id(up_to)})
        return await self._services.rest.value(int, request)

    async def delete(self, notification: Notification | int) -> None:
        """Removes one."""
        key = _wire.equals("id", _id(notification))
        await self._services.rest.send(_wire.delete("notifications", key))

    async def preferences(self) -> NotificationPreferences:
        """What the caller wants to be told; the defaults when nothing was ever set."""
        request = _wire.read("notification_preferences", self._mine())
        rows = await self._services.rest.rows(NotificationPreferences, request)
        key = {"user_id": self._services.auth.user_id}
        return rows[0] if rows else NotificationPreferences.model_validate(key)

    async def set_preferences(
        self,
        *,
        types_off: Iterable[str] | _wire.NotGiven = _wire.NOT_GIVEN,
        push: Literal["all", "mentions", "none"] | _wire.NotGiven = _wire.NOT_GIVEN,
        quiet_from: time | _wire.NotGiven | None = _wire.NOT_GIVEN,
        quiet_until: time | _wire.NotGiven | None = _wire.NOT_GIVEN,
        timezone: str | _wire.NotGiven = _wire.NOT_GIVEN,
    ) -> NotificationPreferences:
        """Changes what is given.

        types_off: Types of which there are to be no notifications.
        quiet_from, quiet_until: Both, or both None for no quiet hours.
        timezone: Such as ``Europe/Berlin``.

        Raises InvalidRequestError (``unknown_timezone``,
        ``notification_preferences_quiet_check``).
        """
        off = types_off if isinstance(types_off, _wire.NotGiven) else list(types_off)
        row: dict[str, _wire.Argument | _wire.NotGiven] = {
            "types_off": off,
            "push": push,
            "quiet_from": quiet_from,
            "quiet_until": quiet_until,
            "timezone": timezone,
        }
        rest = self._services.rest
        request = _wire.update("notification_preferences", row, self._mine())
        rows = await rest.rows(NotificationPreferences, request)
        if not rows:
            key: dict[str, _wire.Argument] = {"user_id": self._services.auth.user_id}
            made = _wire.insert_once("notification_preferences", key, on_conflict="user_id")
            await rest.send(made)
            rows = await rest.rows(NotificationPreferences, request)
        return _wire.only(rows, _wire.user_not_found())

    def _mine(self) -> _wire.Filter:
        return _wire.equals("user_id", self._services.auth.user_id)


def _id(notification: Notification | int) -> int:
    return notification.id if isinstance(notification, Notification) else notification
