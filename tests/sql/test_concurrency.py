"""Many at once: one of what there is one of, one order, nothing lost, nothing after a removal."""

from __future__ import annotations

import json
import random
import threading
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.at_once import at_once, together
from support.databases import Database


@pytest.fixture
def group(database: Database) -> tuple[Database, list[str], str]:
    """Five people and their group; the first owns it."""
    people = [database.user(f"person_{number}") for number in range(5)]
    return database, people, open_group(database, people)


def open_group(database: Database, people: list[str]) -> str:
    """The id of a new group that the first of them owns."""
    with database.acting(people[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (people[1:],)
        ).fetchone()
    return str(room)


def assert_counters_exact(database: Database) -> None:
    assert database.owner.execute("select * from chat.check_counters()").fetchall() == []


class TestOneOfEach:
    """What exists once, however many ask for it at once."""

    def test_a_direct_conversation(self, database):
        alice, bob = database.user("alice"), database.user("bob")
        start = "select (chat.start_direct(username => %s)).id"
        made = at_once(database, [(alice, start, ("bob",)), (bob, start, ("alice",))] * 25)
        assert len(set(made)) == 1
        assert database.owner.execute(
            "select count(*), min(participant_count) from chat.conversations"
        ).fetchone() == (1, 2)
        assert database.owner.execute("select count(*) from chat.participants").fetchone() == (2,)

    def test_a_subject_conversation(self, database):
        people = [database.user(f"person_{number}") for number in range(5)]
        database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
        everybody = json.dumps([{"user_id": user} for user in people])
        start = "select (chat.open_subject('order', '42', %s)).id"
        made = at_once(database, [(user, start, (everybody,)) for user in people] * 10)
        assert len(set(made)) == 1
        assert database.owner.execute(
            "select count(*), min(participant_count) from chat.conversations"
        ).fetchone() == (1, 5)
        assert database.owner.execute(
            "select count(*), count(*) filter (where role = 'owner') from chat.participants"
        ).fetchone() == (5, 1)

    def test_a_group_with_an_id(self, database):
        alice, group_id = database.user("alice"), uuid.uuid4()
        start = "select (chat.start_group('Group', id => %s)).id"
        assert at_once(database, [(alice, start, (group_id,))] * 20) == [group_id] * 20
        assert database.owner.execute("select count(*) from chat.participants").fetchone() == (1,)

    def test_a_message_with_an_id(self, group):
        database, people, room = group
        send = "select (chat.send_message(%s, 'hello', %s)).seq"
        assert at_once(database, [(people[1], send, (room, uuid.uuid4()))] * 20) == [1] * 20
        assert database.owner.execute(
            "select last_seq, message_count from chat.conversations"
        ).fetchone() == (1, 1)

    def test_a_message_with_an_id_in_two_conversations(self, group):
        database, people, room = group
        message_id = uuid.uuid4()
        send = "select (chat.send_message(%s, 'hello', %s))::text"
        calls = [
            (people[0], send, (each, message_id)) for each in (room, open_group(database, people))
        ]
        made = Counter(at_once(database, calls * 10))
        assert made.pop("message_id_taken") == 10
        assert list(made.values()) == [10]
        assert database.owner.execute("select count(*) from chat.messages").fetchone() == (1,)
        assert_counters_exact(database)


class TestOneOrder:
    """64 writers, a third of whose transactions roll back, and those who read meanwhile."""

    WRITERS = 64
    SENDS = 8

    def test_writers_and_readers(self, group):
        database, people, room = group
        done = threading.Event()

        def write(number):
            chance = random.Random(number)
            kept = 0
            with database.acting(people[number % 5]) as connection:
                for _ in range(self.SENDS):
                    undo = chance.random() < 0.3
                    with connection.transaction(force_rollback=undo):
                        connection.execute(
                            "select chat.send_message(%s, %s)", (room, f"from {number}")
                        )
                    kept += not undo
            return kept

        def poll(number):
            """What a client holds that asks for what comes after the last it has."""
            held = []
            with database.acting(people[number]) as connection:
                while True:
                    is_last = done.is_set()
                    held += connection.execute(
                        "select seq, rev, id from chat.messages"
                        " where conversation_id = %s and seq > %s order by seq",
                        (room, held[-1][0] if held else 0),
                    ).fetchall()
                    if is_last:
                        return held

        def sync(number):
            """The same of one that syncs."""
            held, cursor = [], None
            with database.acting(people[number]) as connection:
                (answer,) = connection.execute("select chat.sync()").fetchone()
                cursor = answer["cursor"]
                held = connection.execute(
                    "select seq, rev, id from chat.messages where seq <= %s order by seq",
                    (answer["conversations"][0]["conversation"]["last_seq"],),
                ).fetchall()
                while True:
                    is_last = done.is_set()
                    (answer,) = connection.execute(
                        "select chat.sync(%s, page_size => 7)", (cursor,)
                    ).fetchone()
                    cursor = answer["cursor"]
                    held += [
                        (message["seq"], message["rev"], uuid.UUID(message["id"]))
                        for told in answer["conversations"]
                        for message in told["messages"]
                    ]
                    if is_last and not answer["has_more"]:
                        return held

        with ThreadPoolExecutor(4) as pool:
            readers = [pool.submit(read, number) for read in (poll, sync) for number in (3, 4)]
            try:
                kept = sum(together(self.WRITERS, write))
            finally:
                done.set()
            held = [reader.result(30) for reader in readers]

        stored = database.owner.execute(
            "select seq, rev, id from chat.messages order by seq"
        ).fetchall()
        assert [seq for seq, _, _ in stored] == list(range(1, kept + 1))
        revs = [rev for _, rev, _ in stored]
        assert revs == sorted(set(revs))
        assert held == [stored] * 4
        assert_counters_exact(database)
        # Each rev has one event: a client that sees one missing has missed something.
        told = database.owner.execute(
            "select (payload ->> 'rev')::int from realtime.messages where topic like %s order by 1",
            (f"conversation:{room}:%",),
        ).fetchall()
        assert [rev for (rev,) in told] == list(range(1, kept + 2))


class TestOwners:
    """A conversation always keeps one, whatever its owners do at once."""

    @pytest.fixture
    def owned(self, group):
        """The group, with two owners."""
        database, people, room = group
        with database.acting(people[0]) as connection:
            connection.execute("select chat.set_role(%s, %s, 'owner')", (room, people[1]))
        return group

    def owners(self, database, room):
        """Those who take part, and how many of them are owners."""
        return database.owner.execute(
            "select count(*), count(*) filter (where role = 'owner') from chat.participants"
            " where conversation_id = %s and left_at is null",
            (room,),
        ).fetchone()

    @pytest.mark.parametrize(
        ("steps", "answers", "left"),
        [
            (("leave(%(room)s)", "leave(%(room)s)"), {""}, (3, 1)),
            (
                (
                    "set_role(%(room)s, %(second)s, 'member')",
                    "set_role(%(room)s, %(first)s, 'member')",
                ),
                {"", "not_an_admin"},
                (5, 1),
            ),
            (
                (
                    "set_role(%(room)s, %(first)s, 'member')",
                    "set_role(%(room)s, %(second)s, 'member')",
                ),
                {"", "last_owner"},
                (5, 1),
            ),
            (
                ("remove_participant(%(room)s, %(second)s)", "leave(%(room)s)"),
                {"", "participant_not_found", "conversation_not_found"},
                (4, 1),
            ),
        ],
        ids=["both leave", "each demotes the other", "both step down", "one removed and leaving"],
    )
    def test_two_owners(self, owned, steps, answers, left):
        database, people, room = owned
        values = {"room": room, "first": people[0], "second": people[1]}
        calls = [
            (user, f"select case when chat.{step} is null then '' else '' end", values)
            for user, step in zip(people, steps, strict=False)
        ]
        assert set(at_once(database, calls)) <= answers
        assert self.owners(database, room) == left
        assert_counters_exact(database)

    def test_everybody_leaves(self, owned):
        database, people, room = owned
        at_once(database, [(user, "select chat.leave(%s)", (room,)) for user in people])
        assert self.owners(database, room) == (0, 0)
        assert_counters_exact(database)
