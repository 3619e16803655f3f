"""Mentions: who is mentioned, and an unread count that is what the messages say."""

from __future__ import annotations

import random

import psycopg
import pytest
from psycopg.types.json import Jsonb


@pytest.fixture
def group(database):
    """Three users and the first's group."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    return database, users, room


def send(connection, room, mentions=(), **metadata):
    return connection.execute(
        "select (chat.send_message(%s, 'x', metadata => %s, mentions => %s::uuid[])).seq",
        (room, Jsonb(metadata), list(mentions)),
    ).fetchone()[0]


def mentioned(database, room, seq=1):
    rows = database.owner.execute(
        "select user_id from chat.mentions where conversation_id = %s and message_seq = %s",
        (room, seq),
    ).fetchall()
    return {row[0] and str(row[0]) for row in rows}


def unread(database, user, room):
    """As the inbox says; the totals say the same, and no counter is wrong."""
    with database.acting(user) as connection:
        row = connection.execute(
            "select unread_mention_count from chat.inbox where conversation_id = %s", (room,)
        ).fetchone()
        total = connection.execute("select unread_mention_count from chat.unread_totals").fetchone()
    assert total == row
    assert database.owner.execute("select * from chat.check_counters()").fetchall() == []
    return row and row[0]


def refused(connection, *arguments, **metadata):
    with pytest.raises(psycopg.Error) as error:
        send(connection, *arguments, **metadata)
    return error.value.diag.message_detail


def test_who_is_mentioned(group):
    database, (alice, bob, charlie), room = group
    stranger = database.user("stranger")
    with database.acting(alice) as connection:
        send(connection, room, [bob, bob, stranger, alice])
    assert mentioned(database, room) == {bob}
    assert [unread(database, user, room) for user in (alice, bob, charlie)] == [0, 1, 0]


def test_not_those_who_left_or_cannot_read_it_or_are_blocked(group):
    database, (alice, bob, charlie), room = group
    dave = database.user("dave")
    with database.acting(alice) as connection:
        send(connection, room)
        connection.execute(
            "select chat.add_participants(%s, %s::uuid[], see_history => false)", (room, [dave])
        )
    with database.acting(bob) as connection:
        connection.execute("select chat.leave(%s)", (room,))
    database.owner.execute(
        "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", (charlie, alice)
    )
    with database.acting(alice) as connection:
        send(connection, room, [bob, charlie, dave])
        # An edit of what dave cannot read.
        connection.execute(
            "select chat.edit_message(%s, 1, 'y', mentions => %s::uuid[])", (room, [dave])
        )
    assert mentioned(database, room, 2) == {dave}
    assert mentioned(database, room, 1) == set()


def test_at_most_fifty(group):
    database, (alice, bob, _), room = group
    fakes = [f"00000000-0000-4000-8000-{number:012}" for number in range(50)]
    with database.acting(alice) as connection:
        assert refused(connection, room, [*fakes, bob]) == "too_many_mentions"
        assert database.owner.execute("select count(*) from chat.messages").fetchone() == (0,)
        send(connection, room, [*fakes[:49], bob, bob])
    assert mentioned(database, room) == {bob}


def test_an_edit_replaces_them_and_without_any_keeps_them(group):
    database, (alice, bob, charlie), room = group
    with database.acting(alice) as connection:
        send(connection, room, [bob])
        connection.execute("select chat.edit_message(%s, 1, 'y')", (room,))
        assert mentioned(database, room) == {bob}
        connection.execute(
            "select chat.edit_message(%s, 1, 'z', mentions => %s::uuid[])", (room, [charlie])
        )
        assert mentioned(database, room) == {charlie}
        connection.execute("select chat.edit_message(%s, 1, 'w', mentions => '{}')", (room,))
    assert mentioned(database, room) == set()


class TestEverybody:
    """mention_all: one row, whatever the number of participants."""

    def test_by_an_admin(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room, [bob], mention_all=True)
        assert mentioned(database, room) == {None, bob}
        assert [unread(database, user, room) for user in (alice, bob, charlie)] == [0, 1, 1]

    def test_not_by_a_member(self, group):
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            assert refused(connection, room, mention_all=True) == "not_allowed_to_mention_all"
            assert database.owner.execute("select count(*) from chat.messages").fetchone() == (0,)
            send(connection, room, mention_all=False)
            with pytest.raises(psycopg.Error) as error:
                connection.execute(
                    "select chat.edit_message(%s, 1, 'y', %s)",
                    (room, Jsonb({"mention_all": True})),
                )
        assert error.value.diag.message_detail == "not_allowed_to_mention_all"
        assert mentioned(database, room) == set()
        assert unread(database, alice, room) == 0

    def test_an_edit_adds_and_takes_it(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room, [bob])
            for metadata, expected in (({"mention_all": True}, {None, bob}), ({}, {bob})):
                connection.execute(
                    "select chat.edit_message(%s, 1, 'y', %s)", (room, Jsonb(metadata))
                )
                assert mentioned(database, room) == expected


class TestCounts:
    """What is read, gone or one's own is not unread."""

    @pytest.mark.parametrize("reason", ["read", "hidden", "deleted", "expired", "left"])
    def test_no_longer(self, group, reason):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room, [bob])
            send(connection, room, mention_all=True)
        assert unread(database, bob, room) == 2
        if reason == "expired":
            database.owner.execute("update chat.messages set expires_at = now() where seq = 1")
        else:
            actor, function = {
                "read": (bob, "mark_read(%s, 1)"),
                "hidden": (bob, "hide_message(%s, 1)"),
                "deleted": (alice, "delete_message(%s, 1)"),
                "left": (bob, "leave(%s)"),
            }[reason]
            with database.acting(actor) as connection:
                connection.execute(f"select chat.{function}", (room,))
        assert unread(database, bob, room) == (None if reason == "left" else 1)

    def test_marking_unread_brings_them_back(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            for _ in range(3):
                send(connection, room, [bob])
        with database.acting(bob) as connection:
            connection.execute("select chat.mark_read(%s)", (room,))
            assert unread(database, bob, room) == 0
            connection.execute("select chat.mark_unread(%s, 2)", (room,))
        assert unread(database, bob, room) == 2

    def test_not_from_before_one_joined(self, group):
        database, (alice, *_), room = group
        dave = database.user("dave")
        with database.acting(alice) as connection:
            send(connection, room, mention_all=True)
            connection.execute(
                "select chat.add_participants(%s, %s::uuid[], see_history => false)",
                (room, [dave]),
            )
            assert unread(database, dave, room) == 0
            send(connection, room, mention_all=True)
        assert unread(database, dave, room) == 1

    def test_a_lost_mark_of_the_newest_mention_is_found(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room, [bob])
        database.owner.execute("update chat.conversations set last_mention_seq = 0")
        rows = database.owner.execute(
            "select counter, counted, actual from chat.check_counters(%s)", (room,)
        ).fetchall()
        assert rows == [("last_mention_seq", 0, 1)]

    def test_after_many_random_steps(self, group):
        database, users, room = group
        chance = random.Random(7)
        for step in range(60):
            user = chance.choice(users)
            with database.acting(user) as connection:
                send(
                    connection,
                    room,
                    chance.sample(users, chance.randrange(3)),
                    **({"mention_all": True} if user == users[0] and step % 7 == 0 else {}),
                )
                seq = chance.randint(1, step + 1)
                if chance.random() < 0.3:
                    connection.execute("select chat.mark_read(%s, %s)", (room, seq))
                elif chance.random() < 0.3:
                    connection.execute("select chat.hide_message(%s, %s)", (room, seq))
        for user in users:
            (expected,) = database.owner.execute(
                "select count(*) from chat.messages as m join chat.participants as p "
                "on p.conversation_id = m.conversation_id and p.user_id = %(user)s "
                "where m.seq > p.last_read_seq and m.sender_id <> p.user_id "
                "and exists (select from chat.mentions as n where n.message_seq = m.seq "
                "    and (n.user_id = p.user_id or n.user_id is null)) "
                "and not exists (select from chat.hidden_messages as h "
                "    where h.message_seq = m.seq and h.user_id = p.user_id)",
                {"user": user},
            ).fetchone()
            assert unread(database, user, room) == expected


def test_mentions_of_what_cannot_be_read_are_unreadable(group):
    database, (alice, bob, charlie), room = group
    with database.acting(alice) as connection:
        for _ in range(3):
            send(connection, room, [bob])
    with database.acting(bob) as connection:
        connection.execute("select chat.hide_message(%s, 1)", (room,))
    database.owner.execute("update chat.messages set expires_at = now() where seq = 2")
    for user, expected in ((alice, [1, 3]), (bob, [3]), (charlie, [1, 3])):
        with database.acting(user) as connection:
            rows = connection.execute(
                "select message_seq from chat.mentions order by message_seq"
            ).fetchall()
        assert [row[0] for row in rows] == expected
