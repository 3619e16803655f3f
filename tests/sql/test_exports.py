"""Exporting a person: everything the manifest declares theirs, and nothing of anybody else."""

from __future__ import annotations

import json
import threading
from collections import Counter

import psycopg
import pytest
from psycopg.types.json import Jsonb

from support.retention import TENANT, Room, found, make_full_room
from support.stacks import eventually

MARK = "quetzalcoatl"
OTHER = "axolotl"


@pytest.fixture
def room(database) -> Room:
    """Alice wrote, and so did bob, with other words; he also had to do with her."""
    room = make_full_room(database, MARK)
    room.send("bob", OTHER, mentions=[room.ids["alice"]])
    seq = room.send("bob", f"{OTHER} 2")
    room.call("bob", "select (chat.edit_message(%s, %s, %s)).seq", room.id, seq, f"{OTHER} 3")
    room.call("bob", "select (chat.report_message(%s, 3, 'spam', %s)).id", room.id, OTHER)
    with room.database.acting(room.ids["bob"]) as connection:
        connection.execute(
            "insert into chat.drafts (conversation_id, body) values (%s, %s)", (room.id, OTHER)
        )
        connection.execute(
            "insert into chat.saved_messages (conversation_id, message_seq, note)"
            " values (%s, 3, %s)", (room.id, OTHER),
        )  # fmt: skip
        connection.execute("select chat.schedule_message(%s, '2027-02-01', %s)", (room.id, OTHER))
        connection.execute("select chat.register_device(gen_random_uuid(), 'fcm', %s)", (OTHER,))
        connection.execute("insert into chat.blocks values (%s, %s)",
                           (room.ids["bob"], room.ids["alice"]))  # fmt: skip
    with room.database.acting(room.ids["alice"]) as connection:
        connection.execute("insert into chat.blocks values (%s, %s)",
                           (room.ids["alice"], room.ids["carol"]))  # fmt: skip
        connection.execute("select chat.report_user(%s, 'spam', %s)", (room.ids["bob"], MARK))
    room.owner(
        "insert into storage.objects (bucket_id, name, owner_id, version)"
        " select 'chat-attachments', %s || '/' || %s || '/' || gen_random_uuid() || %s, %s, '1'",
        TENANT, room.id, f"/{OTHER}.png", room.ids["bob"],
    )  # fmt: skip
    return room


def begin(room: Room, name: str) -> str:
    return str(room.call(name, "select (chat.begin_export()).id"))


def read(room: Room, export_id: str, size: int = 500) -> dict | None:
    ((page,),) = room.service("select chat.read_export(%s, %s)", export_id, size)
    return page


def save(room: Room, export_id: str, page: dict, name: str = "") -> int:
    cursor = None if page["cursor"] is None else Jsonb(page["cursor"])
    ((saved,),) = room.service(
        "select chat.save_export_part(%s, %s, %s, %s, %s, %s)",
        export_id, page["part"], f"{export_id}/{page['part']}{name}", page["row_count"],
        page["files"],
        cursor,
    )  # fmt: skip
    return saved


def export(room: Room, name: str, size: int = 500) -> list[dict]:
    """All lines of an export."""
    export_id, lines = begin(room, name), []
    while page := read(room, export_id, size):
        part = [json.loads(line) for line in page["text"].splitlines()]
        assert len(part) == page["row_count"] <= size + 1
        assert save(room, export_id, page) == page["part"]
        lines += part
    return lines


def test_it_has_every_declared_column_and_no_other(room):
    lines = export(room, "alice")
    texts = [MARK, room.ids["alice"]]
    exported = {
        f"{line['table']}.{column}"
        for line in lines
        for column, value in line["row"].items()
        if any(text in json.dumps(value) for text in texts) and line["table"] != "auth.users"
    }
    withheld = {
        f"{table}.{column}"
        for table, column in room.owner(
            "select table_name, column_name from chat_private.personal_data"
            " where withheld is not null"
        )
    }
    # Of a file its path says whose folder; realtime's rows go after three days.
    there = {
        key for key in found(room, texts)
        if key.startswith(("chat.", "chat_private.")) and key not in withheld
    }  # fmt: skip
    assert {"chat.messages.body", "chat.message_revisions.body", "chat.profiles.username"} <= there
    # Who reported and who was, who blocks and is blocked: withheld as somebody's, not as words.
    assert exported - withheld - {"storage.objects.name"} == there
    declared = set(
        room.owner("select table_name || '.' || column_name from chat_private.personal_data"
                   " where withheld is not null and not names_person")
    )  # fmt: skip
    assert not exported & {key for (key,) in declared}


