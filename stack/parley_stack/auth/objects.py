"""Rows of schema auth and their JSON, as the Supabase Auth API sends them.

Times are RFC 3339 in UTC. Members marked optional there are left out when empty. Columns with
passwords and tokens have no place in the JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

Json = dict[str, Any]

NO_TIME = "0001-01-01T00:00:00Z"
"""Stands for a missing time where clients demand one; seeded rows can lack it."""


@dataclass(frozen=True, kw_only=True)
class User:
    """A row of ``auth.users``; null text and metadata read as empty."""

    id: UUID
    aud: str
    role: str
    email: str
    phone: str
    encrypted_password: str = field(repr=False)
    email_confirmed_at: datetime | None = None
    phone_confirmed_at: datetime | None = None
    confirmed_at: datetime | None = None
    invited_at: datetime | None = None
    confirmation_sent_at: datetime | None = None
    recovery_sent_at: datetime | None = None
    email_change: str = ""
    email_change_sent_at: datetime | None = None
    email_change_confirm_status: int = 0
    phone_change: str = ""
    phone_change_sent_at: datetime | None = None
    reauthentication_sent_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    app_metadata: Json = field(default_factory=dict)
    user_metadata: Json = field(default_factory=dict)
    created_at: datetime | None = None
    updated_at: datetime | None = None
    banned_until: datetime | None = None
    deleted_at: datetime | None = None
    is_anonymous: bool = False

    def is_banned(self, now: datetime) -> bool:
        return self.banned_until is not None and now < self.banned_until


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A row of ``auth.identities``."""

    id: UUID
    provider_id: str
    user_id: UUID
    identity_data: Json
    provider: str
    last_sign_in_at: datetime | None
    created_at: datetime | None
    updated_at: datetime | None
    email: str | None


@dataclass(frozen=True, kw_only=True)
class Session:
    """A row of ``auth.sessions``."""

    id: UUID
    user_id: UUID
    created_at: datetime
    refreshed_at: datetime | None
    not_after: datetime | None
    aal: str


def time_text(moment: datetime | None) -> str | None:
    """``moment`` as RFC 3339 in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None


def _without_empty(members: Json) -> Json:
    return {name: value for name, value in members.items() if value not in (None, "")}


def user_json(user: User, identities: Iterable[Identity]) -> Json:
    """A user as clients see it."""
    optional = {
        "email_confirmed_at": time_text(user.email_confirmed_at),
        "invited_at": time_text(user.invited_at),
        "phone_confirmed_at": time_text(user.phone_confirmed_at),
        "confirmation_sent_at": time_text(user.confirmation_sent_at),
        "confirmed_at": time_text(user.confirmed_at),
        "recovery_sent_at": time_text(user.recovery_sent_at),
        "new_email": user.email_change,
        "email_change_sent_at": time_text(user.email_change_sent_at),
        "new_phone": user.phone_change,
        "phone_change_sent_at": time_text(user.phone_change_sent_at),
        "reauthentication_sent_at": time_text(user.reauthentication_sent_at),
        "last_sign_in_at": time_text(user.last_sign_in_at),
        "banned_until": time_text(user.banned_until),
        "deleted_at": time_text(user.deleted_at),
    }
    return {
        "id": str(user.id),
        "aud": user.aud,
        "role": user.role,
        "email": user.email,
        "phone": user.phone,
        **_without_empty(optional),
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "identities": [identity_json(identity) for identity in identities],
        "created_at": time_text(user.created_at) or NO_TIME,
        "updated_at": time_text(user.updated_at) or NO_TIME,
        "is_anonymous": user.is_anonymous,
    }


def identity_json(identity: Identity) -> Json:
    """An identity as clients see it: ``id`` is the provider's, ``identity_id`` the row's."""
    return {
        "identity_id": str(identity.id),
        "id": identity.provider_id,
        "user_id": str(identity.user_id),
        "identity_data": identity.identity_data,
        "provider": identity.provider,
        "last_sign_in_at": time_text(identity.last_sign_in_at) or NO_TIME,
        "created_at": time_text(identity.created_at) or NO_TIME,
        "updated_at": time_text(identity.updated_at) or NO_TIME,
        **_without_empty({"email": identity.email}),
    }


def merged(old: Json, new: Json) -> Json:
    """Metadata after an update: top-level members of ``new`` replace, ``null`` removes."""
    both = {**old, **new}
    return {name: value for name, value in both.items() if value is not None}
