"""The order of events: what was heard and what was read, each change once."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from parley import (
    ConversationEvent,
    ConversationUpdated,
    HistoryChanged,
    MessageCreated,
    MessageDeleted,
    MessageUpdated,
    ParticipantJoined,
    ParticipantLeft,
    ReceiptMoved,
)
from parley._live.sequence import RevSequence
from parley._live.snapshot import Snapshot
from support.pretend_conversation import PretendConversation


def drain(sequence: RevSequence) -> list[ConversationEvent]:
    events = []
    while (event := sequence.take()) is not None:
        events.append(event)
    return events


def begun(*, held_limit: int = 1000) -> tuple[PretendConversation, RevSequence]:
    """A conversation with two messages, followed from there."""
    room = PretendConversation()
    room.send()
    room.send()
    return room, RevSequence(room.sync(None), held_limit=held_limit)


def hear(sequence: RevSequence, room: PretendConversation, *revs: int) -> None:
    for rev in revs:
        sequence.offer(*room.broadcasts[rev])


def repair(sequence: RevSequence, room: PretendConversation, **more: int) -> None:
    """As the stream does: page after page."""
    while True:
        snapshot = room.sync(sequence.cursor, known_seq=sequence.seq, **more)
        sequence.apply(snapshot, since=sequence.rev)
        if not snapshot.has_more:
            return


def seqs(events: list[ConversationEvent]) -> list[int]:
    return [event.message.seq for event in events if isinstance(event, MessageCreated)]


def test_what_comes_in_order_goes_out_at_once() -> None:
    room, sequence = begun()
    room.send()
    hear(sequence, room, room.rev)
    assert seqs(drain(sequence)) == [3]
    assert (sequence.rev, sequence.seq) == (room.rev, 3)


def test_what_came_before_the_start_or_twice_is_dropped() -> None:
    room, sequence = begun()
    room.send()
    hear(sequence, room, room.rev - 1, room.rev, room.rev)
    assert seqs(drain(sequence)) == [3]
    hear(sequence, room, room.rev)
    assert drain(sequence) == []


def test_a_hole_holds_back_what_comes_after_it() -> None:
    room, sequence = begun()
    start = room.rev
    room.send()
    room.send()
    room.read(1)
    hear(sequence, room, start + 3)
    assert drain(sequence) == []
    assert sequence.has_hole
    hear(sequence, room, start + 2, start + 1)
    assert [event.rev for event in drain(sequence)] == [start + 1, start + 2, start + 3]
    assert not sequence.has_hole


def test_what_was_not_heard_is_read() -> None:
    room, sequence = begun()
    start = room.rev
    room.send()
    room.read(2)
    room.leave(3)
    room.rename()
    repair(sequence, room)
    events = drain(sequence)
    kinds = [MessageCreated, ReceiptMoved, ParticipantLeft, ConversationUpdated]
    assert [type(event) for event in events] == kinds
    assert [event.rev for event in events] == [start + 1, start + 2, start + 3, start + 4]
    heard = begun()[1]
    hear(heard, room, *range(start + 1, start + 4))
    assert drain(heard)[1:] == events[1:3]


def test_a_message_that_changed_unheard_is_told_in_its_place_and_again_as_changed() -> None:
    room, sequence = begun()
    start = room.rev
    room.send()
    room.send()
    room.edit(3)
    room.delete(1)
    repair(sequence, room)
    events = drain(sequence)
    kinds = [MessageCreated, MessageCreated, MessageUpdated, MessageDeleted]
    assert [type(event) for event in events] == kinds
    assert [event.rev for event in events] == [start + 1, start + 2, start + 3, start + 4]
    assert seqs(events) == [3, 4]


def test_a_message_that_was_heard_and_has_changed_since_is_created_once() -> None:
    room, sequence = begun()
    room.send()
    hear(sequence, room, room.rev)
    room.edit(3)
    repair(sequence, room)
    assert [type(event) for event in drain(sequence)] == [MessageCreated, MessageUpdated]


def test_a_change_without_content_is_read_at_once() -> None:
    room, sequence = begun()
    room.react(1, is_hollow=True)
    hear(sequence, room, room.rev)
    assert drain(sequence) == []
    assert sequence.must_read
    repair(sequence, room)
    assert [type(event) for event in drain(sequence)] == [MessageUpdated]


def test_more_than_a_page_is_read_in_several() -> None:
    room, sequence = begun()
    for _ in range(5):
        room.send()
    sequence.apply(room.sync(sequence.cursor, page_size=2), since=sequence.rev)
    assert seqs(drain(sequence)) == [3, 4]
    assert sequence.has_hole
    repair(sequence, room, page_size=2)
    assert seqs(drain(sequence)) == [5, 6, 7]


def test_more_than_may_be_held_is_dropped_and_known_to_be_missing() -> None:
    room, sequence = begun(held_limit=3)
    start = room.rev
    for _ in range(5):
        room.send()
    hear(sequence, room, *range(start + 1, start + 6))
    assert seqs(drain(sequence)) == [3, 4, 5]
    assert sequence.has_hole


def test_kinds_of_a_later_version_take_their_number_and_are_passed_over() -> None:
    room, sequence = begun()
    sequence.offer("message_framed", {"rev": room.rev + 1})
    room.rev += 1
    room.send()
    hear(sequence, room, room.rev)
    assert seqs(drain(sequence)) == [3]


def test_a_broadcast_without_a_number_changes_nothing() -> None:
    _, sequence = begun()
    sequence.offer("participant_left", {"conversation_id": "x", "user_id": "x"})
    assert drain(sequence) == []
    assert not sequence.has_hole


def test_at_the_end_what_is_held_after_a_hole_goes_out() -> None:
    room, sequence = begun()
    room.send()
    room.send()
    hear(sequence, room, room.rev)
    sequence.pass_over()
    assert seqs(drain(sequence)) == [4]


def test_what_cannot_be_told_is_said_to_have_changed() -> None:
    room, sequence = begun()
    room.edit(1)
    room.purge()
    room.send()
    repair(sequence, room)
    events = drain(sequence)
    assert [type(event) for event in events] == [MessageCreated, HistoryChanged]
    room.send()
    hear(sequence, room, room.rev)
    assert seqs(drain(sequence)) == [4]


def test_a_database_restored_from_an_older_copy_begins_again() -> None:
    room, _ = begun()
    older = PretendConversation()
    room.send()
    sequence = RevSequence(room.sync(None))
    sequence.mark(older.sync(None), since=sequence.rev)
    assert [type(event) for event in drain(sequence)] == [HistoryChanged]
    older.send()
    hear(sequence, older, older.rev)
    assert seqs(drain(sequence)) == [1]


Step = Callable[[PretendConversation], None]

STEPS = st.one_of(
    st.just(PretendConversation.send),
    st.builds(lambda n: lambda room: room.send(thread_root=n), st.integers(1, 6)),
    st.builds(lambda n: lambda room: room.edit(n), st.integers(1, 12)),
    st.builds(lambda n: lambda room: room.delete(n), st.integers(1, 12)),
    st.builds(
        lambda n, h: lambda room: room.react(n, is_hollow=h), st.integers(1, 12), st.booleans()
    ),
    st.builds(lambda n: lambda room: room.read(n), st.integers(1, 3)),
    st.builds(lambda n: lambda room: room.leave(n), st.integers(2, 3)),
    st.builds(lambda n: lambda room: room.join(n), st.integers(2, 5)),
    st.just(PretendConversation.rename),
)


class Copy:
    """What somebody knows who only follows events."""

    def __init__(self, room: PretendConversation) -> None:
        self.people = {row["user_id"] for row in room.participants.values()}
        self.read = {row["user_id"]: row["last_read_seq"] for row in room.participants.values()}
        self.bodies = {seq: row["body"] for seq, row in room.messages.items()}
        self.title = room.title

    def follow(self, event: ConversationEvent) -> None:
        if isinstance(event, MessageCreated | MessageUpdated):
            self.bodies[event.message.seq] = event.message.body
        elif isinstance(event, MessageDeleted):
            self.bodies[event.seq] = None
        elif isinstance(event, ReceiptMoved):
            self.read[str(event.user_id)] = event.last_read_seq
        elif isinstance(event, ParticipantJoined):
            self.people |= {str(joined.user_id) for joined in event.participants}
        elif isinstance(event, ParticipantLeft):
            self.people -= {str(event.user_id)}
        elif isinstance(event, ConversationUpdated):
            self.title = event.title or self.title

    def is_like(self, room: PretendConversation) -> bool:
        there = {u for u, row in room.participants.items() if row["left_at"] is None}
        read = {u: row["last_read_seq"] for u, row in room.participants.items()}
        return (
            self.people == there
            and self.bodies == {seq: row["body"] for seq, row in room.messages.items()}
            and {u: self.read.get(u, 0) for u in read} == read
            and self.title == room.title
        )


@settings(max_examples=200)
@given(st.data())
def test_whatever_is_lost_doubled_or_reordered_the_same_comes_out(data: st.DataObject) -> None:
    room, _ = begun()
    limit = data.draw(st.integers(1, 30), label="held")
    sequence = RevSequence(room.sync(None), held_limit=limit)
    copy, start = Copy(room), room.rev
    perfect = RevSequence(room.sync(None))
    events: list[ConversationEvent] = []
    reading: tuple[bool, Snapshot, int] | None = None
    page_size = data.draw(st.integers(1, 5), label="page")
    for step in data.draw(st.lists(STEPS, min_size=1, max_size=30)):
        step(room)
        happened = [rev for rev in room.broadcasts if rev > start]
        for rev in data.draw(st.lists(st.sampled_from(happened or [start]), max_size=4)):
            hear(sequence, room, rev)
        if data.draw(st.booleans()):
            events += drain(sequence)
        # Snapshots are taken, and arrive while more is heard.
        if reading is None and data.draw(st.integers(0, 2)) == 0:
            is_mark = data.draw(st.booleans())
            found = room.sync(None if is_mark else sequence.cursor, page_size=page_size)
            reading = (is_mark, found, sequence.rev)
        elif reading is not None and data.draw(st.booleans()):
            is_mark, found, since = reading
            reading = None
            if is_mark:
                sequence.mark(found, since=since)
            else:
                sequence.apply(found, since=since, only_overtaken=data.draw(st.booleans()))
    repair(sequence, room, page_size=page_size)
    events += drain(sequence)

    assert not sequence.has_hole
    assert [event.rev for event in events] == sorted(event.rev for event in events)
    hear(perfect, room, *(rev for rev in room.broadcasts if rev > start))
    repair(perfect, room)
    assert seqs(events) == seqs(drain(perfect)) == list(range(3, room.seq + 1))
    for event in events:
        copy.follow(event)
    assert copy.is_like(room)
