"""How long messages live: tiers that change, and what the sweep does with what has expired."""

from __future__ import annotations

import json
import uuid

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


# Holds and restoring --------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["user", "conversation", "tenant"])
def test_what_is_held_is_neither_removed_nor_readable(room, scope):
    room.send("alice")
    room.send("bob")
    room.owner(
        "update chat.tenant_members set role = 'admin' where user_id = %s", room.ids["carol"]
    )
    held = {"user": ("user_id", room.ids["alice"]), "conversation": ("conversation_id", room.id)}
    name, value = held.get(scope, ("user_id", None))
    hold = room.call("carol", f"select (chat.place_hold('a case', {name} => %s)).id", value)
    kept = [1] if scope == "user" else [1, 2]
    for day in (31, 62, 300):
        room.after(day)
        room.sweep()
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
    hold = "insert into chat.legal_holds (tenant_id, user_id, reason) values (%s, %s, 'a case')"
    room.owner(hold, TENANT, room.ids["alice"])
    for statement in (
        "delete from auth.users where id = '{alice}'".format(**room.ids),
        f"delete from chat.conversations where id = '{room.id}'",
        f"delete from chat.tenants where id = '{TENANT}'",
    ):
        with pytest.raises(psycopg.Error):
            room.owner(statement)
    assert room.owner("select body from chat.messages") == [("hello",)]


def test_what_its_sender_deletes_under_a_hold_is_kept(room):
    room.send("alice")
    room.owner(
        "insert into chat.legal_holds (tenant_id, user_id, reason) values (%s, %s, 'a case')",
        TENANT, room.ids["alice"],
    )  # fmt: skip
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    room.after(200)
    room.sweep()
    assert room.owner("select body from chat_private.deleted_messages") == [("hello",)]


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


def test_what_expired_is_restored_for_a_window(room):
    room.send("alice")
    room.after(31)
    room.sweep()
    assert room.service("select chat.restore_messages(%s, '{1,2}')", room.id) == [(1,)]
    assert room.seen("bob") == [1]
    assert room.expires(1) == 61
    room.check()
    # Whatever is computed anew.
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    room.owner("update chat.settings set retention_mode = 'fixed', retention = '1 day'")
    assert room.expires(1) == 61
    room.after(61)
    room.sweep()
    assert room.seen("bob") == []
    room.after(91)
    room.sweep()
    assert room.owner("select from chat.messages") == []
    assert room.service("select chat.restore_messages(%s, '{1}')", room.id) == [(0,)]


def test_what_was_deleted_is_restored_until_it_is_purged(room):
    for body in ("mistake", "another"):
        room.send("alice", body)
    room.call("bob", "select chat.react(%s, 1, '+')", room.id)
    for seq in (1, 2):
        room.call("alice", "select (chat.delete_message(%s, %s)).seq", room.id, seq)
    room.after(29)
    room.sweep()
    assert room.service("select chat.restore_messages(%s, '{1}')", room.id) == [(1,)]
    with room.database.acting(room.ids["bob"]) as connection:
        assert connection.execute(
            "select body, r.emoji from chat.messages as m"
            " inner join chat.reactions as r on m.seq = r.message_seq"
        ).fetchall() == [("mistake", "+")]
    room.check()


def test_a_tombstone_outlives_what_it_said(room):
    """Clients that were away must learn of the deletion, while they could have the message."""
    room.tier("alice", "privileged")
    room.send("alice")
    room.call("bob", "select chat.react(%s, 1, '+')", room.id)
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    room.after(30)
    assert room.sweep()["purged"] == 1
    assert room.seen("bob") == [1]
    assert room.owner("select from chat.reactions") == []
    assert room.service("select chat.restore_messages(%s, '{1}')", room.id) == [(0,)]
    room.after(180)
    room.sweep()
    assert room.owner("select from chat.messages") == []
    room.check()


# What refers to what is gone ------------------------------------------------------------------


def test_a_reply_keeps_the_place_of_what_it_answers_and_not_a_word_of_it(room):
    room.tier("bob", "privileged")
    room.send("alice", "question")
    room.send("bob", "answer", reply_to_seq=1)
    for day in (30, 60, 61):
        room.after(day)
        room.sweep()
    assert room.owner("select seq, body, reply_to_seq from chat.messages order by seq") == [
        (1, None, None),
        (2, "answer", 1),
    ]
    assert room.owner("select body, purged_at is not null from chat_private.deleted_messages") == [
        (None, True)
    ]
    for day in (180, 210, 211, 241):
        room.after(day)
        room.sweep()
    assert room.owner("select from chat.messages") == []


