"""What users are told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time
from typing import ClassVar
from uuid import UUID

from pydantic import JsonValue

from .base import Model


class Notification(Model):
    """Something the caller should know, with what to show.

    type: ``mention``, ``reply``, ``reaction``, ``added_to_conversation``, ``contact_request``,
        ``contact_accepted``, ``report_closed`` or ``custom``; later versions may add some.
    title: Who it is about, or a custom one's title.
    body: The message as it is now, cut to 200 characters, or the like.
    """

    relation: ClassVar[str] = "notification_feed"

    id: int
    type: str
    actor_id: UUID | None
    conversation_id: UUID | None
    message_seq: int | None
    title: str | None
    body: str | None
    metadata: Mapping[str, JsonValue]
    created_at: datetime
    read_at: datetime | None


class NotificationPreferences(Model):
    """What the caller wants to be told, and when not.

    types_off: Types of notification that are not made at all.
    push: What is pushed: ``all``, ``mentions`` or ``none``.
    quiet_from, quiet_until: Between these times of day, in ``timezone``, nothing is pushed.
    """

    relation: ClassVar[str] = "notification_preferences"

    user_id: UUID
    types_off: tuple[str, ...] = ()
    push: str = "all"
    quiet_from: time | None = None
    quiet_until: time | None = None
    timezone: str = "UTC"
    updated_at: datetime | None = None
