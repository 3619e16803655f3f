"""Puts what was heard and what was read in one order, each change once. No I/O.

A conversation's changes are numbered: ``rev`` takes the next number with each. What was heard is
held until every change before it is accounted for; ``take`` gives out the next, or nothing while
there is a hole before it.

A hole closes in one of two ways: the missing change is heard after all, or a snapshot of the
conversation is applied. The snapshot has the messages after the last one given out and the rev at
which it was taken: whatever is still missing below that was no message, and is passed over.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

from pydantic import ValidationError

from parley._events import ConversationEvent, MessageCreated, created, parse_event, rev_of
from parley._models import ConversationState
from parley._wire import SNAPSHOT_LIMIT

HELD_LIMIT = 1000


class RevSequence:
    """The order of one conversation's events, from a ``rev`` and its last ``seq`` on.

    rev: The last change given out or passed over.
    seq: The last message given out; a snapshot is read with those after it.
    """

    def __init__(self, rev: int, seq: int, *, held_limit: int = HELD_LIMIT) -> None:
        self.rev = rev
        self.seq = seq
        self._held_limit = held_limit
        self._held: dict[int, ConversationEvent | None] = {}
        self._revs: list[int] = []
        self._seqs: set[int] = set()
        self._reach = rev  # everything up to here is held, given out or passed over
        self._known = rev  # a change with this number exists
        self._heard = rev  # and one with this number was heard of through Realtime

    @property
    def has_hole(self) -> bool:
        """Whether something is known to have happened that is neither held nor given out."""
        return self._known > self._reach

    @property
    def is_overtaken(self) -> bool:
        """Whether something that came after what is missing was heard."""
        return self._heard > self._reach

    def offer(self, name: str, payload: Mapping[str, object]) -> None:
        """Takes a broadcast. One without a rev, or already known, changes nothing.

        One that cannot be read, or is more than may be held, leaves a hole.
        """
        rev = rev_of(payload)
        if rev is None or rev <= self.rev or rev in self._held:
            return
        self._heard = max(self._heard, rev)
        self.note(rev)
        if len(self._held) >= self._held_limit:
            return
        try:
            self._hold(rev, parse_event(name, payload))
        except ValidationError:
            return

    def note(self, rev: int) -> None:
        """Learns that the conversation has come to this rev."""
        self._known = max(self._known, rev)

    def apply(self, state: ConversationState, *, only_overtaken: bool = False) -> None:
        """Takes a snapshot that was read with the messages after ``seq``.

        only_overtaken: Pass nothing over that may still be heard.
        """
        for message in state.messages:
            if message.rev > self.rev and message.seq not in self._seqs:
                self._hold(message.rev, created(message))
        # Of a snapshot that was cut short, only what is below its last message is known.
        is_whole = len(state.messages) < SNAPSHOT_LIMIT
        horizon = state.rev if is_whole else state.messages[-1].rev
        self._extend(min(horizon, self._heard) if only_overtaken else horizon)
        self.note(state.rev)

    def pass_over(self) -> None:
        """Gives up on holes: ``take`` gives out whatever is held."""
        self._extend(self._known)

    def take(self) -> ConversationEvent | None:
        """The next event in order; None when there is none, or a hole before it."""
        while self._revs and self._revs[0] <= self._reach:
            self.rev = heapq.heappop(self._revs)
            event = self._held.pop(self.rev)
            if isinstance(event, MessageCreated):
                self._seqs.discard(event.message.seq)
                self.seq = max(self.seq, event.message.seq)
            if event is not None:
                return event
        self.rev = self._reach
        return None

    def _hold(self, rev: int, event: ConversationEvent | None) -> None:
        if rev not in self._held:
            heapq.heappush(self._revs, rev)
        self._held[rev] = event
        if isinstance(event, MessageCreated):
            self._seqs.add(event.message.seq)
        self._extend(self._reach)

    def _extend(self, reach: int) -> None:
        self._reach = max(self._reach, reach)
        while self._reach + 1 in self._held:
            self._reach += 1
        self._known = max(self._known, self._reach)
