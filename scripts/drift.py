"""Compares a database with what the migrations of this checkout make, and offers what mends it.

Changes nothing. The SQL it prints adds what is missing, puts back what was changed, and takes away
rights that nobody gave; what would drop anything else is left out without --allow-destructive.
Exit status: 0 no drift, 1 drift, 2 it could not be compared.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import mends
import psycopg
from drift_reasons import reason
from drift_rows import compare_rows, read_rows
from mends import Catalogue, Key, Step
from migration_files import RECORDS, Migration, read_files, read_records
from scratch import empty_database
from verify import Entry, check_connection, fail, local_url, read_entries, says_same

from parley_stack.errors import StackError

_PERMITS = ("grant", "policy", "publication", "owner")
"""Kinds that give somebody something: one too many is taken away without being asked."""
_DIFF_LINES = 60


@dataclass(frozen=True)
class Finding:
    """Something that is not as the migrations make it. ``state``: missing, changed or extra."""

    kind: str
    name: str
    state: str
    why: str
    expected: str
    found: str
    mend: list[str]
    is_destructive: bool = False
    steps: list[Step] = field(default_factory=list, repr=False)


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


def find_drift(
    target: psycopg.Connection,
    wanted: Catalogue,
    files: list[Migration],
    makes: Makes | None = None,
) -> list[Finding]:
    """What differs from a scratch database with the migrations ``files``."""
    found = Catalogue(target)
    pending = _pending(makes or {}, wanted, found)
    findings = [
        *_compare(wanted, found),
        *(
            _finding(kind, name, state, expected, actual, steps, is_destructive=state == "extra")
            for kind, name, state, expected, actual, steps in compare_rows(
                wanted.connection, target
            )
        ),
    ]
    explained = {key for file in pending for key in (makes or {})[file]}
    return [
        *(finding for finding in findings if (finding.kind, finding.name) not in explained),
        *_compare_records(files, read_records(target), pending),
    ]


def _pending(makes: dict[str, dict[Key, str]], wanted: Catalogue, found: Catalogue) -> set[str]:
    """Of the migrations without a record, those of which nothing is there: they have not run."""

    def is_there(key: Key, definition: str) -> bool:
        now = wanted.entries.get(key)
        actual = found.entries.get(key)
        return bool(
            actual and now and now.definition == definition and actual.definition == definition
        )

    return {
        file
        for file, made in makes.items()
        if made and not any(is_there(*item) for item in made.items())
    }


def _finding(
    kind: str,
    name: str,
    state: str,
    expected: str,
    found: str,
    steps: list[Step],
    *,
    is_destructive: bool = False,
) -> Finding:
    return Finding(
        kind,
        name,
        state,
        reason(kind, state, expected, found),
        expected,
        found,
        mends.script(steps),
        is_destructive,
        steps,
    )


def _compare(wanted: Catalogue, found: Catalogue) -> Iterator[Finding]:
    """The catalogues, what is part of a finding left out."""
    missing = wanted.entries.keys() - found.entries.keys()
    extra = found.entries.keys() - wanted.entries.keys()
    # A function whose arguments got other names is that function still.
    renamed = {
        key: other
        for key in missing
        for other in extra
        if key[0] == other[0] == "function"
        and wanted.signatures[wanted.entries[key].address]
        == found.signatures[found.entries[other].address]
    }
    for key in sorted({*wanted.entries, *found.entries} - {*renamed.values()}):
        new, old = wanted.entries.get(key), found.entries.get(renamed.get(key, key))
        if new and old and key not in renamed and _is_same(wanted, found, new, old):
            continue
        if _comes_with_another(wanted, found, new, old, {*renamed, *renamed.values()}):
            continue
        yield _compare_entry(wanted, found, new, old)


def _is_same(wanted: Catalogue, found: Catalogue, new: Entry, old: Entry) -> bool:
    if new.definition == old.definition:
        return True
    # What has expressions, and is all that its statement says.
    if mends.sort(new) not in ("check", "index", "policy", "trigger", "function", "view"):
        return False
    if old.definition.endswith("(not valid)"):
        return False
    return says_same(wanted.statements[new.address], found.statements[old.address])


def _comes_with_another(
    wanted: Catalogue, found: Catalogue, new: Entry | None, old: Entry | None, renamed: set[Key]
) -> bool:
    """Whether the finding of its table, function or constraint says it all."""
    entry, whole = (new, wanted.whole(new)) if new else (old, old and found.whole(old))
    if not entry or not whole:
        return False
    key = (whole.kind, whole.name)
    there, here = wanted.entries.get(key), found.entries.get(key)
    if entry.kind == "owner" and there:
        return False
    if key in renamed or not there or not here:
        return True
    # An index is made with its key, a column with its view.
    comes_along = entry.kind == "index" and whole.kind != "table"
    comes_along |= entry.kind == "column" and whole.definition.startswith("view")
    return comes_along and there.definition != here.definition


def _compare_entry(
    wanted: Catalogue, found: Catalogue, new: Entry | None, old: Entry | None
) -> Finding:
    if new is None:
        assert old is not None
        if old.kind == "grant":
            steps = mends.change_grant(wanted, None, old)
        elif old.kind == "owner":
            steps = mends.own(found, old)
        else:
            steps = [found.drop(old)]
        return _finding(
            old.kind,
            old.name,
            "extra",
            "not there",
            old.definition,
            steps,
            is_destructive=old.kind not in _PERMITS,
        )
    if old is None:
        steps = mends.make(wanted, new)
        return _finding(new.kind, new.name, "missing", new.definition, "not there", steps)
    expected, actual = new.definition, old.definition
    texts = wanted.statements.get(new.address, ""), found.statements.get(old.address, "")
    if new.kind in ("function", "table") and texts[0].count("\n") > 1:
        actual = _difference(*texts) or actual
    return _finding(
        new.kind,
        new.name,
        "changed",
        expected,
        actual,
        mends.change(wanted, found, new, old),
        is_destructive=mends.loses_values(found, new, old),
    )


def _difference(expected: str, found: str) -> str:
    lines = list(difflib.unified_diff(expected.splitlines(), found.splitlines(), lineterm="", n=2))
    more = [f"... {len(lines) - _DIFF_LINES} lines more"] if len(lines) > _DIFF_LINES else []
    return "\n".join([*lines[2 : _DIFF_LINES + 2], *more])


def _compare_records(
    files: list[Migration], records: list[Migration] | None, pending: set[str]
) -> Iterator[Finding]:
    """The files and what the database says it ran."""

    def step(place: int, statement: str) -> Step:
        return Step(mends.MIGRATIONS, place, statement)

    if records is None:
        yield _finding(
            "migrations",
            "supabase_migrations.schema_migrations",
            "missing",
            f"{len(files)} migrations",
            "not there",
            [step(-1, RECORDS), *(step(n, file.record()) for n, file in enumerate(files))],
        )
        return
    recorded = {record.version: record for record in records}
    for place, file in enumerate(files):
        record = recorded.pop(file.version, None)
        if record is None:
            run = [step(place, file.text)] if file.file in pending else []
            state = "not run" if file.file in pending else "not recorded"
            yield _finding(
                "migration",
                file.file,
                "missing",
                "recorded",
                state,
                [*run, step(place, file.record())],
            )
        elif not record.says_what(file):
            difference = _difference(file.text, record.text)
            yield _finding(
                "migration",
                file.file,
                "changed",
                "as the file says",
                difference,
                [step(place, file.record())],
            )
    for record in recorded.values():
        statement = (
            f"delete from supabase_migrations.schema_migrations where version = '{record.version}';"
        )
        yield _finding(
            "migration",
            record.file,
            "extra",
            "not there",
            "recorded",
            [step(0, statement)],
            is_destructive=True,
        )


def mend(findings: list[Finding], *, allow_destructive: bool) -> str:
    """The script, what it leaves out as comments."""
    chosen = [f for f in findings if allow_destructive or not f.is_destructive]
    statements = mends.script(step for finding in chosen for step in finding.steps)
    withheld = [f for f in findings if f not in chosen]
    head = [
        "-- Mends what ./scripts/drift found in one database. Read it, then run it as postgres:",
        "-- psql --single-transaction --set ON_ERROR_STOP=1 --file THIS. It is no migration.",
        "set lock_timeout = '5s';",
        "-- Functions come back before all that their bodies name.",
        "set check_function_bodies = off;",
    ]
    left_out = [
        f"-- Left out without --allow-destructive ({finding.kind} {finding.name}):\n"
        + "\n".join(f"-- {line}" for text in finding.mend for line in text.splitlines())
        for finding in withheld
    ]
    by_hand = [
        f"-- No statement is offered for {finding.kind} {finding.name}: {finding.why}"
        for finding in findings
        if not finding.mend
    ]
    return "\n\n".join(["\n".join(head), *statements, *left_out, *by_hand]) + "\n"


def _print(findings: list[Finding], *, seconds: float, allow_destructive: bool) -> None:
    for finding in findings:
        print(f"{finding.state.upper()}: {finding.kind} {finding.name}")
        print(f"  {finding.why}")
        for title, text in (("expected", finding.expected), ("found", finding.found)):
            lines = text.replace("\n", "\n    ")
            print(f"  {title + ':':<9} {lines}")
        if not finding.mend:
            print("  mend:     by hand")
        elif finding.is_destructive and not allow_destructive:
            print("  mend:     left out; --allow-destructive")
    left_out = sum(f.is_destructive for f in findings) if not allow_destructive else 0
    by_hand = sum(not f.mend for f in findings)
    print(
        f"{len(findings)} differences, found in {seconds:.1f} s."
        + (f" `-o sql` prints what mends {len(findings) - left_out - by_hand}." if findings else "")
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="drift",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--db-url", help="as role postgres; default: of the local backend")
    parser.add_argument("-o", "--output", choices=("text", "json", "sql"), default="text")
    parser.add_argument(
        "--allow-destructive", action="store_true", help="mend also by dropping what may hold data"
    )
    arguments = parser.parse_args()
    start = time.monotonic()
    try:
        with psycopg.connect(arguments.db_url or local_url(), autocommit=True) as target:
            check_connection(target)
            files, records = read_files(), read_records(target)
            with empty_database() as scratch:
                makes = build(scratch, files, {file.version for file in records or files})
                findings = find_drift(target, Catalogue(scratch), files, makes)
    except psycopg.OperationalError as error:
        fail(f"no connection: {error}", "check --db-url")
    except StackError as error:
        fail(f"no scratch database: {error}", "the lines above say why")
    text = mend(findings, allow_destructive=arguments.allow_destructive) if findings else ""
    if arguments.output == "sql":
        print(text, end="")
    elif arguments.output == "json":
        rows = [
            {name: value for name, value in vars(finding).items() if name != "steps"}
            for finding in findings
        ]
        print(json.dumps({"differences": rows, "mend": text}, indent=1, ensure_ascii=False))
    else:
        _print(
            findings,
            seconds=time.monotonic() - start,
            allow_destructive=arguments.allow_destructive,
        )
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
