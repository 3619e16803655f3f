"""What happens to a user, beyond what happens in a conversation; as frozen models."""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from parley._models import InboxEntry, Model

from .conversation import ConversationEvent


class ConversationAdded(Model):
    """The user takes part in a conversation, newly or again."""

    conversation_id: UUID
    entry: InboxEntry


class ConversationRemoved(Model):
    """The user does not take part in a conversation any more, or it is gone."""

    conversation_id: UUID


class PrivateChanged(Model):
    """Something private to the user in a conversation: settings, hidden messages, drafts.

    private_rev: Counts these changes.
    """

    conversation_id: UUID
    private_rev: int


class ContactChanged(Model):
    """Another user asked to be a contact (``pending``), is one (``accepted``) or is none (None)."""

    user_id: UUID
    state: str | None = None
    requested_by: UUID | None = None


class UserBlocked(Model):
    """The user has blocked somebody, on this device or another."""

    user_id: UUID


class UserUnblocked(Model):
    """The user has unblocked somebody."""

    user_id: UUID


class NotificationCreated(Model):
    """There is a new notification, which ``parley.notifications`` has."""

    id: int
    type: str
    actor_id: UUID | None = None
    conversation_id: UUID | None = None
    message_seq: int | None = None
    created_at: datetime


class NotificationsRead(Model):
    """Notifications were read, on this device or another: count them again."""


class Resumed(Model):
    """For a while nothing was heard. What conversations lack follows; contacts and notifications
    may have changed unheard: read them again.
    """


InboxEvent: TypeAlias = (
    ConversationEvent
    | ConversationAdded
    | ConversationRemoved
    | PrivateChanged
    | ContactChanged
    | UserBlocked
    | UserUnblocked
    | NotificationCreated
    | NotificationsRead
    | Resumed
)
