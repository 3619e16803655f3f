"""Whose files one may see and take back, row by row, as the Storage server asks."""

from __future__ import annotations

import json
import uuid

import psycopg
import pytest

TENANT = "00000000-0000-4000-8000-000000000001"
INSERT = (
    "insert into storage.objects (bucket_id, name, owner_id, metadata)"
    " values (%(bucket)s, %(path)s, %(owner)s, %(metadata)s)"
)
METADATA = json.dumps({"size": 1, "mimetype": "image/png"})


@pytest.fixture
def files(database):
    """In a direct conversation alice has sent one file and not another; nor has bob his."""
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        (room,) = connection.execute(
            "select (chat.start_direct(username => 'bob')).id::text"
        ).fetchone()
    # The bucket of somebody's app, with a file of bob's in it.
    database.owner.execute("insert into storage.buckets (id, name) values ('app', 'app')")
    made = {}
    for name, owner, bucket in (
        ("sent", alice, "chat-attachments"),
        ("alice's", alice, "chat-attachments"),
        ("bob's", bob, "chat-attachments"),
        ("app's", bob, "app"),
    ):
        made[name] = f"{TENANT}/{room}/{uuid.uuid4()}/a.png"
        database.owner.execute(
            INSERT, {"bucket": bucket, "path": made[name], "owner": owner, "metadata": METADATA}
        )
    with database.acting(alice) as connection:
        connection.execute(
            "select chat.send_attachments("
            "%s, jsonb_build_array(jsonb_build_object('path', %s::text)))",
            (room, made["sent"]),
        )
    return database, {"alice": alice, "bob": bob, "room": room}, made


def names(made, rows):
    by_path = {path: name for name, path in made.items()}
    return {by_path[path] for (path,) in rows}


@pytest.mark.parametrize(
    ("person", "seen", "deleted"),
    [("alice", {"sent", "alice's"}, {"alice's"}), ("bob", {"sent", "bob's"}, {"bob's"})],
)
def test_what_one_sees_and_takes_back(files, person, seen, deleted):
    database, users, made = files
    with database.acting(users[person]) as connection:
        found = connection.execute("select name from storage.objects").fetchall()
        assert names(made, found) == seen
        connection.execute("set storage.allow_delete_query = 'true'")
        gone = connection.execute("delete from storage.objects returning name").fetchall()
        assert names(made, gone) == deleted
    left = database.owner.execute("select name from storage.objects").fetchall()
    assert names(made, left) == set(made) - deleted


def test_a_policy_of_the_project_s_own_lets_nobody_take_back_more(files):
    database, users, made = files
    database.owner.execute(
        'create policy "app: all" on storage.objects for select to authenticated using (true)'
    )
    with database.acting(users["bob"]) as connection:
        connection.execute("set storage.allow_delete_query = 'true'")
        gone = connection.execute("delete from storage.objects returning name").fetchall()
    assert names(made, gone) == {"bob's"}


def test_who_sees_nothing_of_a_message_sees_nothing_of_its_files(files):
    database, users, made = files
    database.owner.execute("update chat.messages set expires_at = now() - interval '1 ms'")
    for person, seen in (("alice", {"alice's"}), ("bob", {"bob's"})):
        with database.acting(users[person]) as connection:
            found = connection.execute("select name from storage.objects").fetchall()
        assert names(made, found) == seen


def test_nobody_changes_a_file_that_is_there(files):
    database, users, _ = files
    before = database.owner.execute(
        "select o::text from storage.objects as o order by 1"
    ).fetchall()
    for person in ("alice", "bob"):
        with database.acting(users[person]) as connection:
            done = connection.execute("update storage.objects set metadata = '{}'")
            assert done.rowcount == 0
    after = database.owner.execute("select o::text from storage.objects as o order by 1").fetchall()
    assert after == before


@pytest.mark.parametrize("what", ["bucket", "owner", "path", "taken"])
def test_one_uploads_in_one_s_own_name_where_it_belongs(files, what):
    database, users, made = files
    right = {
        "bucket": "chat-attachments",
        "path": f"{TENANT}/{users['room']}/{uuid.uuid4()}/b.png",
        "owner": users["bob"],
        "metadata": METADATA,
    }
    wrong = {
        "bucket": {"bucket": "app"},
        "owner": {"owner": users["alice"]},
        "path": {"path": f"{TENANT}/{uuid.uuid4()}/{uuid.uuid4()}/b.png"},
        "taken": {"path": made["sent"]},
    }[what]
    if what == "taken":
        # Its object is gone, and what it was sent as is not.
        database.owner.execute("set storage.allow_delete_query = 'true'")
        database.owner.execute("delete from storage.objects where name = %s", (made["sent"],))
    with database.acting(users["bob"]) as connection:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(INSERT, {**right, **wrong})
        connection.execute(INSERT, right)
