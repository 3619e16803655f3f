"""Filters of postgres_changes: PostgreSQL compares, by the column's type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from support.realtime_changes import Changes, make_table
from support.realtime_sockets import realtime_socket
from support.stacks import Stack

COLUMNS = "id int primary key, t text, n numeric, b boolean, d date, j jsonb, w text"
ROWS = """
    (1, 'Anna', 2, true, '2026-01-01', '{"a": 1}', 'a,b'),
    (2, 'anton', 10, false, '2026-02-01', '{"a": 2}', '(x'),
    (3, null, null, null, null, null, null),
    (4, 'Bob', 9, true, '2026-03-01', '{"a": 1}', 'say "hi"')
"""
UNABLE = (
    "Unable to subscribe to changes with given parameters. "
    "An exception happened so please check your connect parameters: "
)

MATCHES: dict[str, list[int]] = {
    "id=eq.2": [2],
    "n=eq.10.0": [2],
    "id=neq.2": [1, 3, 4],
    "t=neq.Bob": [1, 2],
    "n=lt.10": [1, 4],
    "n=lte.10": [1, 2, 4],
    "n=gt.9": [2],
    "n=gte.9": [2, 4],
    "d=gte.2026-02-01": [2, 4],
    "id=in.(1,4)": [1, 4],
    't=in.("Bob","An\\"na")': [4],
    'w=in.("a,b","(x")': [1, 2],
    "t=like.An%": [1],
    "t=ilike.an%": [1, 2],
    "t=match.^A": [1],
    "t=imatch.^a.*n": [1, 2],
    "t=is.null": [3],
    "t=not.is.null": [1, 2, 4],
    "b=is.true": [1, 4],
    "b=is.FALSE": [2],
    "b=is.unknown": [3],
    "b=not.is.true": [2, 3],
    "t=isdistinct.Bob": [1, 2, 3],
    "t=not.isdistinct.Bob": [4],
    "t=not.eq.Bob": [1, 2],
    "id=not.in.(1,2)": [3, 4],
    'j=eq.{"a":1}': [1, 4],
    "id=gt.1,id=lt.4": [2, 3],
    " id=gt.1 , t=not.is.null ": [2, 4],
    'w=eq."a,b"': [1],
    "w=eq.(x": [2],
    'w=eq."(x"': [2],
    'w=eq."say \\"hi\\""': [4],
    'w=eq.say "hi"': [4],
    "": [1, 2, 3, 4],
    "   ": [1, 2, 3, 4],
}


@pytest.fixture(scope="module")
def sql(stack: Stack) -> Iterator[psycopg.Connection]:
    """The migration role's connection, in autocommit."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def table(sql: psycopg.Connection) -> Iterator[str]:
    """A table with a column of each kind."""
    with make_table(sql, COLUMNS) as name:
        yield name


def binding(table: str, text: str, event: str = "*") -> dict[str, Any]:
    """Changes that pass a filter."""
    return {"event": event, "schema": "public", "table": table, "filter": text}


async def test_operators(stack: Stack, sql: psycopg.Connection, table: str) -> None:
    """All at once: the ids of a message tell which filters the row has passed."""
    async with realtime_socket(stack) as socket:
        bindings = [binding(table, text, "INSERT") for text in MATCHES]
        changes = await Changes.join(socket, *bindings)
        sql.execute(f"insert into {table} values {ROWS}".encode())
        found: dict[str, list[int]] = {text: [] for text in MATCHES}
        for _ in range(4):
            ids, data = await changes.next()
            for text, number in zip(MATCHES, changes.ids, strict=True):
                if number in ids:
                    found[text].append(data["record"]["id"])
        sql.execute(f"delete from {table}".encode())
        assert found == MATCHES


async def test_updates_are_judged_by_the_new_row_deletes_by_the_old(
    stack: Stack, sql: psycopg.Connection
) -> None:
    with make_table(sql) as table:
        async with realtime_socket(stack) as socket:
            by_key, by_body = binding(table, "id=eq.1"), binding(table, "body=eq.a")
            changes = await Changes.join(socket, by_key, by_body)
            sql.execute(f"insert into {table} values (1, 'a'), (2, 'a'), (3, 'b')".encode())
            assert (await changes.next())[0] == sorted(changes.ids)
            assert (await changes.next())[0] == changes.ids[1:]
            sql.execute(f"update {table} set body = 'c' where id = 2".encode())
            sql.execute(f"update {table} set body = 'a' where id = 3".encode())
            assert (await changes.next())[1]["record"]["id"] == 3
            # The log tells the key of a deleted row, unless the table says to tell more.
            sql.execute(f"delete from {table} where id = 1".encode())
            assert (await changes.next())[0] == changes.ids[:1]
            sql.execute(f"alter table {table} replica identity full".encode())
            sql.execute(f"delete from {table} where id = 3".encode())
            ids, data = await changes.next()
            assert (ids, data["old_record"]) == (changes.ids[1:], {"id": 3, "body": "a"})


