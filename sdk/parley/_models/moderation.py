"""What moderators and admins of a tenant see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import JsonValue

from .base import Model


class Report(Model):
    """What somebody found wrong with a message or a user.

    reason: ``spam``, ``harassment``, ``hate``, ``violence``, ``sexual``, ``self_harm``,
        ``illegal``, ``impersonation`` or ``other``.
    state: ``open``, ``resolved`` or ``dismissed``.
    """

    relation: ClassVar[str] = "reports"

    id: UUID
    tenant_id: UUID
    reporter_id: UUID | None
    reported_user_id: UUID | None
    conversation_id: UUID | None
    message_seq: int | None
    reason: str
    details: str | None
    state: str
    created_at: datetime
    resolved_at: datetime | None
    resolved_by: UUID | None
    resolution: str | None


class Evidence(Model):
    """The message as it was when it was reported; for moderators."""

    relation: ClassVar[str] = "report_evidence"

    report_id: UUID
    tenant_id: UUID
    message_id: UUID
    kind: str
    body: str | None
    metadata: Mapping[str, JsonValue]
    sent_at: datetime


class Ban(Model):
    """Somebody who is, or was, banned from a tenant. expires_at: None: without end."""

    relation: ClassVar[str] = "bans"

    id: UUID
    tenant_id: UUID
    user_id: UUID
    banned_by: UUID | None
    reason: str | None
    was_member: bool
    created_at: datetime
    expires_at: datetime | None
    lifted_at: datetime | None
    lifted_by: UUID | None


class AuditEntry(Model):
    """Who did what in a tenant. hash: Of this entry and the one before it."""

    seq: int
    happened_at: datetime
    actor_id: UUID | None
    actor_role: str | None
    action: str
    target_id: UUID | None
    conversation_id: UUID | None
    details: Mapping[str, JsonValue] | None
    hash: str


class AuditCheck(Model):
    """What recomputing the audit log's chain found.

    broken_seq: The first entry that was changed or is missing; None: there is none.
    """

    entries: int
    broken_seq: int | None
    problem: str | None
