"""postgres_changes: committed changes of published tables, for who may see them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.realtime_changes import Changes, make_table
from support.realtime_sockets import realtime_socket
from support.stacks import Stack

VERSIONS = ["1.0.0", "2.0.0"]


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def table(sql: psycopg.Connection) -> Iterator[str]:
    """A published table in public that anybody may read, without row level security."""
    with make_table(sql) as name:
        yield name


@pytest.mark.parametrize("version", VERSIONS)
async def test_insert_update_delete(
    stack: Stack, sql: psycopg.Connection, table: str, version: str
) -> None:
    async with realtime_socket(stack, version) as socket:
        changes = await Changes.join(socket, {"event": "*", "schema": "public", "table": table})
        sql.execute(f"insert into {table} (id, body) values (1, 'a')".encode())
        sql.execute(f"update {table} set body = 'b'".encode())
        sql.execute(f"delete from {table}".encode())
        columns = [{"name": "id", "type": "int8"}, {"name": "body", "type": "text"}]
        common = {"schema": "public", "table": table, "errors": None, "columns": columns}
        rows = [
            {"type": "INSERT", "record": {"id": 1, "body": "a"}},
            {"type": "UPDATE", "record": {"id": 1, "body": "b"}, "old_record": {"id": 1}},
            {"type": "DELETE", "old_record": {"id": 1}},
        ]
        for row in rows:
            ids, data = await changes.next()
            stamp = data.pop("commit_timestamp")
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
            assert data == {**common, **row}
            assert ids == changes.ids
        await socket.is_quiet()


async def test_one_message_for_all_bindings_of_a_channel(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    """Clients compare what two callbacks get: it must be the same message."""
    bindings: list[dict[str, Any]] = [
        {"event": "*", "schema": "public", "table": table},
        {"event": "insert", "schema": "public", "table": table},
        {"event": "UPDATE", "schema": "public", "table": table},
        {"event": "INSERT", "schema": "public", "table": table, "filter": None},
        {"event": "*", "table": table},
        {"event": "*", "schema": "public"},
        {"event": "*", "schema": "*", "table": "*"},
        {"event": "*", "schema": "public", "table": table},
    ]
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, *bindings)
        assert changes.ids[0] == changes.ids[7]
        assert len(set(changes.ids)) == 7
        assert all(changes.ids)
        sql.execute(f"insert into {table} values (1)".encode())
        every = set(changes.ids)
        assert (await changes.next())[0] == sorted(every - {changes.ids[2]})
        sql.execute(f"update {table} set body = 'b'".encode())
        assert (await changes.next())[0] == sorted(
            {*changes.ids} - {changes.ids[1], changes.ids[3]}
        )
        await socket.is_quiet()


async def test_selected_columns(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, a text, b text") as table:
        base = {"event": "*", "schema": "public", "table": table}
        async with realtime_socket(stack) as socket:
            changes = await Changes.join(socket, base, {**base, "select": ["a"]})
            sql.execute(f"insert into {table} values (1, 'a', 'b')".encode())
            messages = [await changes.next(), await changes.next()]
            assert {tuple(ids): data["record"] for ids, data in messages} == {
                (changes.ids[0],): {"id": 1, "a": "a", "b": "b"},
                (changes.ids[1],): {"id": 1, "a": "a"},
            }


VALUES = {
    "small smallint": ("'7'", "int2", "7"),
    "large bigint": ("9223372036854775807", "int8", "9223372036854775807"),
    "exact numeric": ("1.000000000000000000001", "numeric", "1.000000000000000000001"),
    "real float8": ("0.1", "float8", "0.1"),
    "nan float8": ("'NaN'", "float8", '"NaN"'),
    "yes boolean": ("true", "bool", "true"),
    "nothing text": ("null", "text", "null"),
    "quoted varchar(20)": ("e'\\\"\\\\\\n\\u00e9'", "varchar", '"\\"\\\\\\né"'),
    "fixed char(3)": ("'ab'", "bpchar", '"ab "'),
    "document jsonb": ("'{\"a\": [1, null]}'", "jsonb", '{"a": [1, null]}'),
    "old json": ("'{\"a\":  1}'", "json", '{"a": 1}'),
    "texts text[]": ("array['a,b', null]", "_text", '["a,b", null]'),
    "numbers int[]": ("'{{1,2},{3,4}}'", "_int4", "[[1, 2], [3, 4]]"),
    "moment timestamptz": (
        "'2026-01-01 02:00+02'",
        "timestamptz",
        '"2026-01-01T00:00:00+00:00"',
    ),
    "local_time timestamp": ("'2026-01-01 00:00'", "timestamp", '"2026-01-01T00:00:00"'),
    "day date": ("'2026-01-02'", "date", '"2026-01-02"'),
    "span interval": ("'1 day 02:00'", "interval", '"1 day 02:00:00"'),
    "bytes bytea": ("'\\x0102'", "bytea", '"0102"'),
    "bits bit(3)": ("'101'", "bit", '"101"'),
    "key uuid": (
        "'00000000-0000-0000-0000-000000000001'",
        "uuid",
        '"00000000-0000-0000-0000-000000000001"',
    ),
    "state realtime.action": ("'INSERT'", "action", '"INSERT"'),
    "span2 int4range": ("'[1,3)'", "int4range", '"[1,3)"'),
    '"odd ""Name" int': ("1", "int4", "1"),
}


async def test_values_are_what_to_jsonb_makes_of_them(
    stack: Stack, sql: psycopg.Connection
) -> None:
    with make_table(sql, "id int primary key, " + ", ".join(VALUES)) as table:
        async with realtime_socket(stack) as socket:
            changes = await Changes.join(socket, {"event": "*", "schema": "public", "table": table})
            values = ", ".join(value for value, _, _ in VALUES.values())
            sql.execute(f"insert into {table} values (1, {values})".encode())
            frame = await socket.raw()
            data = json.loads(frame)[4]["data"]
            assert [column["type"] for column in data["columns"]] == [
                "int4",
                *(type_name for _, type_name, _ in VALUES.values()),
            ]
            # Compared as text: a number must not lose digits on its way.
            names = [json.dumps(column["name"]) for column in data["columns"]]
            texts = ["1", *(text for _, _, text in VALUES.values())]
            record = ",".join(":".join(member) for member in zip(names, texts, strict=True))
            assert f'"record":{{{record}}}' in str(frame)
            assert changes.ids == json.loads(frame)[4]["ids"]


async def next_update(
    stack: Stack, sql: psycopg.Connection, table: str, change: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Record and old record of what ``change`` does."""
    async with realtime_socket(stack) as socket:
        binding = {"event": "UPDATE", "schema": "public", "table": table}
        changes = await Changes.join(socket, binding)
        sql.execute(f"update {table} set {change}".encode())
        _, data = await changes.next()
        return data["record"], data["old_record"]


