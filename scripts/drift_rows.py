"""Rows that migrations write and the schema relies on: texts of errors, the bucket, jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
from drift_catalogue import ROWS, Key, Step


class Rows(NamedTuple):
    """Rows of a table that are Parley's, by the key that names them."""

    kind: str
    table: str
    key: str
    columns: tuple[str, ...]
    which: str


_ROWS = (
    Rows("error", "chat_private.errors", "code", ("state", "message", "hint"), "true"),
    Rows(
        "bucket",
        "storage.buckets",
        "id",
        ("name", "public", "file_size_limit", "allowed_mime_types"),
        "id = 'chat-attachments'",
    ),
    Rows(
        "job", "cron.job", "jobname", ("schedule", "command", "active"), "jobname like 'parley-%'"
    ),
)

Literals = dict[str, list[str]]


def _read(connection: psycopg.Connection, rows: Rows) -> Literals | None:
    """Rows by key, as literals of SQL; None where there is no such table."""
    (there,) = connection.execute(
        "select to_regclass(%s) is not null", (rows.table,)
    ).fetchone() or (False,)
    if not there:
        return None
    columns = ", ".join(f"quote_nullable(t.{column}::text)" for column in rows.columns)
    query = f"select t.{rows.key}, array[{columns}] from {rows.table} as t where {rows.which}"
    return dict(connection.execute(query.encode()).fetchall())


def read_rows(connection: psycopg.Connection) -> dict[Key, str]:
    """What they say, by kind and key."""
    return {
        (rows.kind, key): _show(rows, values)
        for rows in _ROWS
        for key, values in (_read(connection, rows) or {}).items()
    }


def compare_rows(
    wanted: psycopg.Connection, found: psycopg.Connection
) -> Iterator[tuple[str, str, str, str, str, list[Step]]]:
    """Kind, name, state, what is expected, what was found, and what mends it."""
    for rows in _ROWS:
        expected, actual = _read(wanted, rows), _read(found, rows)
        if rows.kind == "job" and (expected is None or actual is None):
            continue  # A project without pg_cron is not to have jobs.
        expected, actual = expected or {}, actual or {}
        for key in sorted({*expected, *actual}):
            new, old = expected.get(key), actual.get(key)
            if new == old:
                continue
            state = "extra" if new is None else "missing" if old is None else "changed"
            yield (
                rows.kind,
                key,
                state,
                _show(rows, new),
                _show(rows, old),
                [Step(ROWS, 0, text) for text in _mend(rows, key, new, old)],
            )


def _show(rows: Rows, values: list[str] | None) -> str:
    if values is None:
        return "not there"
    return ", ".join(f"{name} {value}" for name, value in zip(rows.columns, values, strict=True))


def _mend(rows: Rows, key: str, new: list[str] | None, old: list[str] | None) -> Iterator[str]:
    name = psycopg.sql.Literal(key).as_string(None)
    if rows.kind == "job":
        if new is None:
            yield f"select cron.unschedule({name});"
            return
        yield f"select cron.schedule({name}, {new[0]}, {new[1]});"
        if old and old[2] != new[2]:
            yield (
                f"select cron.alter_job(j.jobid, active := {new[2]})"
                f" from cron.job as j where j.jobname = {name};"
            )
    elif new is None:
        yield f"delete from {rows.table} where {rows.key} = {name};"
    else:
        columns, values = ", ".join(rows.columns), ", ".join(new)
        sets = ", ".join(f"{column} = excluded.{column}" for column in rows.columns)
        yield (
            f"insert into {rows.table} ({rows.key}, {columns})\nvalues ({name}, {values})\n"
            f"on conflict ({rows.key}) do update set {sets};"
        )
