"""What is removed: for a time it can be restored, then nothing of it is left."""

from __future__ import annotations

import json
import uuid

import psycopg
import pytest

from support.retention import TENANT, make_admin, make_other_room, make_room


@pytest.fixture
def room(database):
    return make_room(database)


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
    assert room.owner("select from chat_private.restored_messages") == []
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
    assert room.expires(1) == 30
    room.check()


def test_only_admins_of_the_tenant_restore(room):
    other = make_other_room(room)
    make_admin(other, "alice")
    make_admin(room, "carol")
    room.send("alice")
    room.call("alice", "select (chat.delete_message(%s, 1)).seq", room.id)
    restore = "select chat.restore_messages(%s, '{1}')"
    for name in ("alice", "bob"):
        with pytest.raises(psycopg.Error) as error:
            room.call(name, restore, room.id)
        assert error.value.diag.message_detail == "conversation_not_found"
    body = "select body from chat.messages"
    assert room.owner(body) == [(None,)]
    assert room.call("carol", restore, room.id) == 1
    assert room.owner(body) == [("hello",)]


def test_what_is_purged_stays_so_whatever_becomes_of_its_time(room):
    """Its tombstone is there, for a reply."""
    room.tier("bob", "privileged")
    room.send("alice", "question")
    room.send("bob", "answer", reply_to_seq=1)
    for day in (30, 60):
        room.after(day)
        room.sweep()
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    assert room.owner(
        "select m.body, deleted_at is not null, purged_at is not null from chat.messages as m"
        " inner join chat_private.deleted_messages as d on m.seq = d.message_seq"
    ) == [(None, True, True)]
    room.check()
    for day in (180, 210, 240):
        room.after(day)
        room.sweep()
    assert room.owner("select from chat.messages") == []
    assert room.service("select sum(messages)::int from chat.purge_runs") == [(2,)]


def test_a_sweep_passes_by_a_conversation_that_somebody_writes_in(room):
    room.send("alice")
    room.after(30)
    room.sweep()
    room.after(60)
    with psycopg.connect(room.database.url) as writing:
        writing.execute("select from chat.conversations for no key update")
        assert room.sweep(batch_size=1)["purged"] == 0
    assert room.sweep(batch_size=1)["purged"] == 1


def test_what_the_system_said_expires_and_counts_as_little_as_before(room):
    room.settings("retention_mode = 'fixed', retention = '30 days'")
    room.send("alice")
    room.owner(
        "insert into chat.messages (conversation_id, sender_id, kind, body)"
        " values (%s, %s, 'system', 'renamed it')", room.id, room.ids["alice"],
    )  # fmt: skip
    room.after(30)
    assert room.sweep()["marked"] == 2
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
