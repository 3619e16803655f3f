"""Attachments: uploaded first, sent once, within limits, unreadable and queued when gone."""

from __future__ import annotations

import json
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

TENANT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def pair(database):
    """Two users and their direct conversation."""
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        (room,) = connection.execute("select (chat.start_direct(username => 'bob')).id").fetchone()
    return database, alice, bob, str(room)


def path_in(room, name="photo.jpg", tenant=TENANT):
    """A path of its own in a conversation's folder."""
    return f"{tenant}/{room}/{uuid.uuid4()}/{name}"


def upload(database, user, path, mime_type="image/jpeg", size=1000, **more):
    """What the Storage server does: asks as the user, then writes the row as itself."""
    probe = {"mimetype": mime_type, "contentLength": size}
    with database.acting(user) as connection:
        connection.execute(
            "insert into storage.objects (bucket_id, name, owner_id, version, metadata) "
            "values ('chat-attachments', %s, %s, '1', %s)",
            (path, user, json.dumps(probe)),
        )
    database.owner.execute(
        "update storage.objects set metadata = %s where name = %s",
        (json.dumps({"mimetype": mime_type, "size": size, **more}), path),
    )
    return path


def send(connection, room, *attachments, message_id=None, **more):
    """The stored message, as a dict. Attachments are paths or dicts."""
    arguments = {
        "conversation_id": room,
        "attachments": json.dumps(
            [{"path": each} if isinstance(each, str) else each for each in attachments]
        ),
        "id": message_id,
        **more,
    }
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    return connection.execute(
        f"select to_jsonb(m) from chat.send_attachments({named}) as m", arguments
    ).fetchone()[0]


def attached(connection, room, seq=1):
    """What a user reads of a message's attachments."""
    return [
        row[0]
        for row in connection.execute(
            "select to_jsonb(a) from chat.attachments as a "
            "where conversation_id = %s and message_seq = %s order by position",
            (room, seq),
        ).fetchall()
    ]


def objects(database, user):
    """Names of the objects that a user can read."""
    with database.acting(user) as connection:
        return {row[0] for row in connection.execute("select name from storage.objects").fetchall()}


def orphans(database):
    return dict(
        database.owner.execute(
            "select path, is_restorable from chat_private.orphaned_objects"
        ).fetchall()
    )


def state(database):
    """Everything a refused call must leave as it was."""
    return [
        database.owner.execute(f"select t::text from {table} as t order by 1").fetchall()
        for table in (
            "chat.messages",
            "chat.attachments",
            "chat.conversations",
            "storage.objects",
            "realtime.messages",
            "chat_private.orphaned_objects",
        )
    ]


def refused(database, user, room, *attachments, **more):
    """The code of a refusal that changed nothing."""
    before = state(database)
    with database.acting(user) as connection, pytest.raises(psycopg.Error) as error:
        send(connection, room, *attachments, **more)
    assert state(database) == before
    return error.value.sqlstate, error.value.diag.message_detail


def test_the_bucket_is_private_and_has_the_defaults_limits(database):
    assert database.owner.execute(
        "select b.public, b.file_size_limit = s.attachment_max_bytes, "
        "b.allowed_mime_types = s.attachment_mime_types "
        "from storage.buckets as b, chat.settings as s where b.id = 'chat-attachments'"
    ).fetchone() == (False, True, True)


def test_files_are_sent_with_what_the_server_measured(pair):
    database, alice, bob, room = pair
    first = upload(database, alice, path_in(room), "IMAGE/JPEG;charset=x", 1234)
    second = upload(database, alice, path_in(room, "b.png"), "image/png", 5)
    told = {
        "path": second,
        "name": "Übersicht.png",
        "width": 640,
        "height": 480,
        "sha256": "ab" * 32,
        "size_bytes": 99,
        "mime_type": "text/html",
    }
    with database.acting(alice) as connection:
        message = send(connection, room, first, told, body="two photos")
    assert (message["kind"], message["body"], message["seq"]) == ("image", "two photos", 1)
    with database.acting(bob) as connection:
        one, two = attached(connection, room)
    assert (one["path"], one["name"], one["position"]) == (first, "photo.jpg", 1)
    assert (one["mime_type"], one["size_bytes"]) == ("image/jpeg", 1234)
    assert (two["path"], two["name"], two["position"]) == (second, "Übersicht.png", 2)
    assert (two["mime_type"], two["size_bytes"]) == ("image/png", 5)
    assert (two["width"], two["height"], two["sha256"]) == (640, 480, "ab" * 32)
    assert objects(database, bob) == {first, second}


