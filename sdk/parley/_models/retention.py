"""How long messages live, and what was removed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from .base import Model


class LegalHold(Model):
    """What is kept from being purged and erased: one person's messages, one conversation's, or,
    with neither, all of the tenant.
    """

    relation: ClassVar[str] = "legal_holds"

    id: UUID
    tenant_id: UUID
    user_id: UUID | None
    conversation_id: UUID | None
    reason: str
    placed_by: UUID | None
    placed_at: datetime


class TierChange(Model):
    """A change of a member's tier.

    effective_at: Until then messages live as ``from_tier`` says, then as ``to_tier`` does.
    ended_at: When a later change took its place; an upgrade has nothing to wait for.
    applied_at: When the last message of theirs had its ``expires_at`` computed anew.
    """

    relation: ClassVar[str] = "tier_changes"

    id: int
    tenant_id: UUID
    user_id: UUID
    from_tier: str
    to_tier: str
    changed_at: datetime
    effective_at: datetime
    ended_at: datetime | None
    applied_at: datetime | None


class PurgeRun(Model):
    """What one batch of the sweep purged: an entry of the audit log, whose chain proves it.

    seq: Of the entry in the audit log.
    bytes, file_bytes: Of texts and metadata, and of files.
    tombstones: How many places of messages were removed as well; None: it removed contents.
    tiers: Messages by the tier of who sent them.
    rows_of_tables: Rows that went with them, by table.
    digest: The SHA-256 of the messages' sorted ids, with commas.
    """

    relation: ClassVar[str] = "purge_runs"

    tenant_id: UUID
    seq: int
    happened_at: datetime
    messages: int
    bytes: int
    files: int
    file_bytes: int
    tombstones: int | None
    tiers: Mapping[str, int] | None
    rows_of_tables: Mapping[str, int] | None
    digest: str | None
    hash: str


class RetentionPreview(Model):
    """What a sweep would do to the messages of one tier.

    tier: Of who sent them; None: of nobody who is a member.
    step: ``expire``: they are taken from readers; ``purge``: they are removed for good.
    held_messages: Kept by legal holds, beside ``messages``.
    """

    tier: str | None
    step: Literal["expire", "purge"]
    messages: int
    bytes: int
    files: int
    file_bytes: int
    held_messages: int
