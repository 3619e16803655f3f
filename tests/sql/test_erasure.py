"""Erasing a person: nothing is left of them but what the manifest declares."""

from __future__ import annotations

import psycopg
import pytest

from support.retention import OTHER_TENANT, TENANT, found, make_full_room

MARK = "quetzalcoatl"


@pytest.fixture
def room(database):
    return make_full_room(database, MARK)


def erase(room, name, batch_size=500):
    batches = 0
    while True:
        ((answer,),) = room.service("select chat.erase_user(%s, %s)", room.ids[name], batch_size)
        batches += 1
        if not answer["has_more"]:
            return answer, batches


def test_every_column_is_in_the_manifest(database):
    """A new one of ids, texts, JSON or bytes is declared, or this fails."""
    columns = {
        (table, column)
        for table, column in database.owner.execute(
            "select c.oid::regclass::text, a.attname::text from pg_class as c"
            " inner join pg_attribute as a on c.oid = a.attrelid"
            " inner join pg_type as t on a.atttypid = t.oid"
            " where c.relnamespace in ('chat'::regnamespace, 'chat_private'::regnamespace)"
            " and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped"
            " and (t.typname in ('uuid', 'text', 'varchar', 'citext', 'json', 'jsonb', 'bytea',"
            " 'inet', '_uuid', '_text', '_jsonb'))"
        )
    }
    # They name a tenant, a conversation; a person's row is found by the person.
    columns = {key for key in columns if key[1] not in ("tenant_id", "conversation_id")}
    declared = set(
        database.owner.execute("select table_name, column_name from chat_private.personal_data")
    )
    assert declared - columns == set()
    assert columns - declared == set()


def test_a_scan_of_the_whole_database_finds_what_is_declared_and_no_more(room):
    texts = [MARK, room.ids["alice"]]
    before = found(room, texts)
    assert {
        "chat.messages.body", "chat.message_revisions.body", "chat_private.deleted_messages.body",
        "chat.profiles.username", "chat.drafts.body", "chat.scheduled_messages.body",
        "chat_private.push_tokens.token", "storage.objects.name", "chat.reactions.user_id",
    } <= before  # fmt: skip
    certificate, _ = erase(room, "alice")
    retained = {f"{each['table']}.{each['column']}" for each in certificate["retained"]}
    # Of Supabase: Realtime drops its rows after three days, Storage's go with the file.
    theirs = {"realtime.messages", "storage.objects"}
    left = {key for key in found(room, texts) if key.rpartition(".")[0] not in theirs
            and not key.startswith("realtime.messages")}  # fmt: skip
    assert left - retained == set()
    assert room.owner("select count(*) from chat_private.orphaned_objects") == [(2,)]


def test_the_certificate_counts_what_went_and_the_log_has_it(room):
    other = "insert into chat.tenants (id, slug, name) values (%s, 'b', 'B')"
    room.owner(other, OTHER_TENANT)
    record = "select chat_private.record_audit(%s, 'hold_placed', null, null, '{}')"
    room.owner(record, OTHER_TENANT)
    certificate, _ = erase(room, "alice")
    counts = certificate["counts"]
    assert counts["messages"] == 3
    assert counts["message_revisions"] == 1
    assert counts["attachments"] == 1
    assert counts["reactions"] == 2
    assert counts["profiles"] == 1
    (record,) = certificate["records"]
    assert room.owner(
        "select action, details -> 'counts' from chat_private.audit_log"
        " where tenant_id = %s and seq = %s and hash = decode(%s, 'hex')",
        TENANT, record["seq"], record["hash"],
    ) == [("user_erased", counts)]  # fmt: skip
    assert room.owner("select broken_seq from chat_private.verify_audit_log(%s)", TENANT) == [
        (None,)
    ]


def test_what_others_wrote_stays_and_they_are_told(room):
    cursor = room.call("bob", "select chat.sync() ->> 'cursor'")
    erase(room, "alice")
    room.check()
    with room.database.acting(room.ids["bob"]) as connection:
        assert connection.execute(
            "select seq, body, sender_id is null from chat.messages order by seq"
        ).fetchall() == [
            (1, None, True), (2, None, False), (3, None, True), (4, None, True),
            (5, "still here", False),
        ]  # fmt: skip
    (conversation,) = room.call("bob", "select chat.sync(%s)", cursor)["conversations"]
    assert conversation["resync"]


def test_it_goes_in_batches_that_can_be_cut_off(room):
    with room.database.acting(room.ids["alice"]) as connection:
        connection.execute(
            "select chat.send_message(%s, 'x' || n) from generate_series(1, 50) as n", (room.id,)
        )
    with psycopg.connect(room.database.url) as connection:
        connection.execute("select chat.erase_user(%s, 10)", (room.ids["alice"],))
        connection.rollback()
    certificate, batches = erase(room, "alice", 10)
    assert batches >= 6
    assert certificate["counts"]["messages"] == 53
    room.check()


def test_who_is_not_there_is_not_erased(database):
    with pytest.raises(psycopg.Error) as error:
        database.owner.execute("select chat.erase_user(gen_random_uuid())")
    assert error.value.diag.message_detail == "user_not_found"


@pytest.mark.parametrize("scope", ["user", "conversation", "tenant"])
def test_nobody_who_is_held_is_erased(room, scope):
    held = {"user": {"user_id": room.ids["alice"]}, "conversation": {"conversation_id": room.id}}
    columns = held.get(scope, {})
    names = "".join(f", {name}" for name in columns)
    room.owner(
        f"insert into chat.legal_holds (tenant_id, reason{names})"
        f" values (%s, 'a case'{', %s' * len(columns)})",
        TENANT, *columns.values(),
    )  # fmt: skip
    before = found(room, [MARK])
    assert before
    with pytest.raises(psycopg.Error) as error:
        erase(room, "alice")
    assert error.value.diag.message_detail == "under_legal_hold"
    assert found(room, [MARK]) == before