async def test_old_record_is_the_replica_identity(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, code text not null unique, body text") as table:
        sql.execute(f"insert into {table} values (1, 'x', null)".encode())
        assert (await next_update(stack, sql, table, "body = 'a'"))[1] == {"id": 1}
        assert (await next_update(stack, sql, table, "id = 2"))[1] == {"id": 1}
        sql.execute(f"alter table {table} replica identity using index {table}_code_key".encode())
        assert (await next_update(stack, sql, table, "code = 'y'"))[1] == {"code": "x"}
        sql.execute(f"alter table {table} replica identity full".encode())
        old = {"id": 2, "code": "y", "body": "a"}
        assert (await next_update(stack, sql, table, "body = null"))[1] == old
        old = {"id": 2, "code": "y", "body": None}
        assert (await next_update(stack, sql, table, "body = 'b'"))[1] == old


async def test_large_value_that_did_not_change(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, n int, body text") as table:
        sql.execute(f"alter table {table} alter body set storage external".encode())
        sql.execute(f"insert into {table} values (1, 1, repeat('x', 10000))".encode())
        record, _ = await next_update(stack, sql, table, "n = 2")
        assert record == {"id": 1, "n": 2}
        sql.execute(f"alter table {table} replica identity full".encode())
        record, old = await next_update(stack, sql, table, "n = 3")
        assert record == {"id": 1, "n": 3, "body": "x" * 10_000}
        assert old == {**record, "n": 2}


async def test_change_that_is_too_large(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, short text, long text, nothing text") as table:
        async with realtime_socket(stack) as socket:
            changes = await Changes.join(socket, {"event": "*", "schema": "public", "table": table})
            sql.execute(f"insert into {table} values (1, 'a', repeat('x', 1100000))".encode())
            _, data = await changes.next()
            assert data["errors"] == ["Error 413: Payload Too Large"]
            assert data["record"] == {"id": 1, "short": "a"}
            assert len(data["columns"]) == 4
            sql.execute(f"insert into {table} values (2, 'a', repeat('x', 1000000))".encode())
            _, data = await changes.next()
            assert data["errors"] is None
            assert data["record"]["nothing"] is None


async def test_table_without_a_primary_key(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "n int") as table:
        sql.execute(f"alter table {table} replica identity full".encode())
        async with realtime_socket(stack) as socket:
            binding = {"event": "*", "schema": "public", "table": table, "filter": "n=eq.5"}
            changes = await Changes.join(socket, binding)
            sql.execute(f"insert into {table} values (1)".encode())
            ids, data = await changes.next()
            assert ids == changes.ids
            assert data == {
                "schema": "public",
                "table": table,
                "type": "INSERT",
                "commit_timestamp": None,
                "errors": ["Error 400: Bad Request, no primary key"],
                "columns": [],
                "record": {},
            }
            sql.execute(f"delete from {table}".encode())
            await socket.is_quiet()


async def test_transactions_come_whole_and_in_order(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, {"event": "*", "schema": "public", "table": table})
        with psycopg.connect(stack.db_url) as other:
            other.execute(f"insert into {table} values (1, 'rolled back')".encode())
            other.rollback()
            other.execute(f"insert into {table} values (2), (3)".encode())
            sql.execute(f"insert into {table} values (4)".encode())
            other.commit()
        sql.execute(f"truncate {table}".encode())
        sql.execute(f"insert into {table} values (5)".encode())
        found = [(await changes.next())[1]["record"]["id"] for _ in range(4)]
        assert found == [4, 2, 3, 5]


async def test_partitions_have_their_own_names(stack: Stack, sql: psycopg.Connection) -> None:
    columns = "id int primary key) partition by range (id"
    with make_table(sql, columns) as table:
        leaf = f"create table {table}_leaf partition of {table} for values from (0) to (9)"
        sql.execute(leaf.encode())
        sql.execute(f"grant select on {table}_leaf to anon".encode())
        async with realtime_socket(stack) as socket:
            leaf_name = f"{table}_leaf"
            binding = {"event": "*", "schema": "public", "table": leaf_name}
            changes = await Changes.join(socket, binding)
            sql.execute(f"insert into {table} values (1)".encode())
            assert (await changes.next())[1]["table"] == leaf_name
