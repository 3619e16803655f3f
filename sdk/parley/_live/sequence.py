"""Puts what was heard and what was read in one order, each change once. No I/O.

A conversation's changes are numbered: ``rev`` takes the next number with each. What was heard is
held until every change before it is accounted for; ``take`` gives out the next, or nothing while
there is a hole before it.

A hole closes in one of two ways: the missing change is heard after all, or a snapshot is applied.
The snapshot has the rows that changed since the last one, each with the rev of its last change:
that is what can be told. Whatever is still missing below the snapshot's rev was overtaken by a
later change of the same row, and is passed over.

A message that was changed since it was sent has the rev of that change; which one it was sent at
is not known. It was between those of its neighbours, at one that nothing else has: the first such
number takes its place. So messages come in the order of ``seq``, and events in that of ``rev``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Mapping

from pydantic import ValidationError

from parley._events import (
    ConversationEvent,
    MessageCreated,
    MessageDeleted,
    MessageUpdated,
    parse_event,
    rev_of,
)
from parley._models import Message

from .facts import Changed, Created, Fact, Known, Reset
from .snapshot import Snapshot

HELD_LIMIT = 1000


class RevSequence:
    """The order of one conversation's events, from a snapshot on.

    rev: The last change given out or passed over.
    seq: The last message given out.
    cursor: What sync is to be asked with for all that is not accounted for.
    """

    def __init__(self, start: Snapshot, *, held_limit: int = HELD_LIMIT) -> None:
        self.rev = start.rev
        self.seq = start.seq
        self.cursor = start.cursor
        self._held_limit = held_limit
        self._known_rows = Known(start.conversation)
        self._known_rows.learn_all(start.conversation, start.participants)
        self._out: deque[ConversationEvent] = deque()
        self._begin(start.rev)

    def _begin(self, rev: int) -> None:
        self._heard: dict[int, ConversationEvent | None] = {}
        self._read: dict[int, list[Fact]] = {}
        self._revs: list[int] = []
        self._created: dict[int, int] = {}  # the rev of each message held, by its seq
        self._unreadable: set[int] = set()
        self._reach = rev  # everything up to here is held, given out or passed over
        self._known = rev  # a change with this number exists
        self._last_heard = rev  # and one with this number was heard of through Realtime

    @property
    def has_hole(self) -> bool:
        """Whether something is known to have happened that is neither held nor given out."""
        return self._known > self._reach

    @property
    def is_overtaken(self) -> bool:
        """Whether something that came after what is missing was heard."""
        return self._last_heard > self._reach

    @property
    def must_read(self) -> bool:
        """Whether the first hole is of a change that was heard of, but says nothing of itself."""
        return self._reach + 1 in self._unreadable

    def offer(self, name: str, payload: Mapping[str, object]) -> None:
        """Takes a broadcast. One without a rev, or already known, changes nothing.

        One that cannot be read, or is more than may be held, leaves a hole.
        """
        rev = rev_of(payload)
        if rev is None or rev <= self.rev or rev in self._heard:
            return
        self._last_heard = max(self._last_heard, rev)
        self.note(rev)
        if len(self._heard) >= self._held_limit:
            return
        try:
            event = parse_event(name, payload)
        except ValidationError:
            self._unreadable.add(rev)
            return
        self._push(rev)
        self._heard[rev] = event
        if isinstance(event, MessageCreated):
            self._created.setdefault(event.message.seq, rev)
        self._extend(self._reach)

    def note(self, rev: int) -> None:
        """Learns that the conversation has come to this rev."""
        self._known = max(self._known, rev)

    def mark(self, snapshot: Snapshot, *, since: int) -> None:
        """Takes a snapshot that was read without a cursor: where the conversation stands.

        since: ``rev`` when reading began. Only a database that was restored has less; what was
            heard meanwhile may well be more.
        """
        self.note(snapshot.rev)
        if snapshot.rev < since:
            self._restart(snapshot)
        elif snapshot.rev <= self._reach:
            self.cursor = snapshot.cursor

    def apply(self, snapshot: Snapshot, *, since: int, only_overtaken: bool = False) -> None:
        """Takes a snapshot that was read with ``cursor``.

        since: As for ``mark``.
        only_overtaken: Pass nothing over that may still be heard. What comes later in the snapshot
            is not taken, and will be read again.
        """
        if snapshot.rev < since:
            self._restart(snapshot)
            return
        facts, horizon = self._facts(snapshot)
        self.note(snapshot.rev)
        if only_overtaken and self._last_heard < horizon:
            horizon = self._last_heard
            facts = [(rev, fact) for rev, fact in facts if rev <= horizon]
        else:
            self.cursor = snapshot.cursor
        for rev, fact in facts:
            self._push(rev)
            found = self._read.setdefault(rev, [])
            if fact not in found:
                found.append(fact)
            if isinstance(fact, Created):
                self._created[fact.message.seq] = rev
        self._extend(horizon)

    def pass_over(self) -> None:
        """Gives up on holes: ``take`` gives out whatever is held."""
        self._extend(self._known)

    def take(self) -> ConversationEvent | None:
        """The next event in order; None when there is none, or a hole before it."""
        while not self._out:
            if not self._revs or self._revs[0] > self._reach:
                self.rev = max(self.rev, self._reach)
                return None
            self.rev = heapq.heappop(self._revs)
            self._give_out(self.rev)
        return self._out.popleft()

    # Private -----------------------------------------------------------------------------------

    def _give_out(self, rev: int) -> None:
        heard, facts = self._heard.pop(rev, None), self._read.pop(rev, [])
        self._unreadable.discard(rev)
        if isinstance(heard, MessageCreated):
            self._give_out_message(rev, heard.message)
        elif heard is not None and not any(_says_as_much(fact, heard) for fact in facts):
            self._known_rows.learn(heard)
            self._out.append(heard)
        for fact in facts:
            if isinstance(fact, Created):
                self._give_out_message(rev, fact.message)
            else:
                self._out.extend(self._known_rows.events(rev, fact))

    def _give_out_message(self, rev: int, message: Message) -> None:
        if message.seq <= self.seq:
            return
        self.seq = message.seq
        self._created.pop(message.seq, None)
        self._out.append(
            MessageCreated(conversation_id=message.conversation_id, rev=rev, message=message)
        )

    def _facts(self, snapshot: Snapshot) -> tuple[list[tuple[int, Fact]], int]:
        """What a snapshot tells, each with its rev; and up to which rev it tells everything."""
        facts: list[tuple[int, Fact]] = []
        if snapshot.is_reset:
            facts.append((snapshot.rev, Reset(snapshot.conversation, snapshot.participants)))
        else:
            facts += [(row.rev, row) for row in snapshot.participants]
            facts.append((snapshot.rev, snapshot.conversation))
        # Of equal revs, the message that was sent comes first.
        facts = [*self._message_facts(snapshot, {rev for rev, _ in facts[:-1]}), *facts]
        sent = [rev for rev, fact in facts if isinstance(fact, Created)]
        # Of messages to come, one may have been sent right after the last one here.
        horizon = max(sent, default=self._reach) if snapshot.has_more else snapshot.rev
        return [(rev, fact) for rev, fact in facts if rev > self.rev], horizon

    def _message_facts(self, snapshot: Snapshot, others: set[int]) -> list[tuple[int, Fact]]:
        created: list[tuple[int, Fact]] = []
        changed: list[tuple[int, Fact]] = []
        taken = others | self._heard.keys()
        taken |= {message.rev for message in snapshot.messages if not message.is_changed}
        previous = self.rev
        for message in snapshot.messages:
            if message.is_changed:
                changed.append((message.rev, Changed(message)))
            if message.seq <= self.seq:
                continue
            if message.seq in self._created:
                continue
            previous = max(previous, self._created_before(message.seq))
            if message.is_changed or message.rev <= previous:
                previous = min(_first_free(previous + 1, taken), snapshot.rev)
            else:
                previous = message.rev
            taken.add(previous)
            created.append((previous, Created(message)))
        return created + changed

    def _created_before(self, seq: int) -> int:
        """The rev of the last message held that comes before one."""
        return max((rev for held, rev in self._created.items() if held < seq), default=self.rev)

    def _restart(self, snapshot: Snapshot) -> None:
        """The database was restored from an older copy: its numbers begin again."""
        self._begin(snapshot.rev)
        self.rev, self.seq, self.cursor = snapshot.rev, snapshot.seq, snapshot.cursor
        reset = Reset(snapshot.conversation, snapshot.participants)
        self._out.extend(self._known_rows.events(snapshot.rev, reset))

    def _push(self, rev: int) -> None:
        if rev not in self._heard and rev not in self._read:
            heapq.heappush(self._revs, rev)

    def _extend(self, reach: int) -> None:
        self._reach = max(self._reach, reach)
        while self._reach + 1 in self._heard:
            self._reach += 1
        self._known = max(self._known, self._reach)


def _says_as_much(fact: Fact, heard: ConversationEvent) -> bool:
    """Whether a message as it was read tells all that was heard of it, and more."""
    if not isinstance(fact, Changed):
        return False
    if isinstance(heard, MessageUpdated):
        return heard.message.seq == fact.message.seq
    return isinstance(heard, MessageDeleted) and heard.seq == fact.message.seq


def _first_free(rev: int, taken: set[int]) -> int:
    while rev in taken:
        rev += 1
    return rev
