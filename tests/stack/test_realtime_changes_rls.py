"""postgres_changes and the rules of the database: each subscriber is told what it may read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack

import psycopg
import pytest

from support.realtime_changes import Changes, make_table
from support.realtime_sockets import realtime_socket, user_token
from support.stacks import Stack


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def table(sql: psycopg.Connection) -> Iterator[str]:
    """A published table whose rows only their owner may read."""
    with make_table(sql, "id int primary key, owner uuid, body text") as name:
        sql.execute(f"alter table {name} enable row level security".encode())
        rule = "for select to authenticated using (owner = (select auth.uid()))"
        sql.execute(f"create policy own on {name} {rule}".encode())
        yield name


def binding(table: str, **more: object) -> dict[str, object]:
    """Every change of a table."""
    return {"event": "*", "schema": "public", "table": table, **more}


async def test_who_is_told(stack: Stack, sql: psycopg.Connection, table: str) -> None:
    owner = str(uuid.uuid4())
    async with (
        realtime_socket(stack) as first,
        realtime_socket(stack) as second,
        realtime_socket(stack) as third,
        realtime_socket(stack, key=stack.secret_key) as fourth,
    ):
        member = await Changes.join(first, binding(table), token=user_token(stack, sub=owner))
        stranger = await Changes.join(second, binding(table), token=user_token(stack))
        anon = await Changes.join(third, binding(table))
        service = await Changes.join(fourth, binding(table))
        sql.execute(f"insert into {table} values (1, %s, 'a')".encode(), (owner,))
        sql.execute(f"update {table} set body = 'b'".encode())
        for changes in (member, service):
            record = {"id": 1, "owner": owner, "body": "a"}
            assert (await changes.next())[1]["record"] == record
            assert (await changes.next())[1]["old_record"] == {"id": 1}
        # Out of the owner's sight: not even the change that does it.
        sql.execute(f"update {table} set owner = null".encode())
        assert (await service.next())[1]["record"]["owner"] is None
        for changes in (member, stranger, anon):
            await changes.socket.is_quiet()
        # A row that is gone cannot be asked about: all are told its key, and no more.
        sql.execute(f"alter table {table} replica identity full".encode())
        sql.execute(f"delete from {table}".encode())
        for changes in (member, stranger, anon, service):
            _, data = await changes.next()
            assert data["old_record"] == {"id": 1}
            assert len(data["columns"]) == 3


async def test_row_that_is_gone_before_it_is_judged(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    owner = str(uuid.uuid4())
    async with realtime_socket(stack) as socket:
        token = user_token(stack, sub=owner)
        changes = await Changes.join(socket, binding(table, event="INSERT"), token=token)
        with sql.transaction():
            sql.execute(f"insert into {table} values (1, %s)".encode(), (owner,))
            sql.execute(f"delete from {table}".encode())
        sql.execute(f"insert into {table} values (2, %s)".encode(), (owner,))
        assert (await changes.next())[1]["record"]["id"] == 2


async def test_broken_policy_hides_from_its_own_subscriber_alone(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    """supabase/realtime issue 2093."""
    broken = str(uuid.uuid4())
    rule = f"using (case when auth.uid() = '{broken}' then 1 / (id - id) = 1 else true end)"
    sql.execute(f"create policy broken on {table} for select to authenticated {rule}".encode())
    async with realtime_socket(stack) as first, realtime_socket(stack) as second:
        victim = await Changes.join(first, binding(table), token=user_token(stack, sub=broken))
        other = await Changes.join(second, binding(table), token=user_token(stack))
        sql.execute(f"insert into {table} values (1)".encode())
        assert (await other.next())[1]["record"]["id"] == 1
        await victim.socket.is_quiet()


@pytest.mark.slow
async def test_slow_policy_hides_from_its_own_subscriber_alone(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    slow = str(uuid.uuid4())
    rule = f"using (auth.uid() <> '{slow}' or pg_sleep(60) is null)"
    sql.execute(f"create policy slow on {table} for select to authenticated {rule}".encode())
    async with realtime_socket(stack) as first, realtime_socket(stack) as second:
        victim = await Changes.join(first, binding(table), token=user_token(stack, sub=slow))
        other = await Changes.join(second, binding(table), token=user_token(stack))
        sql.execute(f"insert into {table} values (1)".encode())
        assert (await other.next())[1]["record"]["id"] == 1
        await victim.socket.is_quiet()


async def test_identical_subscribers_are_judged_once(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    sql.execute(f"create sequence {table}_asked".encode())
    sql.execute(f"grant usage on sequence {table}_asked to authenticated".encode())
    rule = f"using (nextval('{table}_asked') > 0)"
    sql.execute(f"create policy counted on {table} for select to authenticated {rule}".encode())
    token = user_token(stack)
    async with AsyncExitStack() as sockets:
        subscribers = []
        for _ in range(20):
            socket = await sockets.enter_async_context(realtime_socket(stack))
            subscribers.append(await Changes.join(socket, binding(table), token=token))
        query = "select count(*) from realtime.subscription where entity = %s::regclass"
        assert sql.execute(query, (table,)).fetchone() == (1,)
        sql.execute(f"insert into {table} values (1)".encode())
        for subscriber in subscribers:
            assert (await subscriber.next())[1]["record"]["id"] == 1
    assert sql.execute(f"select last_value from {table}_asked".encode()).fetchone() == (1,)
    sql.execute(f"drop policy counted on {table}".encode())
    sql.execute(f"drop sequence {table}_asked".encode())


async def test_columns_the_role_may_not_read(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, open text, secret text") as table:
        sql.execute(f"alter table {table} replica identity full".encode())
        sql.execute(f"revoke select on {table} from anon".encode())
        sql.execute(f"grant select (id, open) on {table} to anon".encode())
        async with realtime_socket(stack) as socket:
            changes = await Changes.join(socket, binding(table))
            sql.execute(f"insert into {table} values (1, 'a', 'b')".encode())
            sql.execute(f"update {table} set secret = 'c'".encode())
            sql.execute(f"delete from {table}".encode())
            visible = {"id": 1, "open": "a"}
            for _ in range(3):
                _, data = await changes.next()
                assert [column["name"] for column in data["columns"]] == ["id", "open"]
                assert data.get("record", visible) == data.get("old_record", visible) == visible

            for more in ({"filter": "secret=eq.b"}, {"select": ["id", "secret"]}):
                refused = await Changes.ask(socket, binding(table, **more))
                kind = next(iter(more))
                assert (await refused.refused()).endswith(
                    f"Exception: ERROR P0001 (raise_exception) invalid column for {kind} secret"
                )


async def test_key_the_role_may_not_read(stack: Stack, sql: psycopg.Connection) -> None:
    with make_table(sql, "id int primary key, open text") as table:
        sql.execute(f"revoke select on {table} from anon".encode())
        sql.execute(f"grant select (open) on {table} to anon".encode())
        async with realtime_socket(stack) as socket:
            changes = await Changes.join(socket, binding(table))
            sql.execute(f"insert into {table} values (1, 'a')".encode())
            _, data = await changes.next()
            assert data["errors"] == ["Error 401: Unauthorized"]
            assert (data["columns"], data["record"]) == ([], {})
            assert data["commit_timestamp"] is None
            sql.execute(f"delete from {table}".encode())
            _, data = await changes.next()
            assert (data["errors"], data["old_record"]) == (None, {})


async def test_new_token_is_who_one_is(stack: Stack, sql: psycopg.Connection, table: str) -> None:
    owner = str(uuid.uuid4())
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table), token=user_token(stack))
        for token, is_told in ((user_token(stack, sub=owner), True), (user_token(stack), False)):
            await socket.send("access_token", {"access_token": token}, topic=changes.topic)
            assert (await changes.system())[0] == "ok"
            sql.execute(f"insert into {table} values (1, %s)".encode(), (owner,))
            if is_told:
                assert (await changes.next())[1]["type"] == "INSERT"
            sql.execute(f"delete from {table}".encode())
            assert (await changes.next())[1]["type"] == "DELETE"


async def test_row_level_security_that_comes_later(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    sql.execute(f"alter table {table} disable row level security".encode())
    async with realtime_socket(stack) as socket:
        changes = await Changes.join(socket, binding(table))
        sql.execute(f"insert into {table} values (1)".encode())
        assert (await changes.next())[1]["record"]["id"] == 1
        sql.execute(f"alter table {table} enable row level security".encode())
        sql.execute(f"insert into {table} values (2)".encode())
        sql.execute(f"delete from {table} where id = 2".encode())
        assert (await changes.next())[1]["type"] == "DELETE"


async def test_role_that_does_not_exist(stack: Stack, table: str) -> None:
    async with realtime_socket(stack) as socket:
        for role in ("nobody_we_know", "none"):
            token = user_token(stack, role=role)
            changes = await Changes.ask(socket, binding(table), token=token)
            assert f'(undefined_object) role "{role}" does not exist' in await changes.refused()
