"""What the API returns, as frozen models. Fields they do not know are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict, JsonValue


class Model(BaseModel):
    """What all models share."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class User(Model):
    """The signed-in user, as the Auth server knows them.

    metadata: What was given at sign-up, such as ``username`` and ``display_name``. The name that
        others see is the profile's.
    """

    id: UUID
    email: str | None = None
    created_at: datetime
    metadata: Mapping[str, JsonValue] = {}


class Profile(Model):
    """How a user appears to others."""

    id: UUID
    username: str
    display_name: str | None = None
    avatar_url: str | None = None


class Message(Model):
    """A message as stored.

    seq: Its number in the conversation, from 1, without gaps; messages are ordered by it.
    rev: The conversation's revision at which it last changed.
    sender_id: None for system messages, and when the sender's account is gone.
    kind: ``text`` or ``system``; later versions may add some.
    body: Up to 10,000 characters; None when deleted.
    reply_to_seq: The ``seq`` of the message this one answers, in the same conversation.
    expires_at: From here on nobody can read it. None: never.
    """

    conversation_id: UUID
    id: UUID
    sender_id: UUID | None
    seq: int
    rev: int
    created_at: datetime
    expires_at: datetime | None = None
    kind: str
    body: str | None
    metadata: Mapping[str, JsonValue] = {}
    reply_to_seq: int | None = None
    edited_at: datetime | None = None
    deleted_at: datetime | None = None


class Participant(Model):
    """One person's place in a conversation.

    role: ``owner``, ``admin`` or ``member``.
    last_read_seq: Every message up to this ``seq`` is read; 0: none.
    last_delivered_seq: Every message up to this ``seq`` has arrived.
    """

    conversation_id: UUID
    user_id: UUID
    role: str
    joined_at: datetime
    left_at: datetime | None = None
    visible_from_seq: int = 1
    last_read_seq: int
    last_delivered_seq: int


class InboxEntry(Model):
    """One conversation in the caller's inbox.

    kind: ``direct`` or ``group``; later versions may add some.
    title: A group's; None for direct conversations.
    counterpart: The other person of a direct conversation; None for groups, and when their account
        is gone.
    unread_count: Exact, not capped.
    last_message: The newest that the caller can read.
    """

    conversation_id: UUID
    tenant_id: UUID
    kind: str
    title: str | None
    participant_count: int
    last_activity_at: datetime
    last_seq: int
    rev: int
    role: str
    joined_at: datetime
    last_read_seq: int
    unread_count: int
    is_muted: bool = False
    is_pinned: bool = False
    is_archived: bool = False
    counterpart: Profile | None = None
    last_message: Message | None = None


class ConversationRow(Model):
    """A row of chat.conversations, as far as the SDK uses it."""

    id: UUID
    tenant_id: UUID
    kind: str
    title: str | None
    created_by: UUID | None
    created_at: datetime
    epoch: int


class ConversationState(Model):
    """Where a conversation stands, and the messages after some ``seq``: one snapshot."""

    rev: int
    epoch: int
    last_seq: int
    messages: tuple[Message, ...]
