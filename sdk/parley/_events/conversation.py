"""What happens in a conversation, as frozen models."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, TypeAlias
from uuid import UUID

from parley._models import Attachment, Message, Model


class Event(Model):
    """Something that happened in a conversation.

    rev: Which change of the conversation this is; each takes the next number. What was not heard
        but read later is told as it is then: several changes may have become one event, and one
        ``rev`` may have several.
    """

    conversation_id: UUID
    rev: int


class MessageCreated(Event):
    """A message was sent."""

    message: Message


class MessageUpdated(Event):
    """A message was edited; or, where that was read and not heard, anything about it changed.

    message: As it is now. Its ``reactions`` and ``poll_results`` are None when they are as before.
    """

    message: Message


class MessageDeleted(Event):
    """A message was deleted for everyone."""

    seq: int
    deleted_at: datetime


class ReactionAdded(Event):
    """Somebody reacted to a message.

    count: How many react to it in this way now.
    """

    seq: int
    user_id: UUID
    emoji: str
    count: int


class ReactionRemoved(Event):
    """Somebody took a reaction back. As ReactionAdded."""

    seq: int
    user_id: UUID
    emoji: str
    count: int


class PollVoted(Event):
    """Somebody voted in a poll, for these options instead of those of before."""

    seq: int
    user_id: UUID
    option_ids: tuple[str, ...]


class PollClosed(Event):
    """A poll was closed."""

    seq: int
    closed_at: datetime


class MessagePinned(Event):
    """A message was pinned."""

    seq: int
    user_id: UUID
    pinned_at: datetime


class MessageUnpinned(Event):
    """A message was unpinned."""

    seq: int
    user_id: UUID


class AttachmentsAdded(Event):
    """Files were attached to a message; follows its MessageCreated."""

    seq: int
    attachments: tuple[Attachment, ...]


class ReceiptMoved(Event):
    """Somebody read on, or messages arrived at them.

    last_read_seq: They have read every message up to this ``seq``.
    last_delivered_seq: Every message up to this ``seq`` has arrived at them.
    """

    user_id: UUID
    last_read_seq: int
    last_delivered_seq: int


class JoinedParticipant(Model):
    """Who joined, and as what: ``owner``, ``admin`` or ``member``."""

    user_id: UUID
    role: str


class ParticipantJoined(Event):
    """One or more people joined, or came back, at once."""

    participants: tuple[JoinedParticipant, ...]


class ParticipantUpdated(Event):
    """Somebody has another role, or was silenced or may write again.

    role: None: as before.
    silenced_until: Says something when ``is_about_silence``; None: they may write.
    """

    user_id: UUID
    role: str | None = None
    silenced_until: datetime | Literal["infinity"] | None = None

    @property
    def is_about_silence(self) -> bool:
        """Whether this is about who may write, and not about a role alone."""
        return "silenced_until" in self.model_fields_set


class ParticipantLeft(Event):
    """Somebody left, or was removed."""

    user_id: UUID


class ConversationUpdated(Event):
    """The conversation itself has changed. None: as before."""

    title: str | None = None
    status: str | None = None
    slow_mode_seconds: int | None = None


class HistoryChanged(Event):
    """More has changed than can be told: how long messages live, or accounts were deleted, the
    user left and came back, or the database was restored from an older copy. Read the conversation
    again.
    """


ConversationEvent: TypeAlias = (
    MessageCreated
    | MessageUpdated
    | MessageDeleted
    | ReactionAdded
    | ReactionRemoved
    | PollVoted
    | PollClosed
    | MessagePinned
    | MessageUnpinned
    | AttachmentsAdded
    | ReceiptMoved
    | ParticipantJoined
    | ParticipantUpdated
    | ParticipantLeft
    | ConversationUpdated
    | HistoryChanged
)
