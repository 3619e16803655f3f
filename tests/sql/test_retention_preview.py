"""A preview says what a sweep then does."""

from __future__ import annotations

import json

import pytest

from support.retention import TENANT, make_room


@pytest.fixture
def room(database):
    return make_room(database)


def test_a_preview_says_what_a_sweep_then_does(room):
    room.tier("carol", "privileged")
    for name in ("alice", "bob", "carol", "alice"):
        room.send(name, "x" * 10)
    room.owner(
        "insert into chat.legal_holds (tenant_id, user_id, reason) values (%s, %s, 'a case')",
        TENANT, room.ids["bob"],
    )  # fmt: skip
    preview = "select tier, step, messages, bytes, held_messages from chat.preview_retention(%s)"
    assert room.service(preview, TENANT) == []
    room.after(30)
    assert room.service(preview, TENANT) == [("free", "expire", 2, 24, 1)]
    assert room.sweep()["marked"] == 2
    room.after(60)
    assert room.service(preview, TENANT) == [
        ("free", "expire", 0, 0, 1),
        ("free", "purge", 2, 24, 0),
    ]
    assert room.sweep()["purged"] == 2


def test_a_preview_of_another_policy_is_what_comes_of_it(room):
    room.tier("carol", "privileged")
    for name in ("alice", "bob", "carol"):
        room.send(name, "x" * 10)
    room.after(40)
    room.send("alice")
    preview = "select sum(messages)::int from chat.preview_retention(%s, policy => %s)"
    for policy, number in (
        ({"tiers": {"privileged": "35 days"}}, 3),
        ({"tiers": {"free": None}}, 0),
        ({"retention_mode": "longest_tier"}, 0),
        ({"retention_mode": "fixed", "retention": "40 days"}, 3),
        ({"retention_mode": "fixed", "retention": None}, 0),
    ):
        assert room.service(preview, TENANT, json.dumps(policy)) in (
            [(number,)],
            [(number or None,)],
        )
    room.owner("update chat.settings set retention_mode = 'fixed', retention = '40 days'")
    assert room.sweep()["marked"] == 3


PREVIEW = "select step, messages from chat.preview_retention(%s, policy => %s)"


def preview(room):
    """What is written is believed and what is supposed is computed: of one policy, the same."""
    written, computed = (room.service(PREVIEW, TENANT, policy) for policy in (None, "{}"))
    assert written == computed
    return written


def test_what_was_deleted_does_not_expire_and_is_purged_after_the_window(room):
    for _ in range(2):
        room.send("alice")
    room.after(5)
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    room.after(30)
    assert preview(room) == [("expire", 1)]
    assert room.sweep() == {"rewritten": 0, "marked": 1, "purged": 0}
    assert preview(room) == []
    room.after(35)
    assert preview(room) == [("purge", 1)]


def test_of_a_day_that_expires_which_is_old_enough(room):
    room.send("alice")
    room.after(0.2)
    room.send("alice")
    room.after(30.1)
    assert preview(room) == [("expire", 1)]
    assert room.sweep()["marked"] == 1
    assert room.seen("bob") == [2]


def test_what_was_restored_lives_for_its_time(room):
    room.send("alice")
    room.after(31)
    room.sweep()
    room.service("select chat.restore_messages(%s, '{1}')", room.id)
    assert preview(room) == []
    room.after(61)
    assert preview(room) == [("expire", 1)]


def test_what_was_purged_is_not_purged_again(room):
    room.tier("bob", "privileged")
    room.send("alice", "question")
    room.send("bob", "answer", reply_to_seq=1)
    for day in (30, 60):
        room.after(day)
        room.sweep()
    assert preview(room) == []


def test_what_another_policy_brings_back_is_not_purged(room):
    room.send("alice")
    room.after(30)
    room.sweep()
    room.after(60)
    for lasts, steps in (("20 days", [("purge", 1)]), ("61 days", []), (None, [])):
        policy = json.dumps({"tiers": {"free": lasts}})
        assert room.service(PREVIEW, TENANT, policy) == steps
