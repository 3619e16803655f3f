"""Legal holds: who places and lifts them, what they keep, and that they show nothing."""

from __future__ import annotations

import psycopg
import pytest

from support.retention import OTHER_TENANT, TENANT, make_admin, make_other_room, make_room

NOBODY = "00000000-0000-4000-8000-00000000ffff"
HELD = "select user_id::text from chat.legal_holds"


@pytest.fixture
def room(database):
    """Carol is an admin of the tenant."""
    room = make_room(database)
    make_admin(room, "carol")
    return room


def refused(room, name, query, *values):
    """With which code; None: a server with the service role."""
    role = "authenticated" if name else "service_role"
    with (
        room.database.acting(room.ids.get(name), role=role) as connection,
        pytest.raises(psycopg.Error) as error,
    ):
        connection.execute(query.encode(), values)
    return error.value.diag.message_detail


def test_holds_are_placed_by_admins_on_what_is_of_their_tenant(room):
    elsewhere = make_other_room(room)
    make_admin(elsewhere, "alice")
    zoe = room.database.user("zoe")
    room.owner("delete from chat.tenant_members where user_id = %s", zoe)
    room.owner(
        "insert into chat.tenant_members (tenant_id, user_id) values (%s, %s)", OTHER_TENANT, zoe
    )
    place = "select (chat.place_hold('a case', %s, %s, %s)).id"
    assert refused(room, "alice", place, room.ids["bob"], None, TENANT) == "not_a_tenant_admin"
    assert refused(room, "carol", place, zoe, None, TENANT) == "user_not_found"
    assert refused(room, "carol", place, None, elsewhere.id, TENANT) == "conversation_not_found"
    assert refused(room, "carol", place, room.ids["bob"], room.id, TENANT) == "hold_scope"
    assert refused(room, None, place, None, None, None) == "tenant_required"
    assert room.owner(HELD) == []


def test_holds_are_lifted_by_admins_of_their_tenant(room):
    make_admin(make_other_room(room), "alice")
    hold = room.hold(user_id=room.ids["alice"])
    lift = "select chat.lift_hold(%s)"
    for name, given in (
        ("alice", hold), ("bob", hold), ("bob", NOBODY), ("carol", NOBODY), (None, NOBODY),
    ):  # fmt: skip
        assert refused(room, name, lift, given) == "hold_not_found"
    assert room.owner(HELD) == [(room.ids["alice"],)]
    room.call("carol", lift, hold)
    assert room.owner(HELD) == []


def test_holds_are_seen_by_admins_of_their_tenant(room):
    make_admin(make_other_room(room), "bob")
    room.hold(user_id=room.ids["alice"])
    for name, seen in (("alice", []), ("bob", []), ("carol", [(room.ids["alice"],)])):
        with room.database.acting(room.ids[name]) as connection:
            assert connection.execute(HELD).fetchall() == seen


@pytest.mark.parametrize("scope", ["user", "conversation", "tenant"])
def test_what_is_held_is_neither_removed_nor_readable(room, scope):
    room.send("alice")
    room.send("bob")
    held = {"user": ("user_id", room.ids["alice"]), "conversation": ("conversation_id", room.id)}
    name, value = held.get(scope, ("user_id", None))
    hold = room.call("carol", f"select (chat.place_hold('a case', {name} => %s)).id", value)
    kept = [1] if scope == "user" else [1, 2]
    for day in (31, 62, 300):
        room.after(day)
        room.sweep(batch_size=1)
        assert room.seen("bob") == []
    assert room.owner("select seq, body from chat.messages order by seq") == [
        (seq, "hello") for seq in kept
    ]
    room.check()
    room.call("carol", "select chat.lift_hold(%s)", hold)
    room.sweep()
    room.after(331)
    room.sweep()
    assert room.owner("select seq from chat.messages") == []
    assert room.owner(
        "select action from chat_private.audit_log where action like 'hold%%' order by seq"
    ) == [("hold_placed",), ("hold_lifted",)]


def test_what_is_held_cannot_be_deleted_by_those_who_may_delete(room):
    room.send("alice")
    room.hold(user_id=room.ids["alice"])
    for statement in (
        "delete from auth.users where id = '{alice}'".format(**room.ids),
        f"delete from chat.conversations where id = '{room.id}'",
        f"delete from chat.tenants where id = '{TENANT}'",
    ):
        with pytest.raises(psycopg.Error):
            room.owner(statement)
    assert room.owner("select body from chat.messages") == [("hello",)]


def test_what_its_sender_deletes_is_kept_until_the_hold_is_lifted(room):
    room.send("alice")
    hold = room.hold(user_id=room.ids["alice"])
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    room.after(200)
    room.sweep()
    assert room.owner("select body from chat_private.deleted_messages") == [("hello",)]
    room.call("carol", "select chat.lift_hold(%s)", hold)
    room.sweep()
    assert room.owner("select from chat.messages") == []


def test_a_tombstone_that_is_held_stays_when_nothing_refers_to_it_any_more(room):
    room.tier("bob", "privileged")
    room.send("alice", "question")
    room.send("bob", "answer", reply_to_seq=1)
    for day in (30, 60):
        room.after(day)
        room.sweep()
    hold = room.hold(user_id=room.ids["alice"])
    for day in (180, 210, 240):
        room.after(day)
        room.sweep()
    assert room.owner("select seq, body from chat.messages") == [(1, None)]
    room.call("carol", "select chat.lift_hold(%s)", hold)
    room.sweep()
    assert room.owner("select from chat.messages") == []


def test_a_hold_waits_for_a_batch_that_runs_and_the_next_one_sees_it(room, stack):
    room.send("alice")
    room.after(61)
    with (
        psycopg.connect(room.database.url) as sweeping,
        psycopg.connect(room.database.url) as other,
    ):
        sweeping.execute("select chat.sweep_messages(1)")
        other.execute("set lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute(
                "insert into chat.legal_holds (tenant_id, reason) values (%s, 'a case')", (TENANT,)
            )