UNREADABLE = {
    "undefined": '["undefined"]',
    "t=foo.hey": '["foo", "hey"]',
    "t=eq": '["eq"]',
    "id=in.1,2": "`in` filter value must be wrapped by parentheses",
    "id=eq.1,,t=eq.a": "filter must not contain empty segments (check for extra commas)",
    "id=eq.1,": "filter must not contain empty segments (check for extra commas)",
}


@pytest.mark.parametrize(("text", "detail"), UNREADABLE.items())
async def test_filter_that_cannot_be_read(stack: Stack, table: str, text: str, detail: str) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.ask(socket, binding(table, text))
        assert await changes.refused() == f"Error parsing `filter` params: {detail}"


REFUSED = {
    "nope=eq.1": "(raise_exception) invalid column for filter nope",
    "id=eq.x": '(invalid_text_representation) invalid input syntax for type integer: "x"',
    "id=in.(1,x)": '(invalid_text_representation) invalid input syntax for type integer: "x"',
    f"id=in.({','.join(map(str, range(101)))})": (
        "(raise_exception) too many values for `in` filter. Maximum 100"
    ),
    "t=is.true": "(raise_exception) `is` filter on column t takes null only",
    "b=is.maybe": "(raise_exception) invalid value for `is` filter: maybe",
    "id=like.1%": "(raise_exception) operator like needs a text column, not id",
    "t=match.(": (
        "(invalid_regular_expression) invalid regular expression: parentheses () not balanced"
    ),
}


@pytest.mark.parametrize("text", REFUSED)
async def test_filter_that_postgresql_refuses(stack: Stack, table: str, text: str) -> None:
    async with realtime_socket(stack) as socket:
        changes = await Changes.ask(socket, binding(table, text))
        message = await changes.refused()
        assert message.startswith(
            f"{UNABLE}[event: *, schema: public, table: {table}, filters: [{{"
        )
        assert message.endswith(REFUSED[text])


async def test_one_bad_binding_refuses_all(
    stack: Stack, sql: psycopg.Connection, table: str
) -> None:
    async with realtime_socket(stack) as socket:
        good, bad = binding(table, "id=eq.71"), binding(table, "id=eq.x")
        changes = await Changes.ask(socket, good, bad)
        await changes.refused()
        query = "select count(*) from realtime.subscription where filters::text like '%%71%%'"
        assert sql.execute(query).fetchone() == (0,)
        sql.execute(f"insert into {table} values (71)".encode())
        await socket.is_quiet()
        # The channel stays, and so may others subscribe.
        await Changes.join(socket, good)


NOT_PUBLISHED = (
    "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for "
    "the given connect parameters: [event: INSERT, schema: public, table: not_published, "
    "filters: [], select: nil]"
)
PARAMETERS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"event": "*"}, "No subscription params provided. Please provide at least a "),
    "filter without a table": (
        {"event": "*", "schema": "public", "filter": "id=eq.1"},
        "No subscription params provided. Please provide at least a ",
    ),
    "columns of any table": (
        {"event": "*", "schema": "public", "table": "*", "select": ["id"]},
        "Column selection is not supported for wildcard subscriptions. Provide an explicit ",
    ),
    "table that is not published": (
        {"event": "INSERT", "schema": "public", "table": "not_published"},
        NOT_PUBLISHED,
    ),
    "wildcards are names": (
        {"event": "*", "schema": "public", "table": "changes_%"},
        NOT_PUBLISHED.partition(":")[0],
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
async def test_binding_that_means_nothing(stack: Stack, table: str, name: str) -> None:
    given, message = PARAMETERS[name]
    async with realtime_socket(stack) as socket:
        assert (await (await Changes.ask(socket, given)).refused()).startswith(message)
