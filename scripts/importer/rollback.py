"""Takes an import back: rows and catalogue are as before it."""

from __future__ import annotations

import psycopg

from . import staging
from .apply import settle_index
from .bucket import Bucket, remove_files
from .errors import ImportFailed
from .progress import Progress


def rollback(
    connection: psycopg.Connection, bucket: Bucket | None = None, *, is_discarding: bool = False
) -> int:
    """Removes what the import made, and says how many messages that was."""
    staging.lock(connection)
    # What a killed run left loading ends first.
    connection.execute("select from parley_import.batches for update")
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
    while True:
        removed = connection.execute("select parley_import.remove_some(100)").fetchone()
        assert removed is not None
        if not removed[0]:
            break
        progress.add(removed[0])
    with connection.transaction():
        connection.execute("select parley_import.restore_kept()")
        connection.execute("drop schema parley_import cascade")
    settle_index(connection)
    return int(row[1])
