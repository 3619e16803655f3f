"""Marks messages that have expired and purges what was removed long enough ago.

The work is in the database: this calls ``chat.sweep_messages`` until nothing is left, each batch in
a transaction of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import psycopg

ROOT = Path(__file__).resolve().parent.parent
COUNTS = ("rewritten", "marked", "purged")


def _fail(what: str, hint: str) -> NoReturn:
    print(f"error: {what}\n  hint: {hint}", file=sys.stderr)
    raise SystemExit(2)


def _local_url() -> str:
    status = [sys.executable, "-m", "parley_stack", "status", "-o", "json"]
    made = subprocess.run(status, cwd=ROOT, capture_output=True, text=True)
    if made.returncode:
        _fail("no local backend is running", "./scripts/start, or give --db-url")
    return str(json.loads(made.stdout)["DB_URL"])


def batches(connection: psycopg.Connection, batch_size: int) -> Iterator[dict[str, Any]]:
    """What each batch did, until nothing is left to do."""
    cursor = None
    while True:
        row = connection.execute(
            "select chat.sweep_messages(%s, %s)",
            (batch_size, None if cursor is None else json.dumps(cursor)),
        ).fetchone()
        assert row is not None
        yield row[0]
        if not row[0]["has_more"]:
            return
        cursor = row[0]["cursor"]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="sweep",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--db-url", help="as role postgres; default: of the local backend")
    parser.add_argument("--batch-size", type=int, default=200, help="messages a transaction")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    started = time.monotonic()
    total = dict.fromkeys(COUNTS, 0)
    try:
        with psycopg.connect(arguments.db_url or _local_url(), autocommit=True) as connection:
            for done in batches(connection, arguments.batch_size):
                total = {name: total[name] + done[name] for name in COUNTS}
    except psycopg.OperationalError as error:
        _fail(f"no connection: {error}", "check --db-url; what was done stays done")
    if arguments.output == "json":
        print(json.dumps(total))
    else:
        said = ", ".join(f"{total[name]} {name}" for name in COUNTS)
        print(f"{said}, in {time.monotonic() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
