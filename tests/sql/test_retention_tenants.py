"""How long messages live in one tenant: nothing of it reaches another where the same people are."""

from __future__ import annotations

import json

import psycopg
import pytest

from support.retention import TENANT, make_other_room, make_room


@pytest.fixture
def rooms(database):
    here = make_room(database)
    return here, make_other_room(here)


@pytest.mark.parametrize("day", [20, 45])
def test_a_change_of_tier_is_of_one(rooms, day):
    """On day 20 a lower tier is to come in the one, and counts there on day 45."""
    here, there = rooms
    here.owner("insert into chat.tiers (name, retention) values ('brief', '3 days')")
    there.tier("alice", "privileged_plus")
    for room in rooms:
        room.send("alice")
    here.after(10)
    here.tier("alice", "brief")
    here.after(day)
    there.tier("alice", "privileged")
    assert here.owner(
        "select from_tier, to_tier, effective_at = changed_at, ended_at is null"
        " from chat.tier_changes order by tenant_id, id"
    ) == [
        ("free", "brief", False, True),
        ("free", "privileged_plus", True, False),
        ("privileged_plus", "privileged", False, True),
    ]
    assert [room.expires(1) for room in rooms] == [30, 180]


def test_settings_are_of_one(rooms):
    for fixed, room in zip((5, 6), rooms, strict=True):
        room.settings(f"retention_mode = 'fixed', retention = '{fixed} days'")
    for room in rooms:
        room.send("alice")
    assert [room.expires(1) for room in rooms] == [5, 6]
    rooms[1].settings("retention_mode = 'sender_tier'")
    assert [room.expires(1) for room in rooms] == [5, 30]


def test_a_hold_is_on_one(rooms):
    here, there = rooms
    for room in rooms:
        room.send("alice")
    there.hold(user_id=there.ids["alice"])
    there.hold(conversation_id=there.id)
    there.hold()
    for day, done in ((30, {"marked": 1, "purged": 0}), (60, {"marked": 0, "purged": 1})):
        here.after(day)
        assert here.sweep(batch_size=1) == {"rewritten": 0, **done}
    assert here.owner("select conversation_id::text, body from chat.messages") == [
        (there.id, "hello")
    ]
    # Of one sender, who has a tier in each.
    assert here.owner("select tenant_id::text, messages from chat.purge_runs") == []
    assert here.service("select tenant_id::text, messages, tiers from chat.purge_runs") == [
        (TENANT, 1, {"free": {"messages": 1, "bytes": 7, "files": 0, "file_bytes": 0}})
    ]


def test_what_nobody_holds_can_be_deleted(rooms):
    here, there = rooms
    for room in rooms:
        room.send("alice")
    there.hold(user_id=there.ids["alice"])
    here.owner("delete from chat.conversations where id = %s", here.id)
    with pytest.raises(psycopg.Error) as error:
        here.owner("delete from chat.conversations where id = %s", there.id)
    assert error.value.diag.message_detail == "under_legal_hold"
    assert here.owner("select conversation_id::text from chat.messages") == [(there.id,)]


def test_a_preview_is_of_one(rooms):
    here, there = rooms
    here.send("alice")
    for name in ("alice", "bob", "bob"):
        there.send(name)
    there.owner("update chat.messages set sender_id = null where seq = 3")
    preview = (
        "select tier, step, messages, held_messages from chat.preview_retention(%s, policy => %s)"
    )
    policies = (None, json.dumps({"retention_mode": "fixed", "retention": "1 day"}))
    for day, step in ((30, "expire"), (60, "purge")):
        here.after(day)
        for policy in policies:
            assert here.service(preview, TENANT, policy) == [("free", step, 1, 0)]
        here.sweep()


def test_what_waits_in_one_waits_whatever_is_rewritten_in_the_other(rooms):
    here, there = rooms
    for room in rooms:
        room.send("alice")
    here.put_off_rewriting()
    there.settings("retention_mode = 'fixed', retention = '1 day'")
    there.tier("alice", "privileged")
    here.owner("reset chat.retention_left")
    here.tier("alice", "privileged")
    here.settings("restore_window = '1 day'")
    assert [room.expires(1) for room in rooms] == [180, 30]
    assert here.owner(
        "select tenant_id::text from chat.tier_changes where applied_at is not null"
    ) == [(TENANT,)]
    here.sweep()
    assert there.expires(1) == 1


def test_who_joins_extends_nothing_by_the_mode_of_the_other(rooms):
    here, there = rooms
    here.send("alice")
    here.put_off_rewriting()
    here.settings("retention_mode = 'fixed', retention = '1 day'")
    there.settings("retention_mode = 'longest_tier'")
    dora = here.database.user("dora")
    here.call("alice", "select count(*) from chat.add_participants(%s, %s)", here.id, [dora])
    assert here.expires(1) == 30


def test_what_a_tier_grants_is_applied_where_somebody_has_it_or_will(rooms):
    here, there = rooms
    here.put_off_rewriting()
    here.owner("insert into chat.tiers (name, retention) values ('brief', '3 days')")
    waiting = "select tenant_id::text from chat_private.retention_jobs where user_id is null"
    change = "update chat.tiers set retention = retention + '1 day' where name = 'brief'"
    there.tier("alice", "brief")
    there.tier("alice", "free")
    here.owner(change)
    assert here.owner(waiting) == []
    here.tier("bob", "brief")
    here.owner(change)
    assert here.owner(waiting) == [(TENANT,)]
