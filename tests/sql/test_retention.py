"""How long messages live: tiers that change, and what the sweep does with what has expired."""

from __future__ import annotations

import psycopg
import pytest

from support.retention import TENANT, make_room


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


def test_an_upgrade_extends_what_was_sent(room):
    room.send("alice")
    room.after(29)
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    room.after(30)
    assert room.seen("bob") == [1]


def test_a_downgrade_applies_after_the_grace(room):
    room.tier("alice", "privileged")
    room.send("alice")
    room.after(50)
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    room.send("alice")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [130, 130, 130]
    room.after(115)
    room.tier("alice", "privileged")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [180, 230, 280]


def test_an_upgrade_brings_back_what_expired(room):
    room.send("alice")
    room.send("bob")
    room.after(31)
    room.sweep()
    assert room.seen("bob") == []
    room.tier("alice", "privileged")
    assert room.seen("bob") == [1]
    room.check()
    assert room.owner("select body from chat.messages where seq = 1") == [("hello",)]


# Tiers ----------------------------------------------------------------------------------------


def test_each_of_several_downgrades_counts_from_its_own_time(room):
    room.tier("alice", "privileged_plus")
    room.send("alice")
    room.after(200)
    room.tier("alice", "privileged")
    room.after(210)
    room.tier("alice", "free")
    # Privileged from day 230 on, when it is 230 days old: it goes then, not on day 240.
    assert room.expires(1) == 230
    room.send("alice")
    assert room.expires(2) == 240


def test_a_smaller_downgrade_takes_the_place_of_one_to_come(room):
    room.tier("alice", "privileged_plus")
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    assert room.expires(1) == 130
    room.after(110)
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    assert room.owner(
        "select from_tier, to_tier, effective_at = changed_at, ended_at is null"
        " from chat.tier_changes order by id"
    ) == [
        ("free", "privileged_plus", True, False),
        ("privileged_plus", "free", False, False),
        ("privileged_plus", "privileged", False, True),
    ]


def test_who_is_downgraded_reads_of_it_and_others_do_not(room):
    room.tier("alice", "privileged")
    with room.database.acting(room.ids["alice"]) as connection:
        assert connection.execute(
            "select to_tier, applied_at is not null from chat.tier_changes"
        ).fetchall() == [("privileged", True)]
    with room.database.acting(room.ids["bob"]) as connection:
        assert connection.execute("select from chat.tier_changes").fetchall() == []


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
            "select chat.send_message(%s, 'x' || n) from generate_series(1, 2500) as n", (room.id,)
        )
    room.tier("alice", "privileged")
    still = "select count(*) from chat.messages where expires_at - created_at < '31 days'"
    assert room.owner(still) == [(1500,)]
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
