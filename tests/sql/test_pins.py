"""Pins: who may pin what, how much, and who hears of it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest


@pytest.fixture
def group(database):
    """Three users, the first's group and five messages of the second."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    with database.acting(users[1]) as connection:
        for _ in range(5):
            connection.execute("select chat.send_message(%s, 'x')", (room,))
    return database, users, room


def call(connection, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return connection.execute(f"select chat.{function}({marks})", arguments).fetchone()[0]


def refused(connection, function, *arguments):
    with pytest.raises(psycopg.Error) as error:
        call(connection, function, *arguments)
    return error.value.diag.message_detail


def pinned(database, user):
    with database.acting(user) as connection:
        rows = connection.execute("select message_seq from chat.pins order by 1").fetchall()
    return [row[0] for row in rows]


def state(database):
    return database.owner.execute(
        "select (select jsonb_agg(p order by p) from chat.pins as p), "
        "(select jsonb_agg(m order by m) from chat.messages as m), "
        "(select jsonb_agg(c order by c) from chat.conversations as c)"
    ).fetchone()


def test_an_admin_pins_and_unpins(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        call(connection, "pin_message", room, 2)
        before = state(database)
        call(connection, "pin_message", room, 2)
        call(connection, "unpin_message", room, 3)
        assert state(database) == before
        assert pinned(database, bob) == [2]
        call(connection, "unpin_message", room, 2)
    assert pinned(database, bob) == []
    told = database.owner.execute(
        "select event, payload from realtime.messages where event like 'message_%pinned' "
        "and topic like 'conversation:%' order by payload -> 'rev'"
    ).fetchall()
    assert [(event, payload["seq"], payload["user_id"]) for event, payload in told] == [
        ("message_pinned", 2, alice),
        ("message_unpinned", 2, alice),
    ]
    (rev, message_rev) = database.owner.execute(
        "select c.rev, m.rev from chat.conversations as c, chat.messages as m where m.seq = 2"
    ).fetchone()
    assert rev == message_rev == told[1][1]["rev"]


@pytest.mark.parametrize("function", ["pin_message", "unpin_message"])
def test_members_of_a_group_do_not_pin(group, function):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        call(connection, "pin_message", room, 1)
    before = state(database)
    with database.acting(bob) as connection:
        assert refused(connection, function, room, 1) == "not_allowed_to_pin"
    with database.acting(database.user("stranger")) as connection:
        assert refused(connection, function, room, 1) == "conversation_not_found"
    assert state(database) == before


def test_moderators_of_the_tenant_who_take_part_do(group):
    database, (_, bob, _), room = group
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = %s", (bob,)
    )
    with database.acting(bob) as connection:
        call(connection, "pin_message", room, 1)
    assert pinned(database, bob) == [1]


def test_both_pin_in_a_direct_conversation(database):
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        (room,) = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()
        call(connection, "send_message", room, "x")
    with database.acting(bob) as connection:
        call(connection, "pin_message", room, 1)
    with database.acting(alice) as connection:
        call(connection, "unpin_message", room, 1)
    assert pinned(database, bob) == []


def test_the_limit_counts_what_is_there(group):
    database, (alice, bob, _), room = group
    database.owner.execute("update chat.settings set pins_per_conversation = 2")
    with database.acting(alice) as connection:
        call(connection, "pin_message", room, 1)
        call(connection, "pin_message", room, 2)
        before = state(database)
        assert refused(connection, "pin_message", room, 3) == "too_many_pins"
        assert state(database) == before
        call(connection, "delete_message", room, 1)
        call(connection, "pin_message", room, 3)
        database.owner.execute("update chat.messages set expires_at = now() where seq = 2")
        call(connection, "pin_message", room, 4)
        assert refused(connection, "pin_message", room, 5) == "too_many_pins"
        assert refused(connection, "pin_message", room, 1) == "message_not_found"
    assert pinned(database, bob) == [3, 4]


def test_the_limit_holds_when_all_pin_at_once(group):
    database, (alice, _, _), room = group
    database.owner.execute("update chat.settings set pins_per_conversation = 3")
    barrier = threading.Barrier(5)

    def pin(seq):
        with database.acting(alice) as connection:
            barrier.wait(30)
            try:
                call(connection, "pin_message", room, seq)
            except psycopg.Error as error:
                return error.diag.message_detail

    with ThreadPoolExecutor(5) as pool:
        results = list(pool.map(pin, range(1, 6)))
    assert sorted(results, key=str) == [None] * 3 + ["too_many_pins"] * 2
    assert len(pinned(database, alice)) == 3


def test_nobody_pins_in_a_closed_conversation(group):
    database, (alice, _, _), room = group
    with database.acting(alice) as connection:
        call(connection, "update_conversation", room, None, "closed")
        before = state(database)
        assert refused(connection, "pin_message", room, 1) == "conversation_closed"
    assert state(database) == before


def test_pins_of_what_cannot_be_read_are_unreadable(group):
    database, (alice, bob, charlie), room = group
    with database.acting(alice) as connection:
        for seq in range(1, 5):
            call(connection, "pin_message", room, seq)
    with database.acting(bob) as connection:
        call(connection, "hide_message", room, 1)
        call(connection, "delete_message", room, 2)
    database.owner.execute("update chat.messages set expires_at = now() where seq = 3")
    assert pinned(database, bob) == [4]
    assert pinned(database, charlie) == [1, 4]
    with database.acting(charlie) as connection:
        call(connection, "leave", room)
    assert pinned(database, charlie) == []
    assert pinned(database, database.user("stranger")) == []
