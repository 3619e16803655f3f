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
