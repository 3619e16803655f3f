"""The schema ``parley_import``: made, filled from the source, and dropped."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql

from .errors import ImportFailed
from .files import load_file
from .options import AUTOMATIC, CHOICES, Options
from .source import IMPORTS, Source, check_tables, count_rows, run_mapping

# In the order of the loader's files.
NEUTRAL = (
    "tenants",
    "people",
    "memberships",
    "contacts",
    "conversations",
    "participants",
    "messages",
    "receipts",
    "hidden",
    "reactions",
    "files",
)
_LOCK = 0x7061726C6579  # "parley"
# The name of sessions that load for a run.
WORKER = "parley import worker"


@dataclass(frozen=True)
class Conflict:
    """Rows of one kind that cannot be as the source has them."""

    kind: str
    place: str
    number: int
    examples: list[str]


@dataclass(frozen=True)
class Staged:
    """What the source has at this moment."""

    source_rows: dict[str, int]
    counts: dict[str, int]
    digests: dict[str, str]
    conflicts: list[Conflict]

    def undecided(self, choices: dict[str, str]) -> list[str]:
        """What needs a choice and has none."""
        kinds = {conflict.kind for conflict in self.conflicts} - set(AUTOMATIC)
        return sorted(kind for kind in kinds if choices.get(kind) not in CHOICES[kind])


def lock(connection: psycopg.Connection, *, only_transaction: bool = False) -> None:
    """Raises when another run is under way. Held until the connection, or transaction, ends."""
    function = "pg_advisory_xact_lock" if only_transaction else "pg_advisory_lock"
    try:
        with connection.transaction():
            # Long enough for the server to notice that a run was killed.
            connection.execute("set local lock_timeout = '3s'")
            connection.execute(sql.SQL("select {}(%s)").format(sql.Identifier(function)), (_LOCK,))
    except psycopg.errors.LockNotAvailable:
        raise ImportFailed(
            "Another import is running in this database.", "Wait until it ends."
        ) from None
    connection.execute("set client_connection_check_interval = '500ms'")
    if not only_transaction:
        # Of a run that was killed: it would load on while this one reads how far that one came.
        connection.execute(
            "select pg_terminate_backend(a.pid, 10000) from pg_stat_activity as a"
            " where a.application_name = %s and a.datname = current_database()",
            (WORKER,),
        )


def has_record(connection: psycopg.Connection) -> bool:
    """Whether an import is under way: begun, and neither finished nor rolled back."""
    row = connection.execute("select to_regclass('parley_import.run') is not null").fetchone()
    return row == (True,)


@contextmanager
def snapshot(connection: psycopg.Connection, *, force_rollback: bool = False) -> Iterator[None]:
    """A transaction that sees the source at one moment, however much is written meanwhile.

    Within a transaction of the caller's it is as that one is.
    """
    is_outer = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
    if is_outer:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction(force_rollback=force_rollback):
            yield
    finally:
        if is_outer:
            connection.isolation_level = None


def create(connection: psycopg.Connection, options: Options, plan: str, checksum: str) -> None:
    """Makes the schema, in the caller's transaction."""
    connection.execute("create schema parley_import")
    for path in sorted((IMPORTS / "_loader").glob("*.sql")):
        connection.execute(path.read_text(encoding="utf-8").encode())
    made = connection.execute(
        "insert into parley_import.run (source, label, tenant_id, choices, plan, checksum)"
        " select %s, %s, t.id, %s, %s, %s from chat.tenants as t where t.slug = %s returning 1",
        (
            options.source,
            options.label,
            json.dumps(options.choices),
            plan,
            checksum,
            options.tenant,
        ),
    ).fetchone()
    if made is None:
        raise ImportFailed(f"There is no tenant {options.tenant!r}.", "Give its slug as --tenant.")


def configure(connection: psycopg.Connection, options: Options) -> None:
    """What the loader's functions go by, for the caller's transaction."""
    connection.execute(
        "select set_config('parley_import.label', %s, true), set_config('work_mem', '64MB', true)",
        (options.label,),
    )


def stage(connection: psycopg.Connection, source: Source, options: Options) -> Staged:
    """Fills the neutral tables anew and resolves them, in the caller's snapshot."""
    configure(connection, options)
    connection.execute(
        sql.SQL("truncate {}").format(
            sql.SQL(", ").join(
                sql.Identifier("parley_import", name) for name in (*NEUTRAL, "documents")
            )
        )
    )
    if options.file:
        source_rows = load_file(connection, source, options.file)
    else:
        check_tables(connection, source, options.schema)
        source_rows = count_rows(connection, source, options)
    run_mapping(connection, source, options)
    counts, digests = _measure(connection, NEUTRAL)
    _account(source, source_rows, counts)
    connection.execute("select parley_import.resolve()")
    # Who is who and which conversation is which are part of what was planned.
    digests |= _measure(connection, ("users", "rooms"))[1]
    conflicts = [
        Conflict(*row)
        for row in connection.execute(
            "select c.kind, c.place, count(*), (array_agg("
            "c.external_id || ': ' || c.detail order by c.external_id))[1:5]"
            " from parley_import.conflicts as c group by c.kind, c.place order by 1, 2"
        )
    ]
    return Staged(source_rows, counts, digests, conflicts)


def _measure(
    connection: psycopg.Connection, tables: tuple[str, ...]
) -> tuple[dict[str, int], dict[str, str]]:
    """How many rows each has, and a sum of their contents that no order changes."""
    counts, digests = {}, {}
    for name in tables:
        row = connection.execute(
            sql.SQL(
                "select count(*), coalesce(sum(hash_record_extended(t, 0)::numeric), 0)::text"
                " from {} as t"
            ).format(sql.Identifier("parley_import", name))
        ).fetchone()
        assert row is not None
        counts[name], digests[name] = row
    return counts, digests


def _account(source: Source, rows: dict[str, int], counts: dict[str, int]) -> None:
    """A mapping that loses rows is found here, before anything trusts it."""
    expected: dict[str, int] = {}
    for table, neutral in source.rows.items():
        expected[neutral] = expected.get(neutral, 0) + rows.get(table, 0)
    lost = [
        f"{neutral}: {number} rows in the source, {counts[neutral]} from the mapping"
        for neutral, number in expected.items()
        if counts[neutral] != number
    ]
    if lost:
        raise ImportFailed("The mapping loses rows.", "See supabase/imports.", lost)
