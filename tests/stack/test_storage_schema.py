"""Schema storage as applications use it: policies, helpers, lists, what is refused."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

USER = str(uuid.UUID(int=1))
OTHER = str(uuid.UUID(int=2))


@pytest.fixture
def db(stack: Any) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as postgres that is rolled back."""
    with psycopg.connect(stack.db_url) as connection, connection.transaction(force_rollback=True):
        yield connection


@pytest.fixture
def bucket(db: psycopg.Connection[Any]) -> str:
    """An empty private bucket."""
    db.execute("insert into storage.buckets (id, name) values ('probe', 'probe')")
    return "probe"


def read(db: psycopg.Connection[Any], expression: str, *values: object) -> Any:
    row = db.execute(f"select {expression}", values).fetchone()
    assert row is not None
    return row[0]


def put(db: psycopg.Connection[Any], bucket: str, *names: str) -> None:
    for name in names:
        db.execute(
            "insert into storage.objects (bucket_id, name, metadata) values (%s, %s, %s)",
            (bucket, name, json.dumps({"size": len(name)})),
        )


def act_as(db: psycopg.Connection[Any], user_id: str | None) -> None:
    """Role and claims for the rest of the transaction, as the Storage server sets them."""
    role = "authenticated" if user_id else "anon"
    db.execute(
        "select set_config('request.jwt.claims', %s, true), set_config('role', %s, true)",
        (json.dumps({"role": role, "sub": user_id} if user_id else {"role": role}), role),
    )


@pytest.mark.parametrize(
    ("name", "folders", "filename", "extension"),
    [
        ("a/b/c.tar.gz", ["a", "b"], "c.tar.gz", "gz"),
        ("c.txt", [], "c.txt", "txt"),
        ("a/readme", ["a"], "readme", "readme"),
        ("a/", ["a"], "", ""),
        ("", [], "", ""),
        ("a.b/c", ["a.b"], "c", "c"),
    ],
)
def test_parts_of_a_name(
    db: psycopg.Connection[Any], name: str, folders: list[str], filename: str, extension: str
) -> None:
    assert read(db, "storage.foldername(%s)", name) == folders
    assert read(db, "storage.filename(%s)", name) == filename
    assert read(db, "storage.extension(%s)", name) == extension


def test_operations(db: psycopg.Connection[Any]) -> None:
    assert not read(db, "storage.allow_only_operation('storage.object.upload')")
    db.execute("select set_config('storage.operation', 'storage.object.upload', true)")
    assert read(db, "storage.operation()") == "storage.object.upload"
    for name in ("storage.object.upload", "object.upload"):
        assert read(db, "storage.allow_only_operation(%s)", name)
        assert read(db, "storage.allow_any_operation(%s)", ["object.list", name])
    for name in ("object.list", "upload", "", None):
        assert not read(db, "storage.allow_only_operation(%s)", name)
    assert not read(db, "storage.allow_any_operation('{}')")


def test_every_table_has_row_security_and_one_owner(db: psycopg.Connection[Any]) -> None:
    rows = db.execute(
        """select relname, relrowsecurity, relowner::regrole::text from pg_catalog.pg_class
        where relnamespace = 'storage'::regnamespace and relkind = 'r'"""
    ).fetchall()
    assert {"buckets", "objects", "migrations"} <= {row[0] for row in rows}
    assert [row for row in rows if row[1:] != (True, "supabase_storage_admin")] == []


def test_without_policies_nobody_sees_or_adds_anything(
    db: psycopg.Connection[Any], bucket: str
) -> None:
    put(db, bucket, "a.txt")
    for user_id in (USER, None):
        with db.transaction(force_rollback=True):
            act_as(db, user_id)
            assert read(db, "count(*) from storage.objects where bucket_id = %s", bucket) == 0
            assert read(db, "count(*) from storage.buckets where id = %s", bucket) == 0
            with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
                put(db, bucket, "b.txt")
    db.execute("set local role service_role")
    assert read(db, "count(*) from storage.objects where bucket_id = %s", bucket) == 1


