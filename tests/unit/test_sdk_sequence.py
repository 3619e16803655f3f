"""The order of events: what was heard and what was read, each change once."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from parley import MessageCreated
from parley._events import ConversationEvent
from parley._live.sequence import RevSequence
from parley._models import ConversationState, Message
from parley._wire import SNAPSHOT_LIMIT

ROOM = UUID("0197d0a0-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def message(seq: int, rev: int) -> Message:
    return Message(
        conversation_id=ROOM,
        id=UUID(int=seq),
        sender_id=None,
        seq=seq,
        rev=rev,
        created_at=NOW,
        kind="text",
        body=f"message {seq}",
    )


def said(rev: int, seq: int | None) -> tuple[str, dict[str, object]]:
    """The broadcast of change ``rev``: a message, or somebody read on."""
    common: dict[str, object] = {"conversation_id": str(ROOM), "rev": rev, "epoch": 1}
    if seq is None:
        receipt = {"user_id": str(ROOM), "last_read_seq": 1, "last_delivered_seq": 1}
        return "receipt_moved", {**common, **receipt}
    return "message_created", {**common, "message": message(seq, rev).model_dump(mode="json")}


def drain(sequence: RevSequence) -> list[ConversationEvent]:
    events = []
    while (event := sequence.take()) is not None:
        events.append(event)
    return events


def state(rev: int, *messages: Message) -> ConversationState:
    last_seq = messages[-1].seq if messages else 0
    return ConversationState(rev=rev, epoch=1, last_seq=last_seq, messages=messages)


def test_what_comes_in_order_goes_out_at_once() -> None:
    sequence = RevSequence(rev=5, seq=2)
    sequence.offer(*said(6, 3))
    assert [event.rev for event in drain(sequence)] == [6]
    assert (sequence.rev, sequence.seq) == (6, 3)


def test_what_came_before_the_start_or_twice_is_dropped() -> None:
    sequence = RevSequence(rev=5, seq=2)
    for rev, seq in ((5, 2), (6, 3), (6, 3)):
        sequence.offer(*said(rev, seq))
    assert [event.rev for event in drain(sequence)] == [6]
    sequence.offer(*said(6, 3))
    assert drain(sequence) == []


def test_a_hole_holds_back_what_comes_after_it() -> None:
    sequence = RevSequence(rev=5, seq=2)
    sequence.offer(*said(8, None))
    assert drain(sequence) == []
    assert sequence.has_hole
    sequence.offer(*said(7, 4))
    sequence.offer(*said(6, 3))
    assert [event.rev for event in drain(sequence)] == [6, 7, 8]
    assert not sequence.has_hole


def test_a_snapshot_fills_messages_in_and_passes_over_the_rest() -> None:
    sequence = RevSequence(rev=5, seq=2)
    sequence.offer(*said(9, None))
    sequence.apply(state(10, message(3, 6), message(4, 8), message(5, 10)))
    events = drain(sequence)
    assert [event.rev for event in events] == [6, 8, 9, 10]
    assert [event.message.seq for event in events if isinstance(event, MessageCreated)] == [3, 4, 5]
    assert sequence.rev == 10


def test_a_message_that_was_heard_and_has_changed_since_goes_out_once() -> None:
    sequence = RevSequence(rev=5, seq=2)
    sequence.offer(*said(7, 3))
    sequence.apply(state(9, message(3, 9)))
    assert [event.rev for event in drain(sequence)] == [7]
    assert sequence.rev == 9


def test_a_snapshot_that_was_cut_leaves_the_hole_open() -> None:
    sequence = RevSequence(rev=0, seq=0)
    messages = tuple(message(seq, seq) for seq in range(1, SNAPSHOT_LIMIT + 1))
    sequence.apply(state(SNAPSHOT_LIMIT + 5, *messages))
    assert len(drain(sequence)) == SNAPSHOT_LIMIT
    assert sequence.has_hole


def test_more_than_may_be_held_is_dropped_and_known_to_be_missing() -> None:
    sequence = RevSequence(rev=0, seq=0, held_limit=3)
    for rev in range(1, 6):
        sequence.offer(*said(rev, rev))
    assert [event.rev for event in drain(sequence)] == [1, 2, 3]
    assert sequence.has_hole


def test_kinds_of_a_later_version_take_their_number_and_are_passed_over() -> None:
    sequence = RevSequence(rev=0, seq=0)
    sequence.offer("reaction_added", {"rev": 1})
    sequence.offer(*said(2, 1))
    assert [event.rev for event in drain(sequence)] == [2]


def test_a_broadcast_that_cannot_be_read_leaves_a_hole() -> None:
    sequence = RevSequence(rev=0, seq=0)
    sequence.offer("message_created", {"rev": 1, "conversation_id": str(ROOM)})
    assert drain(sequence) == []
    assert sequence.has_hole


def test_a_broadcast_without_a_number_changes_nothing() -> None:
    sequence = RevSequence(rev=0, seq=0)
    sequence.offer("participant_left", {"conversation_id": str(ROOM), "user_id": str(ROOM)})
    assert drain(sequence) == []
    assert not sequence.has_hole


def test_at_the_end_what_is_held_after_a_hole_goes_out() -> None:
    sequence = RevSequence(rev=0, seq=0)
    sequence.offer(*said(2, 1))
    sequence.pass_over()
    assert [event.rev for event in drain(sequence)] == [2]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_every_message_goes_out_once_and_in_order_whatever_is_heard(data: st.DataObject) -> None:
    is_message = data.draw(st.lists(st.booleans(), min_size=1, max_size=40))
    seqs: list[int | None] = []
    for flag in is_message:
        seqs.append(sum(1 for seq in seqs if seq is not None) + 1 if flag else None)
    history = dict(enumerate(seqs, start=1))
    heard = data.draw(
        st.lists(st.sampled_from(sorted(history)), max_size=3 * len(history)), label="heard"
    )
    sequence = RevSequence(rev=0, seq=0, held_limit=data.draw(st.integers(1, 50)))
    events: list[ConversationEvent] = []
    snapshot: ConversationState | None = None

    def read(upto: int) -> ConversationState:
        found = [
            message(seq, rev)
            for rev, seq in history.items()
            if seq is not None and seq > sequence.seq and rev <= upto
        ]
        return state(upto, *found)

    for rev in heard:
        sequence.offer(*said(rev, history[rev]))
        if data.draw(st.booleans()):
            events += drain(sequence)
        if snapshot is not None and data.draw(st.booleans()):
            sequence.apply(snapshot)
            snapshot = None
        if snapshot is None and data.draw(st.integers(0, 4)) == 0:
            snapshot = read(data.draw(st.integers(max(rev, sequence.rev), len(history))))
    events += drain(sequence)
    sequence.apply(read(len(history)))
    events += drain(sequence)

    revs = [event.rev for event in events]
    assert revs == sorted(set(revs))
    out = [event.message.seq for event in events if isinstance(event, MessageCreated)]
    assert out == [seq for seq in seqs if seq is not None]
    assert not sequence.has_hole
