"""Threads: who follows one, and unread counts that are what the messages say."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest


@pytest.fixture
def group(database):
    """Three users, the first's group and one message of the first."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    say(database, users[0], room)
    return database, users, room


def say(database, user, room, root=None):
    with database.acting(user) as connection:
        return connection.execute(
            "select (chat.send_message(%s, 'x', thread_root_seq => %s)).seq", (room, root)
        ).fetchone()[0]


def call(database, user, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    with database.acting(user) as connection:
        return connection.execute(
            f"select to_jsonb(t) from chat.{function}({marks}) as t", arguments
        ).fetchone()[0]


def refused(database, user, function, *arguments):
    with pytest.raises(psycopg.Error) as error:
        call(database, user, function, *arguments)
    return error.value.diag.message_detail


def threads(database, user):
    """Root and unread count of each of the user's threads."""
    with database.acting(user) as connection:
        rows = connection.execute(
            "select thread_root_seq, unread_count from chat.threads order by 1"
        ).fetchall()
    return dict(rows)


def state(database):
    return database.owner.execute(
        "select (select jsonb_agg(t order by t) from chat.thread_reads as t), "
        "(select jsonb_agg(s order by s) from chat.participant_settings as s)"
    ).fetchone()


def test_those_who_write_and_whose_message_it_is(group):
    database, (alice, bob, charlie), room = group
    assert threads(database, alice) == {}
    say(database, bob, room, 1)
    assert [threads(database, user) for user in (alice, bob, charlie)] == [{1: 1}, {1: 0}, {}]
    say(database, alice, room, 1)
    say(database, charlie, room, 1)
    assert [threads(database, user) for user in (alice, bob, charlie)] == [{1: 2}, {1: 2}, {1: 0}]
    with database.acting(bob) as connection:
        row = connection.execute(
            "select thread_count, last_read_seq, last_seq, last_activity_at from chat.threads"
        ).fetchone()
    assert row[:3] == (3, 2, 4)
    assert row[3] is not None


def test_reading_moves_forward_only_and_tells_oneself_alone(group):
    database, (alice, bob, _), room = group
    for _ in range(3):
        say(database, bob, room, 1)
    (rev,) = database.owner.execute("select rev from chat.conversations").fetchone()
    assert call(database, alice, "mark_thread_read", room, 1, 3)["last_read_seq"] == 3
    assert threads(database, alice) == {1: 1}
    before = state(database)
    assert call(database, alice, "mark_thread_read", room, 1, 2)["last_read_seq"] == 3
    assert state(database) == before
    assert call(database, alice, "mark_thread_read", room, 1)["last_read_seq"] == 4
    assert threads(database, alice) == {1: 0}
    assert call(database, alice, "mark_thread_read", room, 1, 99)["last_read_seq"] == 4
    say(database, bob, room, 1)
    assert threads(database, alice) == {1: 1}
    assert database.owner.execute("select rev - 1 from chat.conversations").fetchone() == (rev,)
    told = database.owner.execute(
        "select distinct topic from realtime.messages where event = 'private_changed'"
    ).fetchall()
    assert told == [(f"user:{alice}",)]


def test_following_and_not(group):
    database, (alice, bob, charlie), room = group
    say(database, bob, room, 1)
    assert call(database, charlie, "follow_thread", room, 1)["is_following"]
    assert threads(database, charlie) == {1: 1}
    call(database, charlie, "unfollow_thread", room, 1)
    call(database, alice, "unfollow_thread", room, 1)
    say(database, bob, room, 1)
    assert [threads(database, user) for user in (alice, charlie)] == [{}, {}]
    # Reading a thread is not following it; writing in it is.
    call(database, charlie, "mark_thread_read", room, 1)
    assert threads(database, charlie) == {}
    say(database, alice, room, 1)
    assert threads(database, alice) == {1: 2}


def test_what_is_gone_is_not_unread(group):
    database, (alice, bob, charlie), room = group
    for _ in range(4):
        say(database, bob, room, 1)
    assert threads(database, alice) == {1: 4}
    with database.acting(alice) as connection:
        connection.execute("select chat.hide_message(%s, 2)", (room,))
    with database.acting(bob) as connection:
        connection.execute("select chat.delete_message(%s, 3)", (room,))
    database.owner.execute("update chat.messages set expires_at = now() where seq = 4")
    assert threads(database, alice) == {1: 1}
    # A thread outlives its first message as long as that can be read as a tombstone.
    with database.acting(alice) as connection:
        connection.execute("select chat.delete_message(%s, 1)", (room,))
    assert threads(database, alice) == {1: 1}
    call(database, alice, "mark_thread_read", room, 1)
    assert threads(database, alice) == {1: 0}
    database.owner.execute("update chat.messages set expires_at = now() where seq = 1")
    assert threads(database, alice) == {}
    assert refused(database, alice, "mark_thread_read", room, 1) == "message_not_found"
    assert refused(database, charlie, "follow_thread", room, 1) == "message_not_found"


@pytest.mark.parametrize("function", ["mark_thread_read", "follow_thread", "unfollow_thread"])
@pytest.mark.parametrize("reason", ["stranger", "left", "late", "hidden", "none", "inside"])
def test_not_where_one_cannot_read(group, function, reason):
    database, (alice, bob, charlie), room = group
    say(database, bob, room, 1)
    reader, root, code = charlie, 1, "message_not_found"
    if reason == "stranger":
        reader, code = database.user("stranger"), "conversation_not_found"
    elif reason == "left":
        code = "conversation_not_found"
        with database.acting(charlie) as connection:
            connection.execute("select chat.leave(%s)", (room,))
    elif reason == "late":
        reader = database.user("late")
        with database.acting(alice) as connection:
            connection.execute(
                "select chat.add_participants(%s, %s::uuid[], see_history => false)",
                (room, [reader]),
            )
    elif reason == "hidden":
        with database.acting(charlie) as connection:
            connection.execute("select chat.hide_message(%s, 1)", (room,))
    else:
        root, code = {"none": (99, code), "inside": (2, "thread_in_thread")}[reason]
    before = state(database)
    assert refused(database, reader, function, room, root) == code
    assert state(database) == before
    assert threads(database, reader) == {}


def test_who_left_has_no_threads_and_gains_none(group):
    database, (alice, bob, _), room = group
    say(database, bob, room, 1)
    with database.acting(bob) as connection:
        connection.execute("select chat.leave(%s)", (room,))
        assert connection.execute("select * from chat.thread_reads").fetchall() == []
    assert threads(database, bob) == {}
    assert threads(database, alice) == {1: 1}


def test_whose_message_it_is_does_not_follow_from_elsewhere(group):
    """alice has left when bob answers her; and is back, without it, when charlie does."""
    database, (alice, bob, charlie), room = group
    call(database, alice, "set_role", room, bob, "owner")
    with database.acting(alice) as connection:
        connection.execute("select chat.leave(%s)", (room,))
    say(database, bob, room, 1)
    call(database, bob, "add_participants", room, [alice], None, False)
    say(database, charlie, room, 1)
    assert database.owner.execute(
        "select array_agg(user_id::text order by user_id) from chat.thread_reads"
    ).fetchone() == (sorted([bob, charlie]),)


def test_watermarks_are_one_s_own(group):
    database, (alice, bob, _), room = group
    say(database, bob, room, 1)
    with database.acting(alice) as connection:
        rows = connection.execute("select user_id from chat.thread_reads").fetchall()
        assert [str(row[0]) for row in rows] == [alice]
        for command in (
            "update chat.thread_reads set last_read_seq = 9",
            "delete from chat.thread_reads",
            "insert into chat.thread_reads select * from chat.thread_reads",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(command)


def test_counts_after_random_writes_at_once(group):
    database, users, room = group
    roots = [1, say(database, users[1], room)]
    barrier = threading.Barrier(6)

    def work(number):
        chance = random.Random(number)
        user = users[number % 3]
        barrier.wait(30)
        for _ in range(12):
            root = chance.choice(roots)
            if chance.random() < 0.6:
                say(database, user, room, root)
            else:
                call(database, user, "mark_thread_read", room, root, chance.randint(1, 40))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    for user in users:
        expected = database.owner.execute(
            "select t.thread_root_seq, count(m.seq) from chat.thread_reads as t "
            "left join chat.messages as m on m.thread_root_seq = t.thread_root_seq "
            "and m.seq > t.last_read_seq and m.sender_id <> t.user_id "
            "where t.user_id = %s and t.is_following group by 1",
            (user,),
        ).fetchall()
        assert threads(database, user) == dict(expected)
    assert database.owner.execute("select * from chat.check_counters()").fetchall() == []


@pytest.mark.parametrize("how", ["thread_root_seq", "reply_to_seq"])
@pytest.mark.parametrize("reason", ["none", "late", "deleted", "expired"])
def test_nobody_answers_what_they_cannot_read(group, how, reason):
    database, (alice, bob, _), room = group
    if reason == "late":
        bob = database.user("late")
        with database.acting(alice) as connection:
            connection.execute(
                "select chat.add_participants(%s, %s::uuid[], see_history => false)", (room, [bob])
            )
    elif reason == "deleted":
        call(database, alice, "delete_message", room, 1)
    elif reason == "expired":
        database.owner.execute("update chat.messages set expires_at = now()")
    seq = 99 if reason == "none" else 1
    with database.acting(bob) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(f"select chat.send_message(%s, 'x', {how} => %s)", (room, seq))
    assert error.value.diag.message_detail == "message_not_found"
    assert database.owner.execute("select count(*) from chat.messages").fetchone() == (1,)
