"""Messages, and what is attached to them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar
from uuid import UUID

from pydantic import Field, JsonValue

from .base import Model


class Reaction(Model):
    """How often a message was reacted to in one way.

    is_mine: Whether the caller is among them.
    """

    emoji: str
    count: int
    is_mine: bool


class PollOption(Model):
    """How one option of a poll stands."""

    id: str
    count: int
    is_mine: bool


class PollResults(Model):
    """How a poll stands.

    voter_count: How many people voted; with several votes each it is less than the options' sum.
    """

    is_closed: bool
    voter_count: int
    options: tuple[PollOption, ...]


class Attachment(Model):
    """A file of a message.

    path: Its name in the private bucket ``chat-attachments``.
    mime_type: As the sender uploaded it; nobody has looked inside.
    sha256: As the sender says; so are width, height (pixels) and duration_seconds.
    """

    relation: ClassVar[str] = "attachments"

    conversation_id: UUID
    message_seq: int
    position: int
    path: str
    name: str
    mime_type: str
    size_bytes: int
    sha256: str | None
    width: int | None
    height: int | None
    duration_seconds: float | None
    created_at: datetime


class Message(Model):
    """A message as stored.

    seq: Its number in the conversation, from 1, without gaps; messages are ordered by it.
    rev: The conversation's revision at which it last changed.
    sender_id: None for system messages, and when the sender's account is gone.
    kind: ``text``, ``image``, ``file``, ``audio``, ``video``, ``location``, ``contact``, ``poll``,
        ``custom`` or ``system``; later versions may add some.
    is_changed: Whether anything about it changed after it was sent.
    body: Up to 10,000 characters; None when deleted, and where the kind needs none.
    reply_to_seq: The ``seq`` of the message this one answers, in the same conversation.
    thread_root_seq: The ``seq`` of the message whose thread this one is in.
    thread_count: How many messages its own thread has.
    expires_at: From here on nobody can read it. None: never.
    reactions, poll_results, attachments: As they were when it was read; None where they were not
        read with it, as in what ``send`` returns.
    """

    relation: ClassVar[str] = "messages"

    conversation_id: UUID
    id: UUID
    sender_id: UUID | None
    seq: int
    rev: int
    created_at: datetime
    expires_at: datetime | None = None
    kind: str
    is_changed: bool = False
    body: str | None
    metadata: Mapping[str, JsonValue] = {}
    reply_to_seq: int | None = None
    thread_root_seq: int | None = None
    thread_count: int = 0
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    reactions: tuple[Reaction, ...] | None = Field(None, validation_alias="reaction_summary")
    poll_results: PollResults | None = None
    attachments: tuple[Attachment, ...] | None = None


class Revision(Model):
    """An earlier text of a message.

    replaced_at: When the next one took its place.
    """

    relation: ClassVar[str] = "message_revisions"

    conversation_id: UUID
    message_seq: int
    revision: int
    body: str | None
    metadata: Mapping[str, JsonValue]
    replaced_at: datetime


class UserReaction(Model):
    """Who reacted to a message, and how."""

    relation: ClassVar[str] = "reactions"

    conversation_id: UUID
    message_seq: int
    user_id: UUID
    emoji: str
    created_at: datetime


class Vote(Model):
    """Who voted for which option of a poll."""

    relation: ClassVar[str] = "poll_votes"

    conversation_id: UUID
    message_seq: int
    user_id: UUID
    option_id: str
    created_at: datetime


class Mention(Model):
    """Whom a message mentions. user_id: None: everybody."""

    relation: ClassVar[str] = "mentions"

    conversation_id: UUID
    message_seq: int
    user_id: UUID | None


class Pin(Model):
    """A message that everybody in the conversation should find."""

    relation: ClassVar[str] = "pins"

    conversation_id: UUID
    message_seq: int
    pinned_by: UUID | None
    pinned_at: datetime


class SavedMessage(Model):
    """A message that the caller keeps for themselves, with a note or without."""

    relation: ClassVar[str] = "saved_messages"

    conversation_id: UUID
    message_seq: int
    user_id: UUID
    note: str | None
    saved_at: datetime


class HiddenMessage(Model):
    """A message that the caller has deleted for themselves."""

    relation: ClassVar[str] = "hidden_messages"

    conversation_id: UUID
    message_seq: int
    user_id: UUID
    hidden_at: datetime


class MessageReceipt(Model):
    """How far one recipient is with one message. None: not yet."""

    relation: ClassVar[str] = "message_receipts"

    conversation_id: UUID
    seq: int
    user_id: UUID
    sent_at: datetime
    delivered_at: datetime | None
    read_at: datetime | None


class SearchHit(Model):
    """A message found.

    snippet: HTML: the text escaped, the words found in ``<mark>``.
    rank: How well it fits; the more the better.
    """

    message: Message
    snippet: str
    rank: float
    next_cursor: str | None = None
