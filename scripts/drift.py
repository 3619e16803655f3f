"""Compares a database with what the migrations of this checkout make, and offers what mends it.

Changes nothing. The SQL it prints adds what is missing, puts back what was changed, and takes away
rights that nobody gave; what would drop anything else is left out without --allow-destructive.
Exit status: 0 no drift, 1 drift, 2 it could not be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import drift_mends as mends
import psycopg
from drift_catalogue import Catalogue, Key, Step, sort
from drift_reasons import reason
from drift_records import Makes, build, compare_records, difference, pending
from drift_rows import compare_rows
from migration_files import Migration, read_files, read_records
from scratch import empty_database
from verify import Entry, check_connection, fail, local_url, says_same

from parley_stack.errors import StackError

_PERMITS = ("grant", "policy", "publication", "owner")
"""Kinds that give somebody something: one too many is taken away without being asked."""


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


def find_drift(
    target: psycopg.Connection,
    wanted: Catalogue,
    files: list[Migration],
    makes: Makes | None = None,
) -> list[Finding]:
    """What differs from a scratch database with the migrations ``files``."""
    found = Catalogue(target)
    makes = makes or {}
    waiting = pending(makes, wanted, found)
    others = [
        *compare_rows(wanted.connection, target),
        *compare_records(files, read_records(target), waiting),
    ]
    findings = [
        *_compare(wanted, found),
        *(_finding(*other, is_destructive=other[2] == "extra") for other in others),
    ]
    explained = {key for file, made in makes.items() if waiting[file] for key in made}
    return [finding for finding in findings if (finding.kind, finding.name) not in explained]


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
    if sort(new) not in ("check", "index", "policy", "trigger", "function", "view"):
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
        actual = difference(*texts) or actual
    return _finding(
        new.kind,
        new.name,
        "changed",
        expected,
        actual,
        mends.change(wanted, found, new, old),
        is_destructive=mends.loses_values(found, new, old),
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
    notes = [
        "\n".join(
            [f"Left out without --allow-destructive: {finding.kind} {finding.name}", *finding.mend]
        )
        for finding in withheld
    ] + [
        f"No statement is offered for {finding.kind} {finding.name}: {finding.why}"
        for finding in findings
        if not finding.mend
    ]
    # Names are the database's, and may have lines.
    comments = ["\n".join(f"-- {line}" for line in note.splitlines()) for note in notes]
    return "\n\n".join(["\n".join(head), *statements, *comments]) + "\n"


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
