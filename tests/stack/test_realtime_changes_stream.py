"""postgres_changes over time: channels that end, streams that are cut, tables that are replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from parley_stack.realtime.changes.judge import Judge, UnavailableError
from support.realtime_changes import SUBSCRIBED, TWO_COLUMNS, Changes, make_table
from support.realtime_sockets import realtime_socket
from support.stacks import ROOT, Stack, child_pid, eventually, start_stack


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack of one's own: its publication is dropped, its server killed."""
    stack = start_stack(ROOT, "--ephemeral")
    yield stack
    stack.stop()


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def admin(stack: Stack) -> Iterator[psycopg.Connection]:
    """A superuser's connection, in autocommit."""
    url = stack.db_url.replace("postgres:postgres@", "supabase_admin:postgres@")
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def table(sql: psycopg.Connection) -> Iterator[str]:
    """A published table that anybody may read."""
    with make_table(sql) as name:
        yield name


def binding(table: str, event: str = "*") -> dict[str, Any]:
    """Changes of a table."""
    return {"event": event, "schema": "public", "table": table}


def subscriptions(sql: psycopg.Connection) -> int:
    """Rows of realtime.subscription."""
    row = sql.execute("select count(*) from realtime.subscription").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("way", ["leave", "close", "rejoin"])
async def test_channel_that_ends(
    stack: Stack, sql: psycopg.Connection, table: str, way: str
) -> None:
    async with realtime_socket(stack) as socket, realtime_socket(stack) as other:
        changes = await Changes.join(socket, binding(table, "INSERT"))
        kept = await Changes.join(other, binding(table))
        assert subscriptions(sql) == 2
        if way == "leave":
            await socket.leave(changes.topic)
        elif way == "close":
            await socket.connection.close()
        else:
            await socket.join(changes.topic)
        eventually(lambda: subscriptions(sql) == 1)
        sql.execute(f"insert into {table} values (1)".encode())
        assert (await kept.next())[1]["record"]["id"] == 1
        if way != "close":
            await socket.is_quiet()
    eventually(lambda: subscriptions(sql) == 0)


async def test_stream_that_is_cut(
    stack: Stack, sql: psycopg.Connection, admin: psycopg.Connection, table: str
) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        ended = (
            "select count(pg_terminate_backend(active_pid)) from pg_replication_slots"
            " where slot_name not like 'supabase_realtime_messages%'"
        )
        assert admin.execute(ended).fetchone() == (1,)
        # Clients hear that there may be a gap.
        assert await changes.system() == ("ok", SUBSCRIBED)
        sql.execute(f"insert into {table} values (1)".encode())
        assert (await changes.next())[1]["record"]["id"] == 1


async def test_table_that_is_made_anew(stack: Stack, sql: psycopg.Connection, table: str) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        sql.execute(f"drop table {table}".encode())
        assert (await changes.refused()).startswith("Unable to subscribe to changes with given")
        sql.execute(f"create table {table} ({TWO_COLUMNS}, more text)".encode())
        sql.execute(f"grant select on {table} to anon".encode())
        sql.execute(f"alter publication supabase_realtime add table {table}".encode())
        assert await changes.system() == ("ok", SUBSCRIBED)
        sql.execute(f"insert into {table} values (1)".encode())
        record = {"id": 1, "body": None, "more": None}
        assert (await changes.next())[1]["record"] == record


async def test_tables_that_are_dropped_while_the_catalogue_is_read(stack: Stack) -> None:
    """PostgreSQL fails then; the upkeep asks again later and must not end."""
    url = stack.db_url.replace("postgres:postgres@", "supabase_admin:postgres@")
    has_ended = threading.Event()

    def make_and_drop() -> None:
        with psycopg.connect(stack.db_url, autocommit=True) as connection:
            while not has_ended.is_set():
                connection.execute("create table public.passing (id integer)")
                connection.execute("alter publication supabase_realtime add table public.passing")
                connection.execute("drop table public.passing")

    async def ask() -> None:
        while True:
            await judge.published()

    judge = Judge(url)
    await judge.open()
    passing = asyncio.create_task(asyncio.to_thread(make_and_drop))
    try:
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(ask(), 60)
    finally:
        has_ended.set()
        await passing
        await judge.close()


async def test_publication_that_is_made_anew(
    stack: Stack, sql: psycopg.Connection, admin: psycopg.Connection, table: str
) -> None:
    """As seeds and migrations do; what is committed without a publication cannot be decoded."""
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        sql.execute("drop publication supabase_realtime")
        sql.execute(f"insert into {table} values (1)".encode())
        admin.execute("create publication supabase_realtime for all tables")
        # The stream is cut at the first row, and comes back.
        while await changes.system() != ("ok", SUBSCRIBED):
            pass
        sql.execute(f"insert into {table} values (2)".encode())
        assert (await changes.next())[1]["record"]["id"] == 2
        admin.execute("drop publication supabase_realtime")
        sql.execute("create publication supabase_realtime")


async def test_column_that_is_added(stack: Stack, sql: psycopg.Connection, table: str) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        sql.execute(f"insert into {table} values (1)".encode())
        assert len((await changes.next())[1]["columns"]) == 2
        sql.execute(f"alter table {table} add column more int default 7".encode())
        sql.execute(f"insert into {table} values (2)".encode())
        assert (await changes.next())[1]["record"] == {"id": 2, "body": None, "more": 7}


async def test_row_in_the_log_before_others_can_see_it(
    stack: Stack, sql: psycopg.Connection, admin: psycopg.Connection, table: str
) -> None:
    """A commit that waits for a standby is streamed, but its rows are not visible yet."""
    sql.execute(f"alter table {table} enable row level security".encode())
    sql.execute(f"create policy every on {table} for select to anon using (true)".encode())
    asked = (
        "select count(*) from pg_stat_activity"
        " where application_name = 'realtime_changes' and query like '%judge_change%'"
    )
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        admin.execute("alter system set synchronous_standby_names = 'nobody'")
        admin.execute("select pg_reload_conf()")
        show = "show synchronous_standby_names"
        eventually(lambda: admin.execute(show).fetchone() == ("nobody",))
        insert = f"insert into {table} values (1)".encode()
        writer = asyncio.create_task(asyncio.to_thread(sql.execute, insert))
        while admin.execute(asked).fetchone() == (0,):
            await asyncio.wait({writer}, timeout=0.02)
        await socket.is_quiet()
        admin.execute("alter system reset synchronous_standby_names")
        admin.execute("select pg_reload_conf()")
        assert (await changes.next())[1]["record"]["id"] == 1
        await writer


async def test_killed_server_leaves_no_slot_and_no_subscription(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    slots = "select slot_name from pg_replication_slots"
    async with realtime_socket(stack) as socket:
        await Changes.join(socket, binding(table))
        before = set(sql.execute(slots).fetchall())
        assert len(before) == 2
        assert sql.execute(f"{slots} where not temporary".encode()).fetchall() == []
        assert stack.process is not None
        os.kill(child_pid(stack.process.pid, " _serve "), signal.SIGKILL)
    eventually(lambda: before.isdisjoint(sql.execute(slots).fetchall()), what="old slots gone")
    eventually(lambda: subscriptions(sql) == 0, what="old subscriptions gone")
