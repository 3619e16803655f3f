"""Broadcasts from the database: committed rows of realtime.messages, and the SQL around them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from support.realtime_sockets import RealtimeSocket, new_topic, realtime_socket
from support.stacks import Stack


@pytest.fixture
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


def kind_4(frame: str | bytes) -> tuple[str, str, dict[str, str], bytes, int]:
    """Topic, event, meta, body and encoding of a binary broadcast."""
    assert isinstance(frame, bytes)
    kind, topic, event, meta, encoding = frame[:5]
    assert kind == 4
    position = 5
    parts = []
    for length in (topic, event, meta):
        parts.append(frame[position : position + length])
        position += length
    return parts[0].decode(), parts[1].decode(), json.loads(parts[2]), frame[position:], encoding


async def next_payload(socket: RealtimeSocket) -> dict[str, object]:
    payload: dict[str, object] = json.loads(kind_4(await socket.raw())[3])
    return payload


async def test_sent_row_reaches_both_versions(stack: Stack, sql: psycopg.Connection) -> None:
    topic = new_topic()
    name = f"realtime:{topic}"
    async with realtime_socket(stack, "1.0.0") as first, realtime_socket(stack, "2.0.0") as second:
        await first.join(name)
        await second.join(name)
        sql.execute("select realtime.send('{\"a\": 1}', 'ev', %s, false)", (topic,))
        got_topic, event, meta, body, encoding = kind_4(await second.raw())
        assert (got_topic, event, encoding) == (name, "ev", 1)
        row_id = meta["id"]
        assert json.loads(body) == {"a": 1, "id": row_id}
        message = await first.message()
        assert message[:4] == (None, None, name, "broadcast")
        assert message.payload == {
            "type": "broadcast",
            "event": "ev",
            "payload": {"a": 1, "id": row_id},
            "meta": {"id": row_id},
        }


async def test_send_is_private_unless_told(stack: Stack, sql: psycopg.Connection) -> None:
    topic = new_topic()
    key = stack.secret_key
    async with realtime_socket(stack) as public, realtime_socket(stack, key=key) as private:
        await public.join(f"realtime:{topic}")
        await private.join(f"realtime:{topic}", private=True)
        sql.execute("select realtime.send('{\"n\": 1}', 'ev', %s)", (topic,))
        assert (await next_payload(private))["n"] == 1
        sql.execute("select realtime.send('{\"n\": 2}', 'ev', %s, false)", (topic,))
        assert (await next_payload(public))["n"] == 2
        await private.is_quiet()


async def test_binary_row_is_opaque_and_skips_version_1(
    stack: Stack, sql: psycopg.Connection
) -> None:
    topic = new_topic()
    async with realtime_socket(stack, "1.0.0") as first, realtime_socket(stack) as second:
        await first.join(f"realtime:{topic}")
        await second.join(f"realtime:{topic}")
        sql.execute("select realtime.send_binary('\\x00ff'::bytea, 'ev', %s, false)", (topic,))
        assert kind_4(await second.raw())[3:] == (b"\x00\xff", 0)
        await first.is_quiet()


async def test_only_committed_rows_are_sent_in_commit_order(
    stack: Stack, sql: psycopg.Connection
) -> None:
    topic = new_topic()
    send = "select realtime.send(jsonb_build_object('n', %s::int), 'ev', %s, false)"
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}")
        with psycopg.connect(stack.db_url) as first, psycopg.connect(stack.db_url) as second:
            first.execute(send, (1, topic))
            second.execute(send, (2, topic))
            second.execute(send, (3, topic))
            second.commit()
            first.commit()
            first.execute(send, (4, topic))
            first.rollback()
        sql.execute(send, (5, topic))
        assert [(await next_payload(socket))["n"] for _ in range(4)] == [2, 3, 1, 5]


async def test_rows_without_event_or_payload_are_skipped(
    stack: Stack, sql: psycopg.Connection
) -> None:
    topic = new_topic()
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}")
        insert = "insert into realtime.messages (topic, extension, event, payload, private) values"
        sql.execute(f"{insert} (%s, 'broadcast', null, '{{}}', false)".encode(), (topic,))
        sql.execute(f"{insert} (%s, 'broadcast', 'ev', null, false)".encode(), (topic,))
        sql.execute(f"{insert} (%s, 'broadcast', 'ev', '{{}}', null)".encode(), (topic,))
        sql.execute(f"{insert} (%s, 'broadcast', 'last', '{{}}', false)".encode(), (topic,))
        assert kind_4(await socket.raw())[1] == "last"


async def test_large_transaction_arrives_whole_and_in_order(
    stack: Stack, sql: psycopg.Connection
) -> None:
    topic = new_topic()
    async with realtime_socket(stack) as socket:
        await socket.join(f"realtime:{topic}")
        sql.execute(
            "select realtime.send(jsonb_build_object('n', n), 'ev', %s, false)"
            " from generate_series(1, 2000) as n",
            (topic,),
        )
        assert [(await next_payload(socket))["n"] for _ in range(2000)] == list(range(1, 2001))


async def test_changes_of_a_table_are_broadcast(stack: Stack, sql: psycopg.Connection) -> None:
    topic, table = new_topic("changes"), f"notes_{uuid.uuid4().hex[:8]}"
    sql.execute(
        f"""
        create table public.{table} (id int primary key, body text);
        create function public.{table}_changed() returns trigger language plpgsql as $$
        begin
            perform realtime.broadcast_changes(
                '{topic}', tg_op, tg_op, tg_table_name, tg_table_schema, new, old
            );
            return null;
        end
        $$;
        create trigger changed after insert or update or delete on public.{table}
            for each row execute function public.{table}_changed();
        """.encode()
    )
    try:
        async with realtime_socket(stack, "1.0.0", stack.secret_key) as socket:
            await socket.join(f"realtime:{topic}", private=True)
            sql.execute(f"insert into public.{table} values (1, 'a')".encode())
            message = await socket.message()
            row_id = message.payload["meta"]["id"]
            assert message.payload == {
                "type": "broadcast",
                "event": "INSERT",
                "payload": {
                    "id": row_id,
                    "record": {"id": 1, "body": "a"},
                    "old_record": None,
                    "operation": "INSERT",
                    "table": table,
                    "schema": "public",
                },
                "meta": {"id": row_id},
            }
            sql.execute(f"update public.{table} set body = 'b'".encode())
            payload = (await socket.message()).payload["payload"]
            assert (payload["old_record"]["body"], payload["record"]["body"]) == ("a", "b")
            sql.execute(f"delete from public.{table}".encode())
            payload = (await socket.message()).payload["payload"]
            assert (payload["operation"], payload["record"]) == ("DELETE", None)
    finally:
        sql.execute(f"drop table public.{table}; drop function public.{table}_changed".encode())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("'INSERT', 't', 's', null, null, 'STATEMENT'", "not for each statement"),
        ("'TRUNCATE', 't', 's', null, null", "Unexpected operation type: TRUNCATE"),
    ],
)
def test_broadcast_changes_refuses_what_is_no_row_change(
    sql: psycopg.Connection, arguments: str, message: str
) -> None:
    with pytest.raises(psycopg.errors.RaiseException) as raised:
        sql.execute(f"select realtime.broadcast_changes('t', 'e', {arguments})".encode())
    text = raised.value.diag.message_primary or ""
    assert text.startswith("Failed to process the row: ")
    assert message in text


@pytest.mark.parametrize("payload", ["[1]", "1", '"text"'])
def test_send_warns_and_never_raises(sql: psycopg.Connection, payload: str) -> None:
    notices: list[str] = []
    sql.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    topic = new_topic()
    sql.execute("select realtime.send(%s::jsonb, 'ev', %s)", (payload, topic))
    assert notices[0].startswith("WarnSendingBroadcastMessage: ")
    query = "select count(*) from realtime.messages where topic = %s"
    assert sql.execute(query, (topic,)).fetchone() == (0,)


def test_send_without_a_policy_warns(sql: psycopg.Connection) -> None:
    notices: list[str] = []
    sql.add_notice_handler(lambda notice: notices.append(notice.message_primary or ""))
    with sql.transaction():
        sql.execute("set local role authenticated")
        sql.execute("select realtime.send('{}', 'ev', 'x')")
    assert "row-level security" in notices[0]


def test_topic_is_set_for_the_rest_of_the_transaction(sql: psycopg.Connection) -> None:
    with sql.transaction():
        sql.execute("select realtime.send('{}', 'ev', 'the-topic')")
        assert sql.execute("select realtime.topic()").fetchone() == ("the-topic",)
    assert sql.execute("select realtime.topic()").fetchone() == (None,)


def test_partitions_surround_today_and_old_ones_go(stack: Stack, sql: psycopg.Connection) -> None:
    admin = stack.db_url.replace("postgres:postgres@", "supabase_admin:postgres@")
    partitions = (
        "select c.relname from pg_catalog.pg_inherits i"
        " join pg_catalog.pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'realtime.messages'::regclass order by 1"
    )
    days = (
        "select to_char((now() at time zone 'utc')::date + n, '\"messages_\"YYYY_MM_DD')"
        " from generate_series(-1, 3) as n order by 1"
    )
    with psycopg.connect(admin, autocommit=True) as connection:
        for age in (3, 4):
            connection.execute(
                f"""
                do $$
                declare
                    v_day date := (now() at time zone 'utc')::date - {age};
                begin
                    execute format(
                        'create table realtime.%I partition of realtime.messages'
                        ' for values from (%L) to (%L)',
                        'messages_' || to_char(v_day, 'YYYY_MM_DD'), v_day, v_day + 1
                    );
                end
                $$
                """.encode()
            )
        connection.execute("select realtime.maintain_partitions()")
        names = [row[0] for row in connection.execute(partitions)]
        expected = [row[0] for row in connection.execute(days.encode())]
        assert names[1:] == expected
        connection.execute(f"drop table realtime.{names[0]}".encode())
    assert [row[0] for row in sql.execute(partitions)] == expected


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_upkeep_is_for_the_server_alone(sql: psycopg.Connection, role: str) -> None:
    sql.execute(f"set role {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql.execute("select realtime.maintain_partitions()")


def test_migration_role_owns_the_publication(sql: psycopg.Connection) -> None:
    table = f"published_{uuid.uuid4().hex[:8]}"
    sql.execute(f"create table public.{table} (id int primary key)".encode())
    sql.execute(f"alter publication supabase_realtime add table public.{table}".encode())
    query = "select count(*) from pg_publication_tables where tablename = %s"
    assert sql.execute(query, (table,)).fetchone() == (1,)
    sql.execute(f"drop table public.{table}".encode())


def test_slots_are_temporary(sql: psycopg.Connection) -> None:
    """That of the broadcasts, and that of postgres_changes while others' tests use it."""
    query = "select temporary, active from pg_replication_slots where plugin = 'pgoutput'"
    assert set(sql.execute(query)) == {(True, True)}
