"""Judges the migrations without a real database.

Their names, order and headers, what they say (with PostgreSQL's parser and squawk), and then, in a
throw-away database: that each applies, that run again it changes nothing, and that
supabase/uninstall.sql leaves the catalogue as it was.
Exit status: 0 no fault, 1 faults, 2 they could not be checked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psycopg
from catalogue import read_catalogue
from migration_files import FOLDER, RECORDS, Migration, read_files
from migration_rules import OURS, Fault, check_name, check_text
from scratch import empty_database
from verify import ROOT, fail

from parley_stack.errors import StackError

UNINSTALL = ROOT / "supabase" / "uninstall.sql"
EXISTS = {"42P06", "42P07", "42701", "42710", "42723", "23505"}
"""There is one of that already: what a migration ends with when it is run again."""

Everything = set[tuple[str, str, str]]


def check_folder(folder: Path = FOLDER) -> Iterator[Fault]:
    """What is wrong with the files, one by one."""
    versions: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        yield from check_name(path.name)
        version = path.name.partition("_")[0]
        if version in versions:
            yield Fault(path.name, 0, f"has the version of {versions[version]}")
        versions[version] = path.name
        if path.suffix == ".sql":
            yield from check_text(path.name, path.read_text(encoding="utf-8"))


def check_squawk(folder: Path = FOLDER) -> Iterator[Fault]:
    """What squawk says of the files."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("squawk"),
            f"--config={ROOT / '.squawk.toml'}",
            "--reporter=json",
            *sorted(folder.glob("*.sql")),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode not in (0, 1) or not done.stdout.strip():
        raise RuntimeError(done.stderr)
    for found in json.loads(done.stdout):
        file = Path(found["file"]).name
        yield Fault(file, found["line"] + 1, f"{found['rule_name']}: {found['message']}")


def check_order(since: str, folder: Path = FOLDER) -> Iterator[Fault]:
    """What has been released is as it was, and before all that has not."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],  # noqa: S607
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    released = git("ls-tree", "--name-only", since, "./").splitlines()
    last = max(released, default="")
    for name in released:
        path = folder / name
        if not path.exists():
            yield Fault(name, 0, f"is gone since {since}")
        elif path.read_text(encoding="utf-8") != git("show", f"{since}:./{name}"):
            yield Fault(name, 0, f"has changed since {since}: write another migration")
    for path in sorted(folder.glob("*.sql")):
        if path.name not in released and path.name < last:
            yield Fault(path.name, 0, f"is new since {since}, and comes before {last}")


def check_database(connection: psycopg.Connection, files: list[Migration]) -> Iterator[Fault]:
    """What happens in the database of an empty project; nothing may be left of it."""
    connection.execute(RECORDS.encode())
    before = read_catalogue(connection)
    for file in files:
        try:
            file.apply(connection)
            connection.execute(file.record().encode())
        except psycopg.Error as error:
            yield Fault(file.file, _line(file, error), f"does not apply: {error}")
            break
    else:
        yield from _run_again(connection, files)
    try:
        with connection.transaction():
            connection.execute(UNINSTALL.read_bytes())
    except psycopg.Error as error:
        yield Fault(UNINSTALL.name, 0, f"does not run: {error}")
        return
    after = read_catalogue(connection)
    for word, changed in (("leaves", after - before), ("takes along", before - after)):
        for kind, name, _ in sorted(changed):
            yield Fault(UNINSTALL.name, 0, f"{word} {kind} {name}")
    for (version,) in connection.execute(
        "select version from supabase_migrations.schema_migrations order by version"
    ):
        yield Fault(UNINSTALL.name, 0, f"leaves the record of {version}")


def _line(file: Migration, error: psycopg.Error) -> int:
    index = int(error.diag.statement_position or 1) - 1
    return file.text.count("\n", 0, index) + 1


def _run_again(connection: psycopg.Connection, files: list[Migration]) -> Iterator[Fault]:
    """Each is refused as a whole, because of what is there, or changes nothing."""
    everything = read_everything(connection)
    for file in files:
        try:
            file.apply(connection)
        except psycopg.Error as error:
            if error.sqlstate not in EXISTS:
                yield Fault(file.file, _line(file, error), f"run again, it fails with {error}")
            continue
        now = read_everything(connection)
        if now != everything:
            yield Fault(file.file, 0, f"run again, it changes {sorted(now ^ everything)[0]}")
            everything = now


def read_everything(connection: psycopg.Connection) -> Everything:
    """The catalogue, and all rows in Parley's tables and of buckets."""
    tables = connection.execute(
        "select format('%%I.%%I', t.schemaname, t.tablename) from pg_tables as t"
        " where t.schemaname = any (%s)",
        (list(OURS),),
    ).fetchall()
    rows = {
        (table, str(row), "")
        for (table,) in [*tables, ("storage.buckets",)]
        for (row,) in connection.execute(f"select t::text from {table} as t".encode())
    }
    return read_catalogue(connection) | rows


def check(since: str | None) -> list[Fault]:
    """All faults; the database is not tried when a file is no SQL."""
    faults = [*check_folder(), *check_squawk()]
    if since:
        faults += check_order(since)
    if not any(fault.what.startswith("syntax: ") for fault in faults):
        with empty_database() as connection:
            faults += check_database(connection, read_files())
    return sorted(faults)


def _last_release() -> str | None:
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--tags", "--abbrev=0"],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or None


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="check-migrations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--since", help="what git has of it is released, and stays (default: the last tag)"
    )
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    arguments = parser.parse_args()
    try:
        faults = check(arguments.since or _last_release())
    except subprocess.CalledProcessError as error:
        fail(error.stderr.strip(), "check --since")
    except StackError as error:
        fail(f"no throw-away database: {error}", "the lines above say why")
    if arguments.output == "json":
        print(json.dumps([asdict(fault) for fault in faults], indent=1, ensure_ascii=False))
    else:
        for fault in faults:
            print(f"{fault.file}:{fault.line}: {fault.what}")
        print(f"{len(read_files())} migrations, {len(faults)} faults.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
