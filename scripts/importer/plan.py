"""The plan: what an import would do, found by doing it and taking it back; nothing is changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psycopg

from . import staging
from .errors import ImportFailed
from .options import AUTOMATIC, CHOICES, Options
from .source import Source
from .staging import Staged

Plan = dict[str, Any]
# Measured by bench on two cores, which is what an import keeps busy.
_MESSAGES_PER_SECOND = 10_000


def make_plan(connection: psycopg.Connection, source: Source, options: Options) -> Plan:
    """Looks at source and database; everything it writes is rolled back."""
    if staging.has_record(connection):
        raise ImportFailed(
            "An import is under way in this database.", "Finish it or roll it back first."
        )
    with staging.snapshot(connection, force_rollback=True):
        staging.create(connection, options, "{}", "")
        staged = staging.stage(connection, source, options)
        left_out = connection.execute("select count(*) from parley_import.left_out").fetchone()
        assert left_out is not None
        return {
            "source": source.name,
            "title": source.title,
            "mapping": source.digest(),
            "database": _database(connection),
            "options": {**asdict(options), "file": str(options.file) if options.file else None},
            "source_rows": staged.source_rows,
            "rows": staged.counts,
            "digests": staged.digests,
            "conflicts": [asdict(conflict) for conflict in staged.conflicts],
            "undecided": staged.undecided(options.choices),
            "messages": staged.counts["messages"] - left_out[0],
        }


def _database(connection: psycopg.Connection) -> str:
    """Which database, and which version of Parley's schema: the parts that an import writes."""
    row = connection.execute(
        "select current_database() || ' ' || md5(string_agg("
        " a.attrelid::regclass || '.' || a.attname || ' ' || a.atttypid::regtype, ',' order by"
        " a.attrelid::regclass::text, a.attname)) from pg_catalog.pg_attribute as a"
        " inner join pg_catalog.pg_class as c on a.attrelid = c.oid"
        " where c.relnamespace = 'chat'::regnamespace and a.attnum > 0 and not a.attisdropped"
    ).fetchone()
    assert row is not None
    return str(row[0])


def checksum(plan: Plan) -> str:
    """What is approved."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:16]


def write_plan(plan: Plan, path: Path) -> None:
    """The plan file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"checksum": checksum(plan), **plan}, indent=1, ensure_ascii=False) + "\n",
        encoding="utf-8",
    )


def read_plan(path: Path, approved: str) -> Plan:
    """The plan of a file, when it is the approved one."""
    try:
        plan: Plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ImportFailed(f"There is no plan {path}.", "Make one: import ... plan") from None
    plan.pop("checksum")
    if checksum(plan) != approved:
        raise ImportFailed(
            "This is not the plan that was approved.", "Give the checksum that plan printed."
        )
    if plan["undecided"]:
        raise ImportFailed(
            "The plan leaves something undecided.",
            "Plan again with --on KIND=CHOICE.",
            [f"{kind}: {' or '.join(CHOICES[kind])}" for kind in plan["undecided"]],
        )
    return plan


def planned_options(plan: Plan) -> Options:
    """The options that were planned with."""
    content = dict(plan["options"])
    content["file"] = Path(content["file"]) if content["file"] else None
    return Options(**content)


def check_unchanged(plan: Plan, source: Source, staged: Staged, database: str = "") -> None:
    """Raises unless everything is as planned; of a living source, unless it has only grown."""
    options = planned_options(plan)
    changes = []
    if plan["mapping"] != source.digest():
        changes.append("the mapping or the loader")
    if database and plan["database"] != database:
        changes.append("the database, or Parley's schema in it")
    if options.is_live:
        changes += [
            f"{name}: {number} rows planned, {staged.counts[name]} found"
            for name, number in plan["rows"].items()
            if staged.counts[name] < number and name in ("people", "conversations", "messages")
        ]
        changes += [f"conflicts: {kind}" for kind in staged.undecided(options.choices)]
    else:
        changes += [
            f"{name}: {plan['rows'].get(name, '')} rows planned,"
            f" {staged.counts.get(name, '')} found, or others"
            for name, digest in plan["digests"].items()
            if staged.digests[name] != digest
        ]
    if changes:
        raise ImportFailed(
            "Something has changed since the plan was made.",
            "Plan again; for a source that is still written to, with --live.",
            changes,
        )


def database_of(connection: psycopg.Connection) -> str:
    """What ``check_unchanged`` compares."""
    return _database(connection)


def describe(plan: Plan) -> str:
    """The plan for a reader."""
    lines = [f"{plan['title']}", "", "In the source"]
    lines += [f"  {name:<28}{number:>12,}" for name, number in plan["source_rows"].items()]
    lines += ["", "Becomes"]
    lines += [f"  {name:<28}{number:>12,}" for name, number in plan["rows"].items() if number]
    if plan["conflicts"]:
        lines += ["", "Conflicts"]
    choices = plan["options"]["choices"]
    for conflict in plan["conflicts"]:
        kind = conflict["kind"]
        if kind in AUTOMATIC:
            fate = AUTOMATIC[kind]
        elif kind in plan["undecided"]:
            fate = "UNDECIDED: --on " + " or ".join(f"{kind}={name}" for name in CHOICES[kind])
        else:
            fate = f"{choices[kind]}: {CHOICES[kind][choices[kind]]}"
        lines.append(f"  {kind} ({conflict['place']}): {conflict['number']:,}; {fate}")
        lines += [f"      {example}" for example in conflict["examples"]]
    seconds = max(1, round(plan["messages"] / _MESSAGES_PER_SECOND))
    lines += [
        "",
        f"{plan['messages']:,} messages, about {seconds} s.",
        "Locks: none on the source, which is only read (finish waits for its writers, and they for",
        "it, during the last pass). In chat: rows of the conversations of each batch; for a moment",
        "the search index, before and after.",
        "Backups: what the import makes or changes is noted in schema parley_import until finish.",
    ]
    return "\n".join(lines)
