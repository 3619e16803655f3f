"""What happens in a conversation, as frozen models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias
from uuid import UUID

from ._models import Message, Model


class Event(Model):
    """Something that happened in a conversation.

    rev: Which change of the conversation this is. Each takes the next number.
    """

    conversation_id: UUID
    rev: int


class MessageCreated(Event):
    """A message was sent."""

    message: Message


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


class ParticipantLeft(Event):
    """Somebody left, or was removed."""

    user_id: UUID


ConversationEvent: TypeAlias = MessageCreated | ReceiptMoved | ParticipantJoined | ParticipantLeft

_CLASSES: dict[str, type[MessageCreated | ReceiptMoved | ParticipantJoined | ParticipantLeft]] = {
    "message_created": MessageCreated,
    "receipt_moved": ReceiptMoved,
    "participant_joined": ParticipantJoined,
    "participant_left": ParticipantLeft,
}


def rev_of(payload: Mapping[str, object]) -> int | None:
    """The rev of a broadcast, without parsing the rest; None when it has none.

    A message's own is exact even where one statement wrote several.
    """
    message = payload.get("message")
    rev = message.get("rev") if isinstance(message, Mapping) else payload.get("rev")
    return rev if isinstance(rev, int) else None


def parse_event(name: str, payload: Mapping[str, object]) -> ConversationEvent | None:
    """The event a broadcast carries; None for kinds this version does not know.

    Raises pydantic's ValidationError when it lacks what its kind should have.
    """
    event_class = _CLASSES.get(name)
    if event_class is None:
        return None
    return event_class.model_validate({**payload, "rev": rev_of(payload)})


def created(message: Message) -> MessageCreated:
    """The event of a message found by reading instead of hearing."""
    return MessageCreated(conversation_id=message.conversation_id, rev=message.rev, message=message)