def test_text_is_optional_and_a_reply_may_have_files(pair):
    database, alice, _, room = pair
    with database.acting(alice) as connection:
        connection.execute("select chat.send_message(%s, 'question')", (room,))
        path = upload(database, alice, path_in(room))
        message = send(connection, room, path, reply_to_seq=1, metadata='{"alt": "a cat"}')
    assert (message["body"], message["reply_to_seq"]) == (None, 1)
    assert message["metadata"] == {"alt": "a cat"}


@pytest.mark.parametrize(
    ("types", "kind", "stored"),
    [
        (["image/png", "image/gif"], None, "image"),
        (["video/mp4"], None, "video"),
        (["audio/ogg", "audio/mpeg"], None, "audio"),
        (["audio/ogg", "image/png"], None, "file"),
        (["application/pdf"], None, "file"),
        (["image/png"], "file", "file"),
    ],
)
def test_the_kind_follows_the_files(pair, types, kind, stored):
    database, alice, _, room = pair
    database.owner.execute("update chat.settings set attachment_mime_types = %s", (types,))
    paths = [upload(database, alice, path_in(room), each) for each in types]
    with database.acting(alice) as connection:
        assert send(connection, room, *paths, kind=kind)["kind"] == stored


def test_an_event_tells_of_the_files_with_a_rev_of_its_own(pair):
    database, alice, bob, room = pair
    path = upload(database, alice, path_in(room))
    with database.acting(alice) as connection:
        message = send(connection, room, path)
    rows = database.owner.execute(
        "select event, topic, payload from realtime.messages "
        "where payload ->> 'seq' = '1' order by (payload ->> 'rev')::bigint, topic"
    ).fetchall()
    assert [row[0] for row in rows] == ["message_created"] * 3 + ["attachments_added"] * 3
    assert {row[1] for row in rows} == {f"conversation:{room}:1", f"user:{alice}", f"user:{bob}"}
    assert {row[2]["rev"] for row in rows[:3]} == {message["rev"] - 1}
    assert {row[2]["rev"] for row in rows[3:]} == {message["rev"]}
    assert rows[-1][2]["attachments"][0]["path"] == path
    assert database.owner.execute(
        "select rev from chat.conversations where id = %s", (room,)
    ).fetchone() == (message["rev"],)


