"""The migrations of a checkout next to what a database says it has run."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import psycopg
from drift_catalogue import MIGRATIONS, Catalogue, Key, Step
from drift_rows import read_rows
from migration_files import RECORDS, Migration
from psycopg import sql
from verify import read_entries

Makes = dict[str, dict[Key, str]]
"""What each migration without a record has made or changed in the scratch database."""


def build(scratch: psycopg.Connection, files: list[Migration], recorded: set[str]) -> Makes:
    """Applies the migrations to an empty project."""
    makes = {}
    for file in files:
        if file.version in recorded:
            file.apply(scratch)
            continue
        before = _read_all(scratch)
        file.apply(scratch)
        makes[file.file] = dict(sorted(_read_all(scratch).items() - before.items()))
    return makes


def _read_all(connection: psycopg.Connection) -> dict[Key, str]:
    entries = {(entry.kind, entry.name): entry.definition for entry in read_entries(connection)}
    return entries | read_rows(connection)


def pending(makes: Makes, wanted: Catalogue, found: Catalogue) -> dict[str, bool | None]:
    """Of each migration without a record whether it has yet to run; None where nothing tells.

    It has when something is there as it makes it. Nothing tells when it makes nothing, or when
    later ones have changed what it makes: it would undo that.
    """

    def look(made: dict[Key, str]) -> bool | None:
        rows = read_rows(wanted.connection)
        now = {key: entry.definition for key, entry in wanted.entries.items()} | rows
        if not made or any(now.get(key) != definition for key, definition in made.items()):
            return None
        actual = {key: entry.definition for key, entry in found.entries.items()}
        return not any(actual.get(key) == definition for key, definition in made.items())

    return {file: look(made) for file, made in makes.items()}


Difference = tuple[str, str, str, str, str, list[Step]]
"""Kind, name, state, what is expected, what was found, and what mends it."""


def compare_records(
    files: list[Migration], records: list[Migration] | None, waiting: dict[str, bool | None]
) -> Iterator[Difference]:
    """The files and the records."""
    if records is None:
        steps = [_step(-1, RECORDS), *(_step(n, file.record()) for n, file in enumerate(files))]
        name = "supabase_migrations.schema_migrations"
        yield "migrations", name, "missing", f"{len(files)} migrations", "not there", steps
        return
    recorded = {record.version: record for record in records}
    for place, file in enumerate(files):
        record = recorded.pop(file.version, None)
        steps = [_step(place, file.record())]
        if record is None:
            is_waiting = waiting.get(file.file)
            if is_waiting:
                steps.insert(0, _step(place, file.text))
            state = {True: "not run", False: "run, not recorded", None: "not recorded"}[is_waiting]
            mend = [] if is_waiting is None else steps
            yield "migration", file.file, "missing", "recorded", state, mend
        elif not record.says_what(file):
            said = difference(file.text, record.text)
            yield "migration", file.file, "changed", "as the file says", said, steps
    for record in recorded.values():
        statement = sql.SQL(
            "delete from supabase_migrations.schema_migrations where version = {};"
        ).format(record.version)
        steps = [_step(0, statement.as_string(None))]
        yield "migration", record.file, "extra", "not there", "recorded", steps


def _step(place: int, statement: str) -> Step:
    return Step(MIGRATIONS, place, statement)


_DIFF_LINES = 60


def difference(expected: str, found: str) -> str:
    """Two texts, as `diff -u` shows them."""
    lines = list(difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="", n=2))
    more = [f"... {len(lines) - _DIFF_LINES} lines more"] if len(lines) > _DIFF_LINES else []
    return "\n".join([*lines[2 : _DIFF_LINES + 2], *more])
