"""The answer of ``chat.sync``; see docs/reference/sync.md."""

from __future__ import annotations

from uuid import UUID

from .base import Model
from .conversations import (
    Draft,
    InboxEntry,
    Participant,
    ParticipantSettings,
    ScheduledMessage,
    ThreadRead,
)
from .messages import Attachment, Mention, Message, Pin, SavedMessage


class PrivateState(Model):
    """All that is the caller's own in a conversation."""

    settings: ParticipantSettings | None = None
    hidden_seqs: tuple[int, ...] = ()
    drafts: tuple[Draft, ...] = ()
    saved_messages: tuple[SavedMessage, ...] = ()
    scheduled_messages: tuple[ScheduledMessage, ...] = ()
    thread_reads: tuple[ThreadRead, ...] = ()


class ConversationChanges(Model):
    """What changed in one conversation.

    resync: Forget what is known of it: the changes cannot be told one by one.
    conversation: Its row of the inbox.
    participants: The rows that changed; with ``resync``, all.
    messages: Those that are new or changed, as they are now.
    """

    conversation_id: UUID
    resync: bool
    conversation: InboxEntry | None
    participants: tuple[Participant, ...] = ()
    messages: tuple[Message, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    mentions: tuple[Mention, ...] = ()
    pins: tuple[Pin, ...] = ()
    private: PrivateState = PrivateState()


class Changes(Model):
    """What changed since a cursor.

    cursor: For the next call; keep it only once what came with it is stored.
    has_more: Ask again at once.
    left: Conversations that the caller does not take part in any more, or that are gone.
    """

    cursor: str
    has_more: bool
    left: tuple[UUID, ...] = ()
    conversations: tuple[ConversationChanges, ...] = ()