class TestRetries:
    def test_same_id_returns_the_stored_message(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            first = send(connection, room, path, message_id=message_id)
            before = state(database)
            assert send(connection, room, path, message_id=message_id) == first
            # Whatever else it says now.
            assert send(connection, room, message_id=message_id, body="x") == first
        assert state(database) == before

    def test_same_id_after_the_message_was_deleted(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            send(connection, room, path, message_id=message_id)
            connection.execute("select chat.delete_message(%s, 1)", (room,))
            again = send(connection, room, path, message_id=message_id)
        assert again["deleted_at"] is not None

    def test_same_id_by_another_sender_is_refused(self, pair):
        database, alice, bob, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            send(connection, room, upload(database, alice, path_in(room)), message_id=message_id)
        path = upload(database, bob, path_in(room))
        code = refused(database, bob, room, path, message_id=message_id)
        assert code == ("PT409", "message_id_taken")

    def test_the_first_attempt_rolled_back(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            with connection.transaction(force_rollback=True):
                send(connection, room, path, message_id=message_id)
            assert send(connection, room, path, message_id=message_id)["seq"] == 1

    def test_two_attempts_at_once(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        path = upload(database, alice, path_in(room))
        barrier = threading.Barrier(8)

        def attempt(_):
            with database.acting(alice) as connection:
                barrier.wait(20)
                return send(connection, room, path, message_id=message_id)["seq"]

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(attempt, range(8))) == [1] * 8
        assert database.owner.execute("select count(*) from chat.attachments").fetchone() == (1,)

    def test_one_upload_in_many_messages_at_once_is_in_one(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        barrier = threading.Barrier(6)

        def attempt(_):
            with database.acting(alice) as connection:
                barrier.wait(20)
                try:
                    return send(connection, room, path)["seq"]
                except psycopg.Error as error:
                    return error.diag.message_detail

        with ThreadPoolExecutor(6) as pool:
            got = list(pool.map(attempt, range(6)))
        assert sorted(map(str, got)) == ["1"] + ["attachment_taken"] * 5
        assert database.owner.execute("select count(*) from chat.messages").fetchone() == (1,)


class TestRefused:
    def test_nothing_to_attach(self, pair):
        database, alice, _, room = pair
        required = ("22023", "attachments_required")
        assert refused(database, alice, room) == required
        for wrong in ("null", "{}", '"x"', '["x"]', "[{}]", '[{"path": 1}]', '[{"path": null}]'):
            before = state(database)
            with database.acting(alice) as connection, pytest.raises(psycopg.Error) as error:
                connection.execute("select chat.send_attachments(%s, %s::jsonb)", (room, wrong))
            assert (error.value.sqlstate, error.value.diag.message_detail) == required
            assert state(database) == before

    def test_too_many(self, pair):
        database, alice, _, room = pair
        paths = [upload(database, alice, path_in(room)) for _ in range(11)]
        assert refused(database, alice, room, *paths) == ("22023", "too_many_attachments")
        with database.acting(alice) as connection:
            send(connection, room, *paths[:10])
        database.owner.execute("update chat.settings set attachments_per_message = 0")
        assert refused(database, alice, room, paths[10])[1] == "too_many_attachments"

    def test_of_somebody_else(self, pair):
        database, alice, bob, room = pair
        path = upload(database, bob, path_in(room))
        assert refused(database, alice, room, path) == ("PT404", "attachment_not_found")

    def test_of_nobody_or_nowhere(self, pair):
        database, alice, _, room = pair
        mine = upload(database, alice, path_in(room))
        assert refused(database, alice, room, path_in(room))[1] == "attachment_not_found"
        assert refused(database, alice, room, mine, path_in(room))[1] == "attachment_not_found"
        assert refused(database, alice, room, mine, mine)[1] == "attachment_not_found"

    def test_from_another_conversation_s_folder(self, pair):
        database, alice, _, room = pair
        with database.acting(alice) as connection:
            (group,) = connection.execute("select (chat.start_group('Group')).id").fetchone()
        path = upload(database, alice, path_in(group))
        assert refused(database, alice, room, path)[1] == "attachment_not_found"

    def test_from_another_bucket(self, pair):
        database, alice, _, room = pair
        path = path_in(room)
        database.owner.execute("insert into storage.buckets (id, name) values ('other', 'other')")
        database.owner.execute(
            "insert into storage.objects (bucket_id, name, owner_id, metadata) "
            """values ('other', %s, %s, '{"size": 1, "mimetype": "image/png"}')""",
            (path, alice),
        )
        assert refused(database, alice, room, path)[1] == "attachment_not_found"

    def test_attached_already(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            send(connection, room, path)
        assert refused(database, alice, room, path) == ("PT409", "attachment_taken")

    def test_not_again_after_the_message_is_gone(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            send(connection, room, path)
            connection.execute("select chat.delete_message(%s, 1)", (room,))
        assert refused(database, alice, room, path)[1] == "attachment_taken"
        database.owner.execute("delete from chat.messages")
        assert refused(database, alice, room, path)[1] == "attachment_taken"

    def test_too_large(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room), size=10_485_760)
        with database.acting(alice) as connection:
            send(connection, room, path)
        path = upload(database, alice, path_in(room))
        database.owner.execute(
            "update storage.objects set metadata = metadata || '{\"size\": 10485761}' "
            "where name = %s",
            (path,),
        )
        assert refused(database, alice, room, path) == ("22023", "attachment_too_large")

    def test_of_a_type_that_is_not_allowed(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        database.owner.execute("update chat.settings set attachment_mime_types = '{image/png}'")
        assert refused(database, alice, room, path) == ("22023", "attachment_type_not_allowed")

    @pytest.mark.parametrize("metadata", [None, "{}", '{"size": 1}', '{"mimetype": "image/png"}'])
    def test_not_uploaded_completely(self, pair, metadata):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        database.owner.execute("update storage.objects set metadata = %s", (metadata,))
        assert refused(database, alice, room, path)[1] == "attachment_not_found"

    @pytest.mark.parametrize(
        ("told", "constraint"),
        [
            ({"name": ""}, "attachments_name_check"),
            ({"name": "a/b"}, "attachments_name_check"),
            ({"name": "a\nb"}, "attachments_name_check"),
            ({"name": "x" * 256}, "attachments_name_check"),
            ({"sha256": "abc"}, "attachments_sha256_check"),
            ({"width": 1}, "attachments_dimensions_check"),
            ({"width": 0, "height": 1}, "attachments_dimensions_check"),
            ({"width": 1, "height": 100_001}, "attachments_dimensions_check"),
            ({"duration_seconds": -1}, "attachments_duration_seconds_check"),
            ({"duration_seconds": "NaN"}, "attachments_duration_seconds_check"),
        ],
    )
    def test_what_a_sender_may_say_of_a_file(self, pair, told, constraint):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        before = state(database)
        with database.acting(alice) as connection, pytest.raises(psycopg.Error) as error:
            send(connection, room, {"path": path, **told})
        assert error.value.sqlstate == "23514"
        assert error.value.diag.constraint_name == constraint
        assert state(database) == before

    def test_who_may_not_send(self, pair):
        database, alice, _, room = pair
        path = upload(database, alice, path_in(room))
        database.owner.execute("update chat.conversations set status = 'closed'")
        assert refused(database, alice, room, path) == ("42501", "conversation_closed")
        assert refused(database, database.user("stranger"), room, path)[0] == "PT404"
        assert refused(database, None, room, path)[1] == "sign_in_required"


def test_even_the_owner_of_the_tables_files_by_conversation(pair):
    database, alice, _, room = pair
    with database.acting(alice) as connection:
        connection.execute("select chat.send_message(%s, 'hello')", (room,))
    for path in (path_in(uuid.uuid4()), f"{room}/x", f"{TENANT}/{room}/x/y", "x"):
        with pytest.raises(psycopg.errors.CheckViolation) as error:
            database.owner.execute(
                "insert into chat.attachments (conversation_id, message_seq, position, path, "
                "name, mime_type, size_bytes) values (%s, 1, 1, %s, 'x', 'a/b', 1)",
                (room, path),
            )
        assert error.value.diag.constraint_name == "attachments_path_check"


class TestRemoving:
    def test_deleting_a_message_hides_and_queues_its_files(self, pair):
        database, alice, bob, room = pair
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            send(connection, room, path)
            assert objects(database, bob) == {path}
            connection.execute("select chat.delete_message(%s, 1)", (room,))
            assert attached(connection, room) == []
        assert objects(database, alice) == objects(database, bob) == set()
        assert orphans(database) == {path: True}

    def test_a_restored_message_has_its_files_back(self, pair):
        database, alice, bob, room = pair
        path = upload(database, alice, path_in(room))
        with database.acting(alice) as connection:
            send(connection, room, path, body="look")
            connection.execute("select chat.delete_message(%s, 1)", (room,))
        database.owner.execute("update chat.messages set deleted_at = null, body = 'look'")
        assert orphans(database) == {}
        assert objects(database, bob) == {path}

    @pytest.mark.parametrize(
        "purge", ["chat.messages", "chat.attachments", "chat.conversations", "chat.tenants"]
    )
    def test_purging_queues_for_good(self, pair, purge):
        database, alice, bob, room = pair
        kept, deleted = (upload(database, alice, path_in(room)) for _ in range(2))
        with database.acting(alice) as connection:
            send(connection, room, kept)
            send(connection, room, deleted)
            connection.execute("select chat.delete_message(%s, 2)", (room,))
        database.owner.execute(f"delete from {purge}")
        assert orphans(database) == {kept: False, deleted: False}
        # Its uploader included, until the worker has removed it.
        assert objects(database, alice) == objects(database, bob) == set()