def test_policies_as_in_the_manual(db: psycopg.Connection[Any], bucket: str) -> None:
    db.execute(
        """
        create policy "probe: own folder" on storage.objects for insert to authenticated
        with check (
            bucket_id = 'probe' and (storage.foldername(name))[1] = (select auth.uid())::text
        );
        create policy "probe: own" on storage.objects for select to authenticated
        using (bucket_id = 'probe' and (storage.foldername(name))[1] = (select auth.uid())::text)
        """
    )
    act_as(db, USER)
    put(db, bucket, f"{USER}/a.txt")
    assert read(db, "path_tokens from storage.objects where name = %s", f"{USER}/a.txt") == [
        USER,
        "a.txt",
    ]
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        put(db, bucket, f"{OTHER}/a.txt")
    act_as(db, OTHER)
    assert read(db, "count(*) from storage.objects where bucket_id = %s", bucket) == 0


def test_a_probe_says_yes_or_no_and_leaves_nothing(
    db: psycopg.Connection[Any], bucket: str
) -> None:
    probe = "storage.can_insert_object(%s, 'a.txt', %s, '{}')"
    with pytest.raises(psycopg.Error) as yes, db.transaction():
        read(db, probe, bucket, uuid.UUID(USER))
    assert yes.value.sqlstate == "PT200"
    assert read(db, "count(*) from storage.objects where bucket_id = %s", bucket) == 0
    act_as(db, USER)
    with pytest.raises(psycopg.errors.InsufficientPrivilege), db.transaction():
        read(db, probe, bucket, uuid.UUID(USER))


def test_a_name_is_taken_once_in_a_bucket(db: psycopg.Connection[Any], bucket: str) -> None:
    put(db, bucket, "a.txt")
    with pytest.raises(psycopg.errors.UniqueViolation) as refused, db.transaction():
        put(db, bucket, "a.txt")
    assert refused.value.diag.constraint_name == "bucketid_objname"
    with pytest.raises(psycopg.errors.UniqueViolation), db.transaction():
        db.execute("insert into storage.buckets (id, name) values ('other', 'probe')")
    with pytest.raises(psycopg.errors.ForeignKeyViolation), db.transaction():
        put(db, "nowhere", "a.txt")


@pytest.mark.parametrize("table", ["objects", "buckets"])
def test_rows_are_deleted_by_the_server_alone(
    db: psycopg.Connection[Any], bucket: str, table: str
) -> None:
    column = "bucket_id" if table == "objects" else "id"
    delete = f"delete from storage.{table} where {column} = %s"
    if table == "objects":
        put(db, bucket, "a.txt")
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="Storage API"), db.transaction():
        db.execute(delete, (bucket,))
    assert read(db, f"count(*) from storage.{table} where {column} = %s", bucket) == 1
    db.execute("select set_config('storage.allow_delete_query', 'true', true)")
    assert db.execute(delete, (bucket,)).rowcount == 1


def test_an_update_moves_its_time(db: psycopg.Connection[Any], bucket: str) -> None:
    put(db, bucket, "a.txt")
    db.execute("update storage.objects set updated_at = '2020-01-01' where bucket_id = 'probe'")
    assert read(db, "updated_at = now() from storage.objects where bucket_id = 'probe'")


def test_a_bucket_s_name_has_a_hundred_characters(db: psycopg.Connection[Any]) -> None:
    db.execute("insert into storage.buckets (id, name) values ('x', %s)", ("x" * 100,))
    with pytest.raises(psycopg.errors.RaiseException, match="too long"), db.transaction():
        db.execute("insert into storage.buckets (id, name) values ('y', %s)", ("y" * 101,))


