"""Watermarks and counts: exact, and equal to what the messages themselves say."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

# Unread, from base rows: messages of others after one's watermark.
DRIFT = """
select p.conversation_id, p.user_id, c.message_count - p.read_count as counted, (
    select count(*) from chat.messages as m
    where m.conversation_id = p.conversation_id and m.seq > p.last_read_seq
        and m.kind <> 'system' and m.sender_id is distinct from p.user_id
) as actual
from chat.participants as p join chat.conversations as c on c.id = p.conversation_id
"""


def assert_exact(database):
    for row in database.owner.execute(DRIFT).fetchall():
        assert row[2] == row[3], row


@pytest.fixture
def group(database):
    """Three users and their group."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    return database, users, room


def unread(database, user, room):
    with database.acting(user) as connection:
        return connection.execute(
            "select unread_count from chat.inbox where conversation_id = %s", (room,)
        ).fetchone()[0]


def send(connection, room, body="hello"):
    return connection.execute("select (chat.send_message(%s, %s)).seq", (room, body)).fetchone()[0]


def test_a_message_is_unread_for_others_until_they_read_it(group):
    database, (alice, bob, charlie), room = group
    with database.acting(alice) as connection:
        for _ in range(3):
            send(connection, room)
    assert [unread(database, user, room) for user in (alice, bob, charlie)] == [0, 3, 3]

    with database.acting(bob) as connection:
        connection.execute("select chat.mark_read(%s, 2)", (room,))
    assert [unread(database, user, room) for user in (alice, bob, charlie)] == [0, 1, 3]

    with database.acting(bob) as connection:
        connection.execute("select chat.mark_read(%s)", (room,))
    assert unread(database, bob, room) == 0
    assert_exact(database)


def test_a_watermark_never_moves_backwards(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        for _ in range(3):
            send(connection, room)
    with database.acting(bob) as connection:
        for seq in (3, 1, 0, -5, None, 99):
            row = connection.execute(
                "select p.last_read_seq, p.last_delivered_seq from chat.mark_read(%s, %s) as p",
                (room, seq),
            ).fetchone()
            assert row == (3, 3)
    (rev,) = database.owner.execute(
        "select rev from chat.conversations where id = %s", (room,)
    ).fetchone()
    # Joining, three messages, one move: what changes nothing takes no rev.
    assert rev == 5


def test_counts_stay_exact_under_random_concurrent_use(group):
    database, users, room = group

    def use(number):
        chance = random.Random(number)
        with database.acting(users[number % 3]) as connection:
            for _ in range(30):
                with connection.transaction(force_rollback=chance.random() < 0.2):
                    if chance.random() < 0.5:
                        send(connection, room)
                    else:
                        seq = chance.choice([None, chance.randint(0, 60)])
                        connection.execute("select chat.mark_read(%s, %s)", (room, seq))

    with ThreadPoolExecutor(9) as pool:
        list(pool.map(use, range(9)))
    assert_exact(database)
    assert database.owner.execute("select max(seq) > 0 from chat.messages").fetchone() == (True,)


def test_one_user_on_two_devices_does_not_deadlock(group):
    database, (alice, *_), room = group
    barrier = threading.Barrier(2)

    def device(action):
        with database.acting(alice) as connection:
            barrier.wait()
            for _ in range(50):
                action(connection)

    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(device, lambda c: send(c, room)),
            pool.submit(device, lambda c: c.execute("select chat.mark_read(%s)", (room,))),
        ]
        for job in jobs:
            job.result()
    assert_exact(database)


def test_reading_needs_a_user(group):
    database, _, room = group
    with (
        database.connect(None, role="service_role") as connection,
        pytest.raises(psycopg.Error) as refused,
    ):
        connection.execute("select chat.mark_read(%s)", (room,))
    assert refused.value.sqlstate == "42501"


def test_private_marks_show_in_nothing_that_others_can_read(group):
    """Marked unread, hidden and taken back: the counters that all can see do not move."""
    database, (alice, bob, _), room = group
    seen = (
        "select jsonb_agg(p order by p.user_id), (select jsonb_agg(c) from chat.conversations as c)"
        " from chat.participants as p"
    )
    with database.acting(alice) as others:
        for _ in range(4):
            send(others, room)
        with database.acting(bob) as connection:
            connection.execute("select chat.mark_read(%s, 2)", (room,))
            before = others.execute(seen).fetchone()
            for step, count in (
                ("mark_unread(%s, 1)", 4),
                ("hide_message(%s, 2)", 3),
                ("hide_message(%s, 4)", 2),
                ("unhide_message(%s, 4)", 3),
            ):
                connection.execute(f"select chat.{step}", (room,))
                assert unread(database, bob, room) == count
                assert others.execute(seen).fetchone() == before
                assert (
                    database.owner.execute("select * from chat.check_counters()").fetchall() == []
                )
        # What goes for everyone goes from there too.
        others.execute("select chat.delete_message(%s, 1)", (room,))
        assert unread(database, bob, room) == 2
        assert database.owner.execute("select * from chat.check_counters()").fetchall() == []


def test_reading_again_what_was_read_marks_nothing_unread(group):
    """Also for who has hidden a message that they have not read."""
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        for _ in range(4):
            send(connection, room)
    with database.acting(bob) as connection:
        connection.execute("select chat.mark_read(%s, 3)", (room,))
        connection.execute("select chat.hide_message(%s, 4)", (room,))
        connection.execute("select chat.mark_read(%s, 1)", (room,))
    assert unread(database, bob, room) == 0


def test_what_the_system_says_is_never_unread(group):
    """Neither marked unread with what is around it, nor hidden before it was read."""
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        send(connection, room)
    for _ in range(2):
        database.owner.execute(
            "insert into chat.messages (conversation_id, kind, body) values (%s, 'system', 'x')",
            (room,),
        )
    with database.acting(bob) as connection:
        connection.execute("select chat.mark_read(%s, 2)", (room,))
        connection.execute("select chat.hide_message(%s, 3)", (room,))
        assert unread(database, bob, room) == 0
        connection.execute("select chat.mark_unread(%s, 1)", (room,))
    assert unread(database, bob, room) == 1


def test_what_was_deleted_and_has_expired_is_gone_once(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        send(connection, room)
        send(connection, room)
        connection.execute("select chat.delete_message(%s, 1)", (room,))
    for column in ("messages set expires_at", "conversations set expires_from"):
        database.owner.execute(
            f"update chat.{column} = chat_private.now() - interval '1 second'".encode()
        )
    assert unread(database, bob, room) == 0


def test_what_has_expired_counts_in_no_event(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        send(connection, room)
        database.owner.execute(
            "update chat.messages set expires_at = chat_private.now() - interval '1 second'"
        )
        database.owner.execute(
            "update chat.conversations set expires_from = chat_private.now() - interval '1 second'"
        )
        send(connection, room)
    told = database.owner.execute(
        "select (payload ->> 'unread_count')::bigint from realtime.messages "
        "where topic = %s and event = 'message_created' order by (payload ->> 'rev')::bigint",
        (f"user:{bob}",),
    ).fetchall()
    # The first was told while it could be read.
    assert told == [(1,), (1,)]
    assert unread(database, bob, room) == 1