def test_it_has_the_account_without_its_secrets(room):
    (account,) = [line["row"] for line in export(room, "alice") if line["table"] == "auth.users"]
    ((email,),) = room.owner("select email from auth.users where id = %s", room.ids["alice"])
    assert account["id"] == room.ids["alice"]
    assert account["email"] == email is not None
    assert set(account) == {
        *("id", "email", "phone", "user_metadata", "created_at", "last_sign_in_at")
    }


def test_nothing_of_others_is_in_it(room):
    lines = export(room, "alice")
    assert OTHER not in json.dumps(lines)
    by_bob = [line for line in lines if room.ids["bob"] in json.dumps(line)]
    # Her own report of him.
    assert {line["table"] for line in by_bob} == {"chat.reports"}
    blocks = [line["row"] for line in lines if line["table"] == "chat.blocks"]
    assert [row["blocked_id"] for row in blocks] == [room.ids["carol"]]


def test_what_expired_or_was_deleted_is_not_in_it(room):
    def seqs(lines, table, key):
        return sorted(line["row"][key] for line in lines if line["table"] == table)

    lines = export(room, "alice")
    assert seqs(lines, "chat.messages", "seq") == [1, 3]
    assert seqs(lines, "chat.reactions", "message_seq") == [5]
    assert len(seqs(lines, "storage.objects", "name")) == 2
    # Alice is privileged: her messages live on when those of bob do not.
    room.after(40)
    lines = export(room, "alice")
    assert seqs(lines, "chat.messages", "seq") == [1, 3]
    assert seqs(lines, "chat.reactions", "message_seq") == []
    room.after(400)
    lines = export(room, "alice")
    assert seqs(lines, "chat.messages", "seq") == []
    assert seqs(lines, "chat.attachments", "path") == []
    # What was uploaded and never sent has no end.
    assert len(seqs(lines, "storage.objects", "name")) == 1


@pytest.mark.parametrize("size", [1, 2, 7])
def test_pages_of_any_size_are_the_same_rows(room, size):
    room.send("alice", "more")
    room.call("alice", "select (chat.start_group('Second')).id")

    def rows(lines):
        return Counter(json.dumps(line, sort_keys=True) for line in lines)

    whole = rows(export(room, "alice"))
    room.owner("delete from chat.exports")
    assert rows(export(room, "alice", size)) == whole
    assert max(whole.values()) == 1


