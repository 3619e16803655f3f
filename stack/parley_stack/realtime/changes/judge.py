"""PostgreSQL's part of postgres_changes: subscriptions, values and verdicts.

Who may see a row is decided by ``realtime.judge_change`` as each subscriber; values become JSON by
``to_jsonb``. Nothing of policies, types or operators is known here.
Source: Supabase Realtime protocol, section 8.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor, errors
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from parley_stack.realtime.errors import Problem
from parley_stack.realtime.pgoutput import Relation

from .bindings import Binding
from .stream import Change, Texts

_log = logging.getLogger(__name__)

PUBLICATION = "supabase_realtime"
_WAIT_SECONDS = 5.0
_POOL_SIZE = 3
_STATEMENT_MILLISECONDS = 3_000

OPTIONS = (
    "-c search_path= -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"
    " -c bytea_output=hex -c extra_float_digits=1"
)
"""The log's texts and the values made of them do not depend on a database's settings."""

_SUBSCRIBE = """
insert into realtime.subscription
    (subscription_id, entity, filters, claims, action_filter, selected_columns)
select
    $1::uuid,
    format('%I.%I', published.schemaname, published.tablename)::regclass,
    array(
        select row(given.name, given.operator::realtime.equality_op, given.value, given.negate)
            ::realtime.user_defined_filter
        from unnest($2::text[], $3::text[], $4::text[], $5::boolean[])
            as given (name, operator, value, negate)
    ),
    $6::jsonb,
    $7::text,
    $8::text[]
from pg_catalog.pg_publication_tables as published
where published.pubname = $9
    and $10::text in ('*', published.schemaname)
    and $11::text in ('*', published.tablename)
returning entity::oid
"""

_PUBLISHED = """
select coalesce(array_agg(class.oid order by class.oid), '{}')
from pg_catalog.pg_publication_tables as published
join pg_catalog.pg_namespace as namespace on namespace.nspname = published.schemaname
join pg_catalog.pg_class as class
    on class.relnamespace = namespace.oid and class.relname = published.tablename
where published.pubname = $1
"""

_COLUMNS = """
select
    told.name,
    type.typname,
    format_type(type.oid, -1),
    exists (
        select from pg_catalog.pg_index as index
        join pg_catalog.pg_attribute as attribute
            on attribute.attrelid = index.indrelid
            and attribute.attnum = any ((index.indkey::smallint[])[0:index.indnkeyatts - 1])
        where index.indrelid = $1 and index.indisprimary and attribute.attname = told.name
    )
