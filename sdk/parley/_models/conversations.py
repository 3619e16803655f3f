"""Conversations, who is in them, and what each keeps for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import JsonValue

from .base import Model
from .messages import Message
from .people import Counterpart


class ConversationInfo(Model):
    """A row of ``chat.conversations``: a conversation as it is for everybody in it.

    kind: ``direct``, ``group`` or ``subject``; later versions may add some.
    status: ``open`` or ``closed``; in a closed one nobody writes.
    slow_mode_seconds: How long a member waits between two messages; 0: not at all.
    retention: For how long messages live here, as PostgreSQL writes intervals (``30 days``); None:
        as the tenant's settings say.
    epoch: Which topic of Realtime it is on.
    """

    relation: ClassVar[str] = "conversations"

    id: UUID
    tenant_id: UUID
    kind: str
    status: str = "open"
    title: str | None
    subject_type: str | None = None
    subject_id: str | None = None
    slow_mode_seconds: int = 0
    retention: str | None = None
    created_by: UUID | None
    created_at: datetime
    last_activity_at: datetime | None = None
    last_seq: int = 0
    message_count: int = 0
    participant_count: int = 0
    rev: int = 0
    epoch: int


class Participant(Model):
    """One person's place in a conversation.

    role: ``owner``, ``admin`` or ``member``.
    party: Whom they speak for in a conversation about a subject, such as ``agent``.
    visible_from_seq: The first message they may read.
    last_read_seq: Every message up to this ``seq`` is read; 0: none.
    last_delivered_seq: Every message up to this ``seq`` has arrived.
    silenced_until: Until then they read and do not write.
    """

    relation: ClassVar[str] = "participants"

    conversation_id: UUID
    user_id: UUID
    tenant_id: UUID
    role: str
    party: str | None = None
    joined_at: datetime
    left_at: datetime | None = None
    visible_from_seq: int = 1
    last_read_seq: int
    last_delivered_seq: int
    silenced_until: datetime | Literal["infinity"] | None = None
    last_sent_at: datetime | None = None
    rev: int = 0


class ParticipantSettings(Model):
    """How the caller keeps a conversation; nobody else knows.

    muted_until: ``infinity`` for good, as text.
    unread_from_seq: The first message that the caller has marked as unread.
    rev: Counts what is private to the caller in the conversation.
    """

    relation: ClassVar[str] = "participant_settings"

    conversation_id: UUID
    user_id: UUID
    muted_until: datetime | Literal["infinity"] | None = None
    is_pinned: bool = False
    is_archived: bool = False
    unread_from_seq: int | None = None
    rev: int = 0


class InboxEntry(Model):
    """One conversation in the caller's inbox.

    kind: ``direct``, ``group`` or ``subject``; later versions may add some.
    title: A group's; None for direct conversations.
    counterpart: The other person of a direct conversation; None for groups, and when their account
        is gone.
    unread_count, unread_mention_count: Exact, not capped.
    last_message: The newest that the caller can read.
    """

    relation: ClassVar[str] = "inbox"

    conversation_id: UUID
    tenant_id: UUID
    kind: str
    status: str = "open"
    title: str | None
    subject_type: str | None = None
    subject_id: str | None = None
    slow_mode_seconds: int = 0
    participant_count: int
    last_activity_at: datetime
    last_seq: int
    rev: int
    epoch: int = 1
    role: str
    party: str | None = None
    joined_at: datetime
    last_read_seq: int
    unread_count: int
    unread_mention_count: int = 0
    is_muted: bool = False
    is_pinned: bool = False
    is_archived: bool = False
    counterpart: Counterpart | None = None
    last_message: Message | None = None

    @property
    def name(self) -> str:
        """What to call it: the title, or the other person's name."""
        if self.title or self.counterpart is None:
            return self.title or self.subject_id or "(gone)"
        return self.counterpart.display_name or self.counterpart.username


class UnreadTotal(Model):
    """What is unread in one tenant, exactly.

    conversation_count: How many conversations have something unread.
    unmuted_unread_count: Of ``unread_count``, those in conversations that are not muted.
    """

    relation: ClassVar[str] = "unread_totals"

    tenant_id: UUID
    conversation_count: int
    unread_count: int
    unmuted_unread_count: int
    unread_mention_count: int


class UnreadByParty(Model):
    """How many messages nobody of a party has read yet."""

    relation: ClassVar[str] = "unread_by_party"

    conversation_id: UUID
    party: str
    unread_count: int


class Thread(Model):
    """A thread that the caller wrote in, was answered in or follows."""

    relation: ClassVar[str] = "threads"

    conversation_id: UUID
    thread_root_seq: int
    thread_count: int
    last_read_seq: int
    last_seq: int
    last_activity_at: datetime
    unread_count: int


class ThreadRead(Model):
    """How far the caller has read a thread, and whether they follow it."""

    relation: ClassVar[str] = "thread_reads"

    conversation_id: UUID
    thread_root_seq: int
    user_id: UUID
    last_read_seq: int
    is_following: bool


class Receipt(Model):
    """A move of somebody's read or delivered position, with its time."""

    relation: ClassVar[str] = "receipts"

    conversation_id: UUID
    user_id: UUID
    rev: int
    last_read_seq: int
    last_delivered_seq: int
    moved_at: datetime


class Draft(Model):
    """What the caller began to write. thread_root_seq: None: in the conversation itself."""

    relation: ClassVar[str] = "drafts"

    conversation_id: UUID
    user_id: UUID
    thread_root_seq: int | None
    body: str
    metadata: Mapping[str, JsonValue]
    reply_to_seq: int | None
    updated_at: datetime


class ScheduledMessage(Model):
    """A message to be sent later.

    id: Will be the message's.
    failed_at, error_code: When and why it was refused; it waits for a new ``send_at``.
    """

    relation: ClassVar[str] = "scheduled_messages"

    id: UUID
    conversation_id: UUID
    user_id: UUID
    send_at: datetime
    kind: str
    body: str | None
    metadata: Mapping[str, JsonValue]
    reply_to_seq: int | None
    thread_root_seq: int | None
    mentions: tuple[UUID, ...]
    created_at: datetime
    retry_at: datetime | None
    failed_at: datetime | None
    error_code: str | None
