"""Takes an import back: rows and catalogue are as before it."""

from __future__ import annotations

import threading
from uuid import UUID

import psycopg

from . import shards, staging
from .apply import settle_index
from .bucket import Bucket, remove_files
from .errors import ImportFailed
from .progress import Progress

# Conversations.
_AT_ONCE = 100


def rollback(
    connection: psycopg.Connection, bucket: Bucket | None = None, *, is_discarding: bool = False
) -> int:
    """Removes what the import made, and says how many messages that was."""
    staging.lock(connection)
    written = connection.execute("select * from parley_import.written_since()").fetchall()
    if written and not is_discarding:
        raise ImportFailed(
            "People have written in imported conversations since.",
            "Their messages would go too: --discard-new.",
            [f"{conversation}: {number} messages" for conversation, number in written],
        )
    # From here on nothing but going on with this makes sense.
    connection.execute("update parley_import.run set checksum = 'rolling back'")
    uploads = connection.execute("select count(*) from parley_import.uploads").fetchone()
    if uploads != (0,):
        if bucket is None:
            raise ImportFailed(
                "Files are in the bucket.", "Give --storage-url and SUPABASE_SECRET_KEY."
            )
        remove_files(connection, bucket)
    row = connection.execute(
        "select (select count(*) from parley_import.targets where is_new),"
        " coalesce((select sum(messages) from parley_import.batches where is_done), 0)::bigint"
    ).fetchone()
    assert row is not None
    progress = Progress("conversations", row[0])

    def remove(worker: psycopg.Connection, shard: int, is_over: threading.Event) -> None:
        after = UUID(int=0)
        while not is_over.is_set():
            row = worker.execute(
                "select * from parley_import.remove_some(%s, %s, %s, %s)",
                (after, _AT_ONCE, shard, shards.COUNT),
            ).fetchone()
            assert row is not None
            removed, after = row
            if not removed:
                break
            progress.add(removed)

    shards.run(connection, remove)
    with connection.transaction():
        connection.execute("select parley_import.restore_kept()")
        connection.execute("drop schema parley_import cascade")
    settle_index(connection)
    return int(row[1])