from unnest($2::text[], $3::oid[]) with ordinality as told (name, type_oid, position)
join pg_catalog.pg_type as type on type.oid = told.type_oid
order by told.position
"""

_JUDGE = "select * from realtime.judge_change($1::oid, $2, $3, $4, $5::bigint, $6)"


class SubscribeError(Exception):
    """A subscription that PostgreSQL refuses; its text is for the client."""


class UnavailableError(Exception):
    """The database could not be asked; it may be there at the next try."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column that the log tells: its type's name, and the type as SQL writes it."""

    name: str
    type_name: str
    type_sql: str
    is_key: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """Subscriptions of one role that are told of a change, or of an ``error`` instead."""

    role: str
    readable: frozenset[str]
    is_rls_enabled: bool
    subscriptions: tuple[uuid.UUID, ...]
    error: str | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A change's values as JSON texts by column, and who is told."""

    columns: tuple[Column, ...]
    new: dict[str, str]
    old: dict[str, str]
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One subscription to make."""

    id: uuid.UUID
    binding: Binding
    claims: str


class Judge:
    """Asks PostgreSQL over connections of a superuser, opened when first needed."""

    def __init__(self, conninfo: str) -> None:
        self._columns: dict[int, tuple[Relation, tuple[Column, ...]]] = {}
        self._pool = AsyncConnectionPool(
            conninfo,
            min_size=0,
            max_size=_POOL_SIZE,
            open=False,
            reconnect_timeout=_WAIT_SECONDS,
            kwargs={
                "application_name": "realtime_changes",
                "autocommit": True,
                "connect_timeout": 5,
                "cursor_factory": AsyncRawCursor,
                "options": f"{OPTIONS} -c statement_timeout={_STATEMENT_MILLISECONDS}",
            },
            check=AsyncConnectionPool.check_connection,
            name="realtime-changes",
        )

    async def open(self) -> None:
        """Allow connections; makes none yet."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()

    async def subscribe(self, requests: Sequence[Request]) -> dict[uuid.UUID, frozenset[int]]:
        """Make all subscriptions or none; the tables of each.

        Raises SubscribeError and UnavailableError.
        """
        async with self._asking() as connection, connection.transaction():
            return {request.id: await _subscribe(connection, request) for request in requests}

    async def renew(
        self, requests: Sequence[Request]
    ) -> dict[uuid.UUID, frozenset[int] | SubscribeError]:
        """Make all subscriptions anew and forget every other. Raises UnavailableError."""
        made: dict[uuid.UUID, frozenset[int] | SubscribeError] = {}
        async with self._asking() as connection, connection.transaction():
            await connection.execute("delete from realtime.subscription")
            for request in requests:
                try:
                    async with connection.transaction():
                        made[request.id] = await _subscribe(connection, request)
                except SubscribeError as error:
                    made[request.id] = error
        return made

    async def unsubscribe(self, ids: Collection[uuid.UUID]) -> None:
        """Forget subscriptions. Raises UnavailableError."""
        query = "delete from realtime.subscription where subscription_id = any ($1)"
        async with self._asking() as connection:
            await connection.execute(query, (list(ids),))

    async def published(self) -> tuple[int, ...]:
        """The oids of the published tables. Raises UnavailableError."""
        async with self._asking() as connection:
            cursor = await connection.execute(_PUBLISHED, (PUBLICATION,))
            row = await cursor.fetchone()
        return tuple(row[0]) if row else ()

    async def judge(self, change: Change) -> Judgement:
        """Who is told of a change, and what. Raises UnavailableError and psycopg.Error."""
        async with self._connection() as connection:
            columns = await self._columns_of(connection, change.relation)
            try:
                async with connection.pipeline():
                    new = await _convert(connection, columns, change.new)
                    old = await _convert(connection, columns, change.old)
                    verdicts = await _ask(connection, change)
                asked = [await verdicts.fetchall()]
            except errors.QueryCanceled:
                # Somebody's policy is slow: the others are not to wait for nothing.
                _log.warning("the policies of %s are too slow", change.relation.name)
                new = await _convert(connection, columns, change.new)
                old = await _convert(connection, columns, change.old)
                asked = await _ask_each(connection, change)
            rows = [row for answer in asked for row in answer]
            values = [await _texts(cursor) for cursor in (new, old)]
        verdicts_found = tuple(
            Verdict(role, frozenset(readable), is_rls_enabled, tuple(ids), error)
            for role, readable, is_rls_enabled, ids, error in rows
        )
        return Judgement(columns, values[0], values[1], verdicts_found)

    async def _columns_of(
        self, connection: AsyncConnection[Any], relation: Relation
    ) -> tuple[Column, ...]:
        """The log announces a table again after every change of it."""
        known = self._columns.get(relation.oid)
        if known is not None and known[0] is relation:
            return known[1]
        names = [column.name for column in relation.columns]
        types = [column.type_oid for column in relation.columns]
        cursor = await connection.execute(_COLUMNS, (relation.oid, names, types))
        columns = tuple(Column(*row) for row in await cursor.fetchall())
        self._columns[relation.oid] = (relation, columns)
        return columns

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AsyncConnection[Any]]:
        """For what is asked again later: the catalogue fails too while tables are dropped."""
        try:
            async with self._connection() as connection:
                yield connection
        except psycopg.Error as error:
            raise UnavailableError(Problem.DATABASE_UNREACHABLE.message) from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection[Any]]:
        try:
            async with self._pool.connection(_WAIT_SECONDS) as connection:
                yield connection
        except (PoolTimeout, psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise UnavailableError(Problem.DATABASE_UNREACHABLE.message) from error


async def _subscribe(connection: AsyncConnection[Any], request: Request) -> frozenset[int]:
    binding = request.binding
    parameters = (
        request.id,
        [item.column for item in binding.filters],
        [item.operator for item in binding.filters],
        [item.value for item in binding.filters],
        [item.is_negated for item in binding.filters],
        request.claims,
        binding.event,
        None if binding.select is None else list(binding.select),
        PUBLICATION,
        binding.schema,
        binding.table,
    )
    try:
        cursor = await connection.execute(_SUBSCRIBE, parameters)
        entities = frozenset(row[0] for row in await cursor.fetchall())
    except (errors.OperationalError, errors.InterfaceError):
        raise
    except (psycopg.Error, UnicodeError) as error:
        raise SubscribeError(
            "Unable to subscribe to changes with given parameters. An exception happened so "
            f"please check your connect parameters: {binding}. Exception: {_told(error)}"
        ) from error
    if not entities:
        raise SubscribeError(
            "Unable to subscribe to changes with given parameters. Please check Realtime is "
            f"enabled for the given connect parameters: {binding}"
        )
    return entities


def _told(error: Exception) -> str:
    """An error as the official server tells it: ``ERROR P0001 (raise_exception) ...``."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return str(error)
    condition = re.sub(r"(?<!^)(?=[A-Z])", "_", type(error).__name__).lower()
    return f"ERROR {error.sqlstate} ({condition}) {error.diag.message_primary}"


async def _convert(
    connection: AsyncConnection[Any], columns: tuple[Column, ...], texts: Texts
) -> Any:
    """A cursor with one row: names, and their values as JSON texts."""
    told = [column for column in columns if column.name in texts]
    values = [
        # As hosted: the hexadecimal digits alone.
        f"to_jsonb(encode(${number}::bytea, 'hex'))::text"
        if column.type_sql == "bytea"
        else f"to_jsonb(${number}::{column.type_sql})::text"
        for number, column in enumerate(told, 2)
    ]
    query = f"select $1::text[], array[{', '.join(values)}]::text[]"
    names = [column.name for column in told]
    return await connection.execute(query.encode(), (names, *(texts[name] for name in names)))


async def _texts(cursor: Any) -> dict[str, str]:
    names, values = await cursor.fetchone()
    return {name: value or "null" for name, value in zip(names, values, strict=True)}


async def _ask(
    connection: AsyncConnection[Any], change: Change, only: uuid.UUID | None = None
) -> Any:
    new, old = json.dumps(change.new), json.dumps(change.old)
    xid = change.transaction.xid
    parameters = (change.relation.oid, change.action, new, old, xid, only)
    return await connection.execute(_JUDGE, parameters)


async def _ask_each(connection: AsyncConnection[Any], change: Change) -> list[list[Any]]:
    """As ``_ask``, one subscription at a time; those that take too long are told nothing."""
    query = "select distinct subscription_id from realtime.subscription where entity = $1::oid"
    cursor = await connection.execute(query, (change.relation.oid,))
    answers = []
    for (subscription,) in await cursor.fetchall():
        try:
            answers.append(await (await _ask(connection, change, subscription)).fetchall())
        except errors.QueryCanceled:
            continue
    return answers
