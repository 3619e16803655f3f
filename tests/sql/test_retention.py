"""How long messages live: tiers that change, and what the sweep does with what has expired."""

from __future__ import annotations

import psycopg
import pytest

from support.retention import TENANT, make_admin, make_room


@pytest.fixture
def room(database):
    return make_room(database)


def test_a_message_expires_is_marked_and_is_purged(room):
    room.send("alice")
    room.after(10)
    room.send("bob")
    assert room.expires(1) == 30
    room.after(30)
    assert room.seen("carol") == [2]
    assert room.sweep() == {"rewritten": 0, "marked": 1, "purged": 0}
    assert room.owner("select body, deleted_at is not null from chat.messages where seq = 1") == [
        (None, True)
    ]
    room.check()
    room.after(60)
    assert room.sweep() == {"rewritten": 0, "marked": 1, "purged": 1}
    assert room.owner("select seq from chat.messages") == [(2,)]
    room.check()
    ((details,),) = room.owner(
        "select details from chat_private.audit_log where action = 'messages_purged'"
    )
    assert details["tiers"] == {"free": {"messages": 1, "bytes": 7, "files": 0, "file_bytes": 0}}
    assert room.owner("select broken_seq from chat_private.verify_audit_log(%s)", TENANT) == [
        (None,)
    ]


def test_a_server_with_the_service_role_changes_what_messages_live_by(room):
    room.send("alice")
    tier = "update chat.tenant_members set tier = 'privileged' where user_id = %s returning tier"
    room.service(tier, room.ids["alice"])
    assert room.expires(1) == 180
    room.service(
        "update chat.tiers set retention = '90 days' where name = 'privileged' returning 1"
    )
    assert room.expires(1) == 90
    settings = "update chat.settings set retention_mode = 'fixed', retention = '7 days' returning 1"
    room.service(settings)
    assert room.expires(1) == 7


def test_nobody_is_told_where_nothing_changed(room):
    room.settings("may_set_retention = true")
    room.call("alice", "select (chat.set_retention(%s, '1 day')).id", room.id)
    room.send("alice")
    revisions = "select rev, sync_from_rev from chat.conversations"
    before = room.owner(revisions)
    room.tier("alice", "privileged")
    assert room.owner(revisions) == before


def test_a_conversation_knows_when_the_first_message_that_is_there_expires(room):
    first = (
        "select extract(epoch from expires_from - '2027-01-01 12:00Z') / 8640"
        " from chat.conversations"
    )
    for day in (0, 0.1, 1):
        room.after(day)
        room.send("alice")
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    room.tier("alice", "privileged")
    assert room.owner(first) == [(1801,)]
    room.call("alice", "select (chat.delete_message(%s, 2)).seq", room.id)
    room.tier("alice", "privileged_plus")
    assert room.owner(first) == [(3660,)]


def test_clients_are_told_to_load_anew_what_was_rewritten(room):
    room.send("alice")
    cursor = room.call("bob", "select chat.sync() ->> 'cursor'")
    room.tier("alice", "privileged")
    answer = room.call("bob", "select chat.sync(%s)", cursor)
    (conversation,) = answer["conversations"]
    assert conversation["resync"]
    ((payload,),) = room.owner(
        "select payload from realtime.messages where event = 'retention_changed'"
        " and topic like 'conversation:%%'"
    )
    assert payload["rev"] == conversation["conversation"]["rev"]


def test_a_long_history_is_rewritten_in_batches(room):
    with room.database.acting(room.ids["alice"]) as connection:
        connection.execute(
            "select chat.send_message(%s, 'x' || n) from generate_series(1, 1200) as n", (room.id,)
        )
    room.tier("alice", "privileged")
    still = "select count(*) from chat.messages where expires_at - created_at < '31 days'"
    assert room.owner(still) == [(200,)]
    assert room.owner("select count(*) from chat_private.retention_jobs") == [(1,)]
    room.sweep(batch_size=200)
    assert room.owner(still) == [(0,)]
    assert room.owner("select count(*) from chat_private.retention_jobs") == [(0,)]
    assert room.owner("select applied_at is not null from chat.tier_changes") == [(True,)]


def test_a_sweep_before_the_rewriting_removes_nothing_that_lives(room):
    """What is written may be of before the upgrade: it is judged again."""
    room.send("alice")
    room.owner("alter table chat.tenant_members disable trigger user")
    room.tier("alice", "privileged")
    room.after(31)
    assert room.sweep()["marked"] == 0
    assert room.expires(1) == 180
    assert room.seen("bob") == [1]


@pytest.mark.parametrize(
    ("settings", "day"),
    [
        ("retention_mode = 'longest_tier'", 180),
        ("retention_mode = 'fixed', retention = '7 days'", 7),
        ("retention_mode = 'fixed'", None),
    ],
)
def test_a_tenant_chooses_what_counts(room, settings, day):
    room.send("alice")
    room.tier("bob", "privileged")
    assert room.expires(1) == 30
    room.owner(f"update chat.settings set {settings} where tenant_id = %s", TENANT)
    assert room.expires(1) == day
    room.send("carol")
    assert room.expires(2) == day


def test_what_a_tier_grants_may_change(room):
    room.send("alice")
    room.owner("update chat.tiers set retention = '3 days' where name = 'free'")
    assert room.expires(1) == 3
    room.owner("update chat.tiers set retention = null where name = 'free'")
    assert room.expires(1) is None


def test_whoever_joins_with_the_longest_tier_keeps_messages_longer(room):
    room.owner("update chat.settings set retention_mode = 'longest_tier'")
    room.send("alice")
    dora = room.database.user("dora")
    room.owner("update chat.tenant_members set tier = 'privileged' where user_id = %s", dora)
    room.call("alice", "select count(*) from chat.add_participants(%s, %s)", room.id, [dora])
    assert room.expires(1) == 180


def test_an_admin_decides_for_a_conversation_where_the_tenant_lets_them(room):
    room.send("bob")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        room.call("alice", "select chat.set_retention(%s, '1 day')", room.id)
    room.owner("update chat.settings set may_set_retention = true")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        room.call("bob", "select chat.set_retention(%s, '1 day')", room.id)
    assert room.expires(1) == 30
    room.call("alice", "select (chat.set_retention(%s, '1 day')).id", room.id)
    assert room.expires(1) == 1
    room.call("alice", "select (chat.set_retention(%s)).id", room.id)
    assert room.expires(1) == 30
    # Whoever moderates the tenant, as a member here.
    make_admin(room, "carol")
    room.call("carol", "select (chat.set_retention(%s, '2 days')).id", room.id)
    assert room.expires(1) == 2
