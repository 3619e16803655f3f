"""Organisations and their rules."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from .base import Model


class Tenant(Model):
    """An organisation. No conversation spans two.

    is_open: Whether new users become members by themselves.
    """

    relation: ClassVar[str] = "tenants"

    id: UUID
    slug: str
    name: str
    is_open: bool
    created_at: datetime


class TenantMember(Model):
    """Somebody's membership of a tenant.

    role: ``owner``, ``admin``, ``moderator`` or ``member``.
    tier: The name of a Tier.
    """

    relation: ClassVar[str] = "tenant_members"

    tenant_id: UUID
    user_id: UUID
    role: str
    tier: str
    joined_at: datetime
    removed_at: datetime | None


class Tier(Model):
    """What a tier of membership grants.

    retention: For how long messages of its members can be read, as PostgreSQL writes intervals
        (``30 days``). None: for ever.
    """

    relation: ClassVar[str] = "tiers"

    name: str
    retention: str | None


class TenantSettings(Model):
    """What a tenant decides for itself. What each means is in docs/explanation/schema.md.

    edit_window, retention, downgrade_grace, restore_window: As PostgreSQL writes intervals
        (``00:15:00``). None: no limit.
    retention_mode: ``sender_tier``, ``longest_tier`` or ``fixed``, where ``retention`` counts.
    """

    relation: ClassVar[str] = "settings"

    tenant_id: UUID
    who_may_start: str
    who_may_open_subjects: str
    max_participants: int
    fan_out_limit: int
    message_max_length: int
    edit_window: str | None
    revisions_visible_to: str
    sends_per_minute: int | None
    pins_per_conversation: int
    attachments_per_message: int
    attachment_max_bytes: int
    attachment_mime_types: tuple[str, ...]
    search_language: str
    retention_mode: str
    retention: str | None
    downgrade_grace: str
    restore_window: str
    may_set_retention: bool