def test_a_thread_loses_what_expired_and_clients_are_told(room):
    room.tier("alice", "privileged")
    room.send("alice")
    room.send("bob", "in the thread", thread_root_seq=1)
    room.send("alice", "too", thread_root_seq=1)
    room.after(30)
    cursor = room.call("carol", "select chat.sync() ->> 'cursor'")
    room.sweep()
    room.check()
    (conversation,) = room.call("carol", "select chat.sync(%s)", cursor)["conversations"]
    assert not conversation["resync"]
    assert [(m["seq"], m["thread_count"]) for m in conversation["messages"]] == [(1, 1)]


def test_nothing_of_a_purged_message_is_left_anywhere(room):
    """Each table that refers to messages has a row of this one before, and none afterwards."""
    room.send("alice", "@bob the secret", mentions=[room.ids["bob"]])
    room.call("alice", "select (chat.edit_message(%s, 1, 'another secret')).seq", room.id)
    poll = json.dumps({"question": "?", "options": [{"id": n, "text": n} for n in "ab"]})
    room.send("alice", None, kind="poll", metadata=poll)
    room.call("bob", "select chat.vote(%s, 2, '{a}')", room.id)
    room.call("bob", "select chat.react(%s, 1, '+')", room.id)
    room.call("alice", "select chat.pin_message(%s, 1)", room.id)
    for name, table in (("bob", "saved_messages"), ("carol", "hidden_messages")):
        room.owner(
            f"insert into chat.{table} (conversation_id, message_seq, user_id) values (%s, 1, %s)",
            room.id, room.ids[name],
        )  # fmt: skip
    room.call("bob", "select (chat.follow_thread(%s, 1)).user_id", room.id)
    room.call("bob", "select (chat.hide_message(%s, 1))::text", room.id)
    room.call("bob", "select (chat.unhide_message(%s, 1))::text", room.id)
    for column in ("reply_to_seq", "thread_root_seq"):
        room.owner(
            f"insert into chat.drafts (conversation_id, user_id, body, {column})"
            " values (%s, %s, 'x', 1)",
            room.id, room.ids["carol"],
        )  # fmt: skip
    path = f"{TENANT}/{room.id}/{uuid.uuid4()}/a.png"
    room.owner(
        "insert into chat.attachments (conversation_id, message_seq, position, path, name,"
        " mime_type, size_bytes) values (%s, 1, 1, %s, 'a.png', 'image/png', 9)",
        room.id, path,
    )  # fmt: skip
    tables = [
        (table, column)
        for table, column in room.owner(
            "select c.conrelid::regclass::text, a.attname from pg_constraint as c"
            " inner join pg_attribute as a on a.attrelid = c.conrelid and a.attnum = c.conkey[2]"
            " where c.confrelid = 'chat.messages'::regclass and c.contype = 'f'"
            " and c.conrelid <> 'chat.messages'::regclass order by 1, 2"
        )
    ]

    def rows():
        return {
            (table, column): room.owner(f"select count(*) from {table} where {column} in (1, 2)")[
                0
            ][0]
            for table, column in tables
        }

    before = rows()
    later = {"chat_private.deleted_messages", "chat_private.restored_messages"}
    assert {key for key, number in before.items() if not number} == {
        key for key in before if key[0] in later
    }
    room.after(30)
    room.sweep()
    room.after(60)
    room.sweep()
    assert set(rows().values()) == {0}
    assert room.owner("select from chat.messages") == []
    assert room.owner("select path, is_restorable from chat_private.orphaned_objects") == [
        (path, False)
    ]
    ((run,),) = room.service("select to_jsonb(r) from chat.purge_runs as r")
    assert (run["messages"], run["files"], run["file_bytes"]) == (2, 1, 9)
    assert run["rows_of_tables"]["reactions"] == 1
    # Whoever has the ids can prove that these went.
    assert len(run["digest"]) == 64
    room.check()


def test_what_a_purge_drops_of_private_things_is_told(room):
    room.send("alice")
    room.call("bob", "select chat.hide_message(%s, 1)::text", room.id)
    room.after(30)
    room.sweep()
    room.after(60)
    cursor = room.call("bob", "select chat.sync() ->> 'cursor'")
    room.sweep()
    (conversation,) = room.call("bob", "select chat.sync(%s)", cursor)["conversations"]
    assert conversation["private"]["hidden_seqs"] == []


# Preview --------------------------------------------------------------------------------------


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
