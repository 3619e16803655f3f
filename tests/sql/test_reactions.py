"""Reactions: one of a kind a person, exact counts in the query of a page, one order of changes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest


@pytest.fixture
def group(database):
    """Three users, their group and one message of the first."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
        connection.execute("select chat.send_message(%s, 'hello')", (room,))
    return database, users, room


def call(connection, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return connection.execute(f"select chat.{function}({marks})", arguments).fetchone()[0]


def refused(connection, function, *arguments):
    with pytest.raises(psycopg.Error) as error:
        call(connection, function, *arguments)
    return error.value.diag.constraint_name or error.value.diag.message_detail


def summary(database, user, room, seq=1):
    """The column of the message, as PostgREST asks for it; None when there is no message."""
    with database.acting(user) as connection:
        row = connection.execute(
            "select chat.reaction_summary(m) from chat.messages as m "
            "where conversation_id = %s and seq = %s",
            (room, seq),
        ).fetchone()
    return row and row[0]


def state(database):
    return database.owner.execute(
        "select (select jsonb_agg(r order by r) from chat.reactions as r), "
        "(select jsonb_agg(m order by m) from chat.messages as m), "
        "(select jsonb_agg(c order by c) from chat.conversations as c)"
    ).fetchone()


def events(database, name):
    """What Realtime was told, by topic kind."""
    rows = database.owner.execute(
        "select topic, payload from realtime.messages where event = %s order by inserted_at, topic",
        (name,),
    ).fetchall()
    return [payload for topic, payload in rows if topic.startswith("conversation:")]


def test_a_reaction_is_counted_and_told(group):
    database, (alice, bob, charlie), room = group
    with database.acting(bob) as connection:
        assert call(connection, "react", room, 1, "👍") == [
            {"emoji": "👍", "count": 1, "is_mine": True}
        ]
    with database.acting(charlie) as connection:
        call(connection, "react", room, 1, "🎉")
        call(connection, "react", room, 1, "👍")

    assert summary(database, alice, room) == [
        {"emoji": "👍", "count": 2, "is_mine": False},
        {"emoji": "🎉", "count": 1, "is_mine": False},
    ]
    assert summary(database, bob, room) == [
        {"emoji": "👍", "count": 2, "is_mine": True},
        {"emoji": "🎉", "count": 1, "is_mine": False},
    ]
    rev, is_changed = database.owner.execute("select rev, is_changed from chat.messages").fetchone()
    told = events(database, "reaction_added")
    assert [(event["emoji"], event["user_id"], event["count"]) for event in told] == [
        ("👍", bob, 1),
        ("🎉", charlie, 1),
        ("👍", charlie, 2),
    ]
    assert [event["rev"] for event in told] == [rev - 2, rev - 1, rev]
    assert is_changed


def test_the_same_reaction_again_changes_nothing(group):
    database, (_, bob, _), room = group
    with database.acting(bob) as connection:
        call(connection, "react", room, 1, "👍")
        before = state(database)
        assert call(connection, "react", room, 1, "👍")[0]["count"] == 1
        assert call(connection, "unreact", room, 1, "🎉")[0]["emoji"] == "👍"
    assert state(database) == before


def test_a_reaction_can_be_taken_back_by_whose_it_is(group):
    database, (alice, bob, _), room = group
    with database.acting(bob) as connection:
        call(connection, "react", room, 1, "👍")
    with database.acting(alice) as connection:
        assert call(connection, "unreact", room, 1, "👍")[0]["count"] == 1
    with database.acting(bob) as connection:
        assert call(connection, "unreact", room, 1, "👍") == []
    assert summary(database, alice, room) == []
    (event,) = events(database, "reaction_removed")
    assert (event["emoji"], event["user_id"], event["count"]) == ("👍", bob, 0)


@pytest.mark.parametrize("emoji", ["", " ", "a b", "a\n", "x" * 65])
def test_what_an_emoji_is(group, emoji):
    database, (_, bob, _), room = group
    before = state(database)
    with database.acting(bob) as connection:
        assert refused(connection, "react", room, 1, emoji) == "reactions_emoji_check"
    assert state(database) == before


def test_a_message_takes_twenty_different_reactions(group):
    database, (alice, bob, _), room = group
    with database.acting(bob) as connection:
        for number in range(20):
            call(connection, "react", room, 1, f":{number}:")
        before = state(database)
        assert refused(connection, "react", room, 1, ":20:") == "too_many_reactions"
        assert state(database) == before
    with database.acting(alice) as connection:
        assert len(call(connection, "react", room, 1, ":3:")) == 20


class TestWhoMayNot:
    """Refused, and nothing changes."""

    def test_a_message_that_is_not_there(self, group):
        database, (_, bob, _), room = group
        before = state(database)
        with database.acting(bob) as connection:
            assert refused(connection, "react", room, 2, "👍") == "message_not_found"
        assert state(database) == before

    @pytest.mark.parametrize("function", ["react", "unreact"])
    def test_a_stranger(self, group, function):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            call(connection, "react", room, 1, "👍")
        before = state(database)
        with database.acting(database.user("stranger")) as connection:
            assert refused(connection, function, room, 1, "👍") == "conversation_not_found"
        assert state(database) == before

    def test_one_who_has_been_silenced(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            call(connection, "react", room, 1, "👍")
        database.owner.execute(
            "update chat.participants set silenced_until = 'infinity' where user_id = %s", (bob,)
        )
        before = state(database)
        with database.acting(bob) as connection:
            assert refused(connection, "react", room, 1, "🎉") == "silenced"
            assert state(database) == before
            assert call(connection, "unreact", room, 1, "👍") == []

    def test_in_a_closed_conversation(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            call(connection, "update_conversation", room, None, "closed")
        before = state(database)
        with database.acting(bob) as connection:
            assert refused(connection, "react", room, 1, "🎉") == "conversation_closed"
        assert state(database) == before

    def test_one_blocked_by_the_other(self, database):
        alice, bob = database.user("alice"), database.user("bob")
        with database.acting(alice) as connection:
            (room,) = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()
            call(connection, "send_message", room, "hello")
        database.owner.execute(
            "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", (alice, bob)
        )
        before = state(database)
        with database.acting(bob) as connection:
            # Whoever is blocked may not even learn that the conversation goes on.
            assert refused(connection, "react", room, 1, "👍") in (
                "blocked",
                "conversation_not_found",
            )
        assert state(database) == before


def test_slow_mode_is_for_messages(group):
    database, (_, bob, _), room = group
    database.owner.execute("update chat.conversations set slow_mode_seconds = 3600")
    with database.acting(bob) as connection:
        call(connection, "send_message", room, "one")
        assert refused(connection, "send_message", room, "two") == "slow_mode"
        assert call(connection, "react", room, 1, "👍")[0]["count"] == 1


class TestWhatCannotBeReadHasNoReactions:
    """Neither rows nor counts, not even for a made-up message row."""

    @pytest.fixture
    def reacted(self, group):
        database, users, room = group
        with database.acting(users[1]) as connection:
            call(connection, "react", room, 1, "👍")
        return group

    def counted(self, database, user, room):
        with database.acting(user) as connection:
            (made_up,) = connection.execute(
                "select chat.reaction_summary(jsonb_populate_record(null::chat.messages, %s))",
                (psycopg.types.json.Jsonb({"conversation_id": str(room), "seq": 1}),),
            ).fetchone()
            (rows,) = connection.execute("select count(*) from chat.reactions").fetchone()
        return made_up, rows

    def test_read(self, reacted):
        database, users, room = reacted
        made_up, rows = self.counted(database, users[2], room)
        assert (made_up, rows) == ([{"emoji": "👍", "count": 1, "is_mine": False}], 1)

    def test_hidden(self, reacted):
        database, users, room = reacted
        with database.acting(users[2]) as connection:
            call(connection, "hide_message", room, 1)
        assert self.counted(database, users[2], room) == ([], 0)
        assert self.counted(database, users[1], room)[1] == 1

    def test_deleted(self, reacted):
        database, users, room = reacted
        with database.acting(users[0]) as connection:
            call(connection, "delete_message", room, 1)
        assert self.counted(database, users[1], room) == ([], 0)
        with database.acting(users[1]) as connection:
            assert refused(connection, "react", room, 1, "🎉") == "message_not_found"

    def test_expired(self, reacted):
        database, users, room = reacted
        database.owner.execute("update chat.messages set expires_at = now() - interval '1 second'")
        assert self.counted(database, users[1], room) == ([], 0)
        with database.acting(users[1]) as connection:
            assert refused(connection, "react", room, 1, "🎉") == "message_not_found"

    def test_before_one_joined(self, reacted):
        database, users, room = reacted
        late = database.user("late")
        with database.acting(users[0]) as connection:
            connection.execute(
                "select chat.add_participants(%s, %s::uuid[], see_history => false)",
                (room, [late]),
            )
        assert self.counted(database, late, room) == ([], 0)
        with database.acting(late) as connection:
            assert refused(connection, "react", room, 1, "🎉") == "message_not_found"

    def test_by_those_who_left(self, reacted):
        database, users, room = reacted
        with database.acting(users[2]) as connection:
            call(connection, "leave", room)
        assert self.counted(database, users[2], room) == ([], 0)


def test_sixteen_users_at_once(database):
    users = [database.user(f"user_{number}") for number in range(16)]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
        call(connection, "send_message", room, "hello")
    (before,) = database.owner.execute("select rev from chat.conversations").fetchone()
    barrier = threading.Barrier(16)

    def react(number):
        with database.acting(users[number]) as connection:
            barrier.wait(30)
            for emoji in ("👍", f":{number % 4}:"):
                call(connection, "react", room, 1, emoji)
            if number % 2:
                call(connection, "unreact", room, 1, "👍")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(react, range(16)))

    counts = {part["emoji"]: part["count"] for part in summary(database, users[0], room)}
    assert counts == {"👍": 8, ":0:": 4, ":1:": 4, ":2:": 4, ":3:": 4}
    told = events(database, "reaction_added") + events(database, "reaction_removed")
    assert sorted(event["rev"] for event in told) == list(range(before + 1, before + 41))
    assert database.owner.execute(
        "select c.rev, m.rev from chat.conversations as c, chat.messages as m"
    ).fetchone() == (before + 40, before + 40)


def test_a_page_asks_the_index_and_nothing_else(database):
    """50 messages with their reactions, in a room of 1,000: each an index range."""
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        (room,) = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()
    database.owner.execute(
        "insert into chat.messages (conversation_id, sender_id, body, seq, rev, created_at) "
        "select %s, %s, 'hello', 0, 0, now() from generate_series(1, 1000)",
        (room, alice),
    )
    database.owner.execute(
        "insert into chat.reactions (conversation_id, message_seq, user_id, emoji) "
        "select %s, n, u, e from generate_series(1, 1000) as n, unnest(%s::uuid[]) as u, "
        "unnest(array['a', 'b', 'c']) as e",
        (room, [alice, bob]),
    )
    database.owner.execute("analyze chat.reactions, chat.messages")
    with database.acting(bob) as connection, connection.transaction():
        rows = connection.execute(
            "select m.seq, chat.reaction_summary(m) from chat.messages as m "
            "where conversation_id = %s order by seq desc limit 50",
            (room,),
        ).fetchall()
        scans = connection.execute(
            "select relname, seq_scan, idx_scan from pg_stat_xact_user_tables "
            "where schemaname = 'chat' and relname in ('messages', 'reactions') order by relname"
        ).fetchall()
    assert [row[0] for row in rows] == list(range(1000, 950, -1))
    assert all([part["count"] for part in row[1]] == [2, 2, 2] for row in rows)
    assert scans == [("messages", 0, 51), ("reactions", 0, 50)]