def test_it_goes_on_where_it_was_and_only_one_worker_does(room):
    export_id = begin(room, "alice")
    first = read(room, export_id, 5)
    # Killed before it was saved: the same again.
    assert read(room, export_id, 5) == first
    numbers = []
    threads = [
        threading.Thread(
            target=lambda name=name: numbers.append(save(room, export_id, first, name))
        )
        for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert numbers == [1, 1]
    ((files,),) = room.service("select chat.list_export_files(%s)", export_id)
    assert files["parts"] in ([f"{export_id}/1a"], [f"{export_id}/1b"])
    assert begin(room, "alice") == export_id
    assert read(room, export_id, 5)["part"] == 2
    assert room.owner("select part_count, row_count from chat.exports") == [(1, first["row_count"])]


def test_there_is_one_a_day(room):
    first = begin(room, "alice")
    while page := read(room, first):
        save(room, first, page)
    assert begin(room, "alice") == first
    room.after(0.99)
    assert begin(room, "alice") == first
    room.after(1.01)
    assert begin(room, "alice") != first
    assert room.owner("select count(*) from chat.exports") == [(2,)]


def test_each_has_one_of_their_own(room):
    alices, bobs = begin(room, "alice"), begin(room, "bob")
    assert alices != bobs
    assert begin(room, "alice") == alices
    with pytest.raises(psycopg.errors.UniqueViolation, match="exports_unfinished_idx"):
        room.owner("insert into chat.exports (user_id) values (%s)", room.ids["alice"])
    save(room, alices, read(room, alices))
    # What is over makes room for a new one, with what is known of it, of the same person alone.
    room.after(8)
    assert begin(room, "alice") != alices
    there = {str(export_id) for (export_id,) in room.owner("select id from chat.exports")}
    assert bobs in there
    assert alices not in there
    assert room.owner("select count(*) from chat_private.export_parts") == [(0,)]


def test_begun_twice_at_once_it_is_one(room):
    """The second waits for the first and gets its export: no older one, and nobody else's."""
    old, bobs = begin(room, "alice"), begin(room, "bob")
    while page := read(room, old):
        save(room, old, page)
    room.after(2)
    asked = "select (chat.begin_export()).id::text"
    ids = []
    with (
        room.database.acting(room.ids["alice"]) as first,
        room.database.acting(room.ids["alice"]) as second,
    ):
        waiting = threading.Thread(target=lambda: ids.append(second.execute(asked).fetchone()[0]))
        with first.transaction():
            ids.append(first.execute(asked).fetchone()[0])
            waiting.start()
            eventually(
                lambda: room.owner(
                    "select 1 from pg_stat_activity where pid = %s and wait_event_type = 'Lock'",
                    second.info.backend_pid,
                )
            )
        waiting.join()
    assert ids[0] == ids[1]
    assert ids[0] not in (old, bobs)


def test_nobody_exports_another_or_sees_how(room):
    export_id = begin(room, "alice")
    assert room.call("alice", "select count(*) from chat.exports") == 1
    assert room.call("bob", "select count(*) from chat.exports") == 0
    for name in ("bob", None):
        with (
            room.database.acting(name and room.ids[name]) as connection,
            pytest.raises(psycopg.Error) as error,
        ):
            connection.execute("select chat.begin_export(%s)", (room.ids["alice"],))
        expected = "export_not_allowed" if name else "sign_in_required"
        assert error.value.diag.message_detail == expected
    for call in (f"read_export('{export_id}')", f"list_export_files('{export_id}')",
                 f"save_export_part('{export_id}', 1, 'a', 1, '{{}}')",
                 "list_unclaimed_export_files()"):  # fmt: skip
        with (
            room.database.acting(room.ids["alice"]) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"select chat.{call}".encode())
    assert room.owner("select user_id::text, part_count from chat.exports") == [
        (room.ids["alice"], 0)
    ]


def test_support_can_and_the_log_says_so(room):
    ((done,),) = room.service("select (chat.begin_export(%s)).user_id::text", room.ids["carol"])
    assert done == room.ids["carol"]
    for nobody in (None, TENANT):
        with pytest.raises(psycopg.Error) as error:
            room.service("select chat.begin_export(%s)", nobody)
        assert error.value.diag.message_detail == "user_not_found"
    assert room.owner(
        "select actor_role, target_id::text from chat_private.audit_log"
        " where action = 'user_exported'"
    ) == [("service_role", room.ids["carol"])]


def test_the_sweep_removes_what_is_over_and_lists_its_files(room):
    export_id = begin(room, "alice")
    room.owner(
        "insert into storage.objects (bucket_id, name, version) values"
        " ('chat-exports', %s, '1')", f"{export_id}/1.ndjson"
    )  # fmt: skip
    unclaimed = "select chat.list_unclaimed_export_files()"
    page = read(room, export_id)
    room.after(6.9)
    room.sweep()
    assert room.service(unclaimed) == [([],)]
    assert room.owner("select count(*) from chat.exports") == [(1,)]
    room.after(7)
    # Over at once, swept or not.
    assert room.service(unclaimed) == [([f"{export_id}/1.ndjson"],)]
    for late in (lambda: read(room, export_id), lambda: save(room, export_id, page)):
        with pytest.raises(psycopg.Error) as error:
            late()
        assert error.value.diag.message_detail == "export_not_found"
    assert room.owner("select part_count from chat.exports") == [(0,)]
    room.sweep()
    assert room.owner("select count(*) from chat.exports") == [(0,)]


def test_who_is_erased_takes_the_export_along(room):
    export_id = begin(room, "alice")
    room.owner(
        "insert into storage.objects (bucket_id, name, version) values"
        " ('chat-exports', %s, '1')", f"{export_id}/1.ndjson"
    )  # fmt: skip
    while room.service("select chat.erase_user(%s)", room.ids["alice"])[0][0]["has_more"]:
        pass
    assert room.service("select chat.list_unclaimed_export_files()") == [
        ([f"{export_id}/1.ndjson"],)
    ]
