"""What reading a conversation tells of changes that were not heard. No I/O."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from uuid import UUID

from parley._events import (
    ConversationEvent,
    ConversationUpdated,
    HistoryChanged,
    JoinedParticipant,
    MessageDeleted,
    MessageUpdated,
    ParticipantJoined,
    ParticipantLeft,
    ParticipantUpdated,
    ReceiptMoved,
)
from parley._models import InboxEntry, Message, Participant


@dataclass(frozen=True, slots=True)
class Created:
    """This message was sent."""

    message: Message


@dataclass(frozen=True, slots=True)
class Changed:
    """Something about this message has changed."""

    message: Message


@dataclass(frozen=True, slots=True)
class Reset:
    """What changed cannot be told. These are all participants."""

    conversation: InboxEntry
    participants: tuple[Participant, ...]


Fact: TypeAlias = Created | Changed | Participant | InboxEntry | Reset


@dataclass(slots=True)
class _Place:
    """What is known of one participant."""

    role: str = "member"
    is_there: bool = True
    last_read_seq: int = 0
    last_delivered_seq: int = 0
    silenced_until: object = None


@dataclass(slots=True)
class Known:
    """The conversation and who is in it, as the events given out so far have told it.

    From rows alone one cannot say what changed; from rows and this one can.
    """

    entry: InboxEntry
    places: dict[UUID, _Place] = field(default_factory=dict)

    def learn_all(self, entry: InboxEntry, participants: tuple[Participant, ...]) -> None:
        """Begins anew."""
        self.entry = entry
        self.places = {row.user_id: _place(row) for row in participants}

    def learn(self, event: ConversationEvent) -> None:
        """Follows an event that was heard."""
        if isinstance(event, ParticipantJoined):
            for joined in event.participants:
                place = self._place(joined.user_id)
                place.role, place.is_there = joined.role, True
        elif isinstance(event, ParticipantLeft):
            self._place(event.user_id).is_there = False
        elif isinstance(event, ReceiptMoved):
            place = self._place(event.user_id)
            place.last_read_seq = event.last_read_seq
            place.last_delivered_seq = event.last_delivered_seq
        elif isinstance(event, ParticipantUpdated):
            place = self._place(event.user_id)
            place.role = event.role or place.role
            if event.is_about_silence:
                place.silenced_until = event.silenced_until
        elif isinstance(event, ConversationUpdated):
            told = event.model_dump(include={"title", "status", "slow_mode_seconds"})
            given = {key: value for key, value in told.items() if value is not None}
            self.entry = self.entry.model_copy(update=given)

    def events(self, rev: int, fact: Fact) -> Iterator[ConversationEvent]:
        """What a fact tells that was not known, which is known then.

        Not Created: whether a message is new is known to who orders them.
        """
        if isinstance(fact, Changed):
            yield _message_event(rev, fact.message)
        elif isinstance(fact, Participant):
            yield from self._participant_events(rev, fact)
        elif isinstance(fact, InboxEntry):
            yield from self._entry_events(rev, fact)
        elif isinstance(fact, Reset):
            self.learn_all(fact.conversation, fact.participants)
            yield HistoryChanged(conversation_id=fact.conversation.conversation_id, rev=rev)

    def _place(self, user_id: UUID) -> _Place:
        return self.places.setdefault(user_id, _Place(is_there=False))

    def _participant_events(self, rev: int, row: Participant) -> Iterator[ConversationEvent]:
        old, new = self._place(row.user_id), _place(row)
        self.places[row.user_id] = new
        where = _where(row.conversation_id, rev)
        if new.is_there and not old.is_there:
            joined = JoinedParticipant(user_id=row.user_id, role=row.role)
            yield ParticipantJoined(**where, participants=(joined,))
        elif old.role != new.role:
            yield ParticipantUpdated(**where, user_id=row.user_id, role=row.role)
        if old.silenced_until != new.silenced_until:
            until = row.silenced_until
            yield ParticipantUpdated(**where, user_id=row.user_id, silenced_until=until)
        positions = (new.last_read_seq, new.last_delivered_seq)
        if (old.last_read_seq, old.last_delivered_seq) != positions:
            yield ReceiptMoved(
                **where,
                user_id=row.user_id,
                last_read_seq=row.last_read_seq,
                last_delivered_seq=row.last_delivered_seq,
            )
        if old.is_there and not new.is_there:
            yield ParticipantLeft(**where, user_id=row.user_id)

    def _entry_events(self, rev: int, entry: InboxEntry) -> Iterator[ConversationEvent]:
        names = ("title", "status", "slow_mode_seconds")
        changes = {
            name: getattr(entry, name)
            for name in names
            if getattr(entry, name) != getattr(self.entry, name)
        }
        self.entry = entry
        if changes:
            yield ConversationUpdated(conversation_id=entry.conversation_id, rev=rev, **changes)


def _place(row: Participant) -> _Place:
    return _Place(
        row.role,
        row.left_at is None,
        row.last_read_seq,
        row.last_delivered_seq,
        row.silenced_until,
    )


def _where(conversation_id: UUID, rev: int) -> dict[str, Any]:
    return {"conversation_id": conversation_id, "rev": rev}


def _message_event(rev: int, message: Message) -> MessageUpdated | MessageDeleted:
    where = _where(message.conversation_id, rev)
    if message.deleted_at is not None:
        return MessageDeleted(**where, seq=message.seq, deleted_at=message.deleted_at)
    return MessageUpdated(**where, message=message)
