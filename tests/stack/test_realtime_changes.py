"""postgres_changes: committed changes of published tables, for who may see them."""

from __future__ import annotations

import re
from collections.abc import Iterator

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
