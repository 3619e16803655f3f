"""Users, and what they are to each other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import JsonValue

from .base import Model


class User(Model):
    """The signed-in user, as the Auth server knows them.

    metadata: What was given at sign-up, such as ``username`` and ``display_name``. The name that
        others see is the profile's.
    """

    id: UUID
    email: str | None = None
    created_at: datetime
    metadata: Mapping[str, JsonValue] = {}


class Counterpart(Model):
    """Who is on the other side of a direct conversation."""

    id: UUID
    username: str
    display_name: str | None = None
    avatar_url: str | None = None


class Profile(Model):
    """How a user appears to others.

    status: ``online``, ``away`` or ``offline``, as they last said.
    last_seen_at: When they last said so; kept to the minute.
    """

    relation: ClassVar[str] = "profiles"

    id: UUID
    username: str
    display_name: str | None
    avatar_url: str | None
    status: str
    last_seen_at: datetime | None
    created_at: datetime
    updated_at: datetime


class Contact(Model):
    """Two users who are contacts, or of whom one has asked to be.

    state: ``pending`` or ``accepted``.
    """

    relation: ClassVar[str] = "contacts"

    user_low_id: UUID
    user_high_id: UUID
    requested_by: UUID
    state: str
    created_at: datetime
    accepted_at: datetime | None

    def other(self, user_id: UUID) -> UUID:
        """The one of the two that is not this user."""
        return self.user_high_id if user_id == self.user_low_id else self.user_low_id


class Block(Model):
    """Somebody whom the caller has blocked."""

    relation: ClassVar[str] = "blocks"

    blocker_id: UUID
    blocked_id: UUID
    created_at: datetime


class Device(Model):
    """An installation of an app, on which the caller is or was signed in.

    session_id: The session that ``devices.revoke`` ends.
    """

    relation: ClassVar[str] = "devices"

    user_id: UUID
    id: UUID
    name: str | None
    session_id: UUID | None
    created_at: datetime
    last_seen_at: datetime
