"""Loads what was planned, in batches that can be gone on with after any of them."""

from __future__ import annotations

import json
import threading

import psycopg

from . import plan as plans
from . import shards, staging
from .bucket import Bucket, upload_files
from .errors import ImportFailed
from .options import Options
from .plan import Plan
from .progress import Progress
from .source import read_source

BATCH = 5000
# Below this many, the search index takes them one by one.
_MANY = 20_000


def apply(
    connection: psycopg.Connection,
    plan: Plan,
    bucket: Bucket | None = None,
    *,
    batch: int = BATCH,
) -> int:
    """Loads everything that is not loaded yet, and says how many messages that was."""
    staging.lock(connection)
    source = read_source(plan["source"])
    approved = plans.checksum(plan)
    options = plans.planned_options(plan)
    if options.choices.get("files") == "upload" and bucket is None:
        raise ImportFailed("The plan uploads files.", "Give --storage-url and SUPABASE_SECRET_KEY.")
    if staging.has_record(connection):
        check_record(connection, approved)
    with staging.snapshot(connection):
        if not staging.has_record(connection):
            staging.create(connection, options, json.dumps(plan), approved)
        staged = staging.stage(connection, source, options)
        plans.check_unchanged(plan, source, staged, plans.database_of(connection))
    number(connection, options, batch)
    count = load(connection)
    connection.execute("update parley_import.run set is_applied = true")
    if bucket is not None and options.choices.get("files") == "upload":
        upload_files(connection, bucket)
    return count


def number(connection: psycopg.Connection, options: Options, batch: int) -> None:
    """Divides what is not loaded into batches, and makes what they need."""
    row = connection.execute("select parley_import.begin_numbers()").fetchone()
    assert row is not None
    first: int = row[0]

    def number_messages(worker: psycopg.Connection, shard: int, _: threading.Event) -> None:
        with worker.transaction():
            staging.configure(worker, options)
            worker.execute(
                "select parley_import.number_messages(%s, %s, %s, %s)",
                (first, batch, shard, shards.COUNT),
            )

    def number_marks(worker: psycopg.Connection, shard: int, _: threading.Event) -> None:
        with worker.transaction():
            staging.configure(worker, options)
            worker.execute(
                "select parley_import.number_references(%s, %s, %s)", (first, shard, shards.COUNT)
            )
            worker.execute("select parley_import.number_marks(%s, %s)", (shard, shards.COUNT))

    shards.run(connection, number_messages)
    connection.execute("select parley_import.index_numbers()")
    shards.run(connection, number_marks)
    with connection.transaction():
        staging.configure(connection, options)
        connection.execute("select parley_import.prepare()")


def check_record(connection: psycopg.Connection, approved: str) -> None:
    """Raises unless the import that is under way is of this plan."""
    row = connection.execute("select checksum from parley_import.run").fetchone()
    if row != (approved,):
        raise ImportFailed(
            "An import of another plan is under way.", "Finish it or roll it back first."
        )


def load(connection: psycopg.Connection) -> int:
    """Runs all batches that are not done, one shard a session."""
    rows = connection.execute(
        "select shard, array_agg(batch order by batch), sum(messages)::bigint"
        " from parley_import.batches where not is_done group by shard"
    ).fetchall()
    batches: dict[int, list[int]] = {row[0]: row[1] for row in rows}
    total: int = sum(row[2] for row in rows)
    progress = Progress("messages", total)

    def load_batches(worker: psycopg.Connection, shard: int, is_over: threading.Event) -> None:
        for batch in batches.get(shard, []):
            if is_over.is_set():
                break
            row = worker.execute("select parley_import.load_batch(%s)", (batch,)).fetchone()
            assert row is not None
            progress.add(row[0])

    if total >= _MANY:
        # Sorts words in by thousands, not by the message; searches see all of them meanwhile.
        connection.execute("alter index chat.messages_search_idx set (fastupdate = on)")
    try:
        shards.run(connection, load_batches)
    finally:
        settle_index(connection)
    while settle_some(connection):
        pass
    return total


def settle_some(connection: psycopg.Connection) -> int:
    """Some conversations that only have to be put right."""
    row = connection.execute("select parley_import.settle_some(500)").fetchone()
    assert row is not None
    return int(row[0])


def settle_index(connection: psycopg.Connection) -> None:
    """The search index as the migrations make it."""
    row = connection.execute(
        "select 'fastupdate=on' = any (reloptions) from pg_class"
        " where oid = 'chat.messages_search_idx'::regclass"
    ).fetchone()
    if row == (True,):
        connection.execute("alter index chat.messages_search_idx set (fastupdate = off)")
        connection.execute("select gin_clean_pending_list('chat.messages_search_idx')")


def catch_up(connection: psycopg.Connection, plan: Plan, bucket: Bucket | None) -> int:
    """Takes in what a living source has had since; how many new messages that was."""
    source = read_source(plan["source"])
    options = plans.planned_options(plan)
    with staging.snapshot(connection):
        staged = staging.stage(connection, source, options)
        plans.check_unchanged(plan, source, staged)
    # Before new ones have numbers: what changed takes revs of its own.
    with connection.transaction():
        staging.configure(connection, options)
        connection.execute("select parley_import.refresh()")
    number(connection, options, BATCH)
    count = load(connection)
    if bucket is not None and options.choices.get("files") == "upload":
        upload_files(connection, bucket)
    return count