class TestLists:
    @pytest.fixture
    def filled(self, db: psycopg.Connection[Any], bucket: str) -> str:
        put(db, bucket, "a.txt", "B.txt", "c/1.txt", "c/2.txt", "c/d/3.txt", "e_f.txt", "exf.txt")
        return bucket

    def names(self, db: psycopg.Connection[Any], call: str) -> list[str]:
        return [row[0] for row in db.execute(f"select name from storage.{call}").fetchall()]

    def test_search_one_level(self, db: psycopg.Connection[Any], filled: str) -> None:
        rows = db.execute("select name, id is null from storage.search('', 'probe')").fetchall()
        assert rows == [
            ("B.txt", False),
            ("a.txt", False),
            ("c", True),
            ("e_f.txt", False),
            ("exf.txt", False),
        ]
        assert self.names(db, "search('c/', 'probe', 100, 2)") == ["1.txt", "2.txt", "d"]
        assert self.names(db, "search('C/', 'probe', 100, 2, 1, '', 'name', 'desc')") == [
            "2.txt",
            "1.txt",
        ]

    def test_search_text_is_literal_and_ignores_case(
        self, db: psycopg.Connection[Any], filled: str
    ) -> None:
        assert self.names(db, "search('', 'probe', 100, 1, 0, 'e_')") == ["e_f.txt"]
        assert self.names(db, "search('', 'probe', 100, 1, 0, 'b')") == ["B.txt"]
        assert self.names(db, "search('', 'probe', 100, 1, 0, '%')") == []

    def test_search_by_time_puts_folders_first(
        self, db: psycopg.Connection[Any], filled: str
    ) -> None:
        names = self.names(db, "search('', 'probe', 100, 1, 0, '', 'created_at', 'desc')")
        assert names[0] == "c"
        # What is no column is not looked at.
        assert len(self.names(db, "search('', 'probe', 9, 1, 0, '', '1; drop', 'x')")) == 5

    def test_with_a_delimiter_page_by_page(self, db: psycopg.Connection[Any], filled: str) -> None:
        names, last = [], ""
        while page := self.names(
            db, f"list_objects_with_delimiter('probe', '', '/', 2, '', '{last}')"
        ):
            names += page
            last = page[-1]
        assert names == ["B.txt", "a.txt", "c/", "e_f.txt", "exf.txt"]
        assert self.names(db, "list_objects_with_delimiter('probe', 'c/', '/')") == [
            "c/1.txt",
            "c/2.txt",
            "c/d/",
        ]
        assert self.names(db, "list_objects_with_delimiter('probe', 'c/', '')") == [
            "c/1.txt",
            "c/2.txt",
            "c/d/3.txt",
        ]

    def test_second_version(self, db: psycopg.Connection[Any], filled: str) -> None:
        rows = db.execute(
            "select key, name, id is null from storage.search_v2('c/', 'probe', 100, 2)"
        ).fetchall()
        assert rows == [
            ("1.txt", "c/1.txt", False),
            ("2.txt", "c/2.txt", False),
            ("d", "c/d/", True),
        ]
        assert self.names(db, "search_v2('c/', 'probe', 100, 2, 'c/1.txt')") == [
            "c/2.txt",
            "c/d/",
        ]
        assert self.names(db, "search_v2('c/', 'probe', 1, 2, '', 'desc')") == ["c/d/"]
        by_time = "search_v2('c/', 'probe', 100, 2, '{}', 'asc', 'created_at', '{}')"
        assert self.names(db, by_time.format("", "")) == ["c/1.txt", "c/2.txt", "c/d/"]
        now = read(db, "date_trunc('milliseconds', now())::text")
        assert self.names(db, by_time.format("c/1.txt", now)) == ["c/2.txt", "c/d/"]

    def test_lists_show_what_the_caller_can_select(
        self, db: psycopg.Connection[Any], filled: str
    ) -> None:
        act_as(db, USER)
        for call in (
            "search('', 'probe')",
            "search_v2('', 'probe')",
            "list_objects_with_delimiter('probe', '', '/')",
        ):
            assert self.names(db, call) == []
        sizes = db.execute("select * from storage.get_size_by_bucket()").fetchall()
        assert filled not in [row[1] for row in sizes]

    def test_sizes(self, db: psycopg.Connection[Any], filled: str) -> None:
        assert (47, "probe") in db.execute("select * from storage.get_size_by_bucket()").fetchall()
