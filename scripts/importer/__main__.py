"""The command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import psycopg

from . import plan as plans
from .apply import apply
from .bucket import Bucket
from .errors import ImportFailed
from .finish import finish
from .options import CHOICES, Options
from .plan import describe, make_plan, read_plan, write_plan
from .rollback import rollback
from .source import read_source, source_names
from .verify import Report, current_plan, verify


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="import",
        description="Brings the messages of another system in: docs/how-to/import.md.",
    )
    parser.add_argument(
        "step", choices=("plan", "apply", "verify", "rollback", "finish"), nargs="?", default="plan"
    )
    parser.add_argument("--from", dest="source", required=True, choices=source_names())
    parser.add_argument("--db-url", required=True, help="as role postgres")
    parser.add_argument("--plan", type=Path, help="default: .parley/import-SOURCE.json")
    parser.add_argument("--approve", help="apply: the checksum that plan printed")
    parser.add_argument(
        "--on",
        action="append",
        default=[],
        metavar="KIND=CHOICE",
        help="plan: what becomes of a conflict",
    )
    parser.add_argument("--live", action="store_true", help="plan: the source is still written to")
    parser.add_argument("--tenant", default="default", help="plan: slug of the tenant")
    parser.add_argument("--label", help="plan: tells two imports of one source apart")
    parser.add_argument("--schema", help="plan: of the source's tables")
    parser.add_argument("--timezone", default="UTC", help="plan: of times that have none")
    parser.add_argument("--file", type=Path, help="plan: the export, where the source is a file")
    parser.add_argument("--storage-url", help="of the Storage API, to upload files")
    parser.add_argument(
        "--files", default="", help="folder or address below which the source's files are"
    )
    parser.add_argument(
        "--discard-new", action="store_true", help="rollback: also what was written since"
    )
    return parser.parse_args(argv)


def _options(arguments: argparse.Namespace) -> Options:
    choices = {}
    for word in arguments.on:
        kind, _, choice = word.partition("=")
        if choice not in CHOICES.get(kind, {}):
            known = "; ".join(f"{name}={'|'.join(CHOICES[name])}" for name in CHOICES)
            raise ImportFailed(f"There is no choice {word!r}.", known)
        choices[kind] = choice
    return Options(
        source=arguments.source,
        label=arguments.label or arguments.source,
        tenant=arguments.tenant,
        schema=arguments.schema or read_source(arguments.source).default_schema,
        timezone=arguments.timezone,
        file=arguments.file.resolve() if arguments.file else None,
        is_live=arguments.live,
        choices=choices,
    )


def _bucket(arguments: argparse.Namespace) -> Bucket | None:
    if not arguments.storage_url:
        return None
    key = os.environ.get("SUPABASE_SECRET_KEY")
    if not key:
        raise ImportFailed("SUPABASE_SECRET_KEY is not set.", "Files are uploaded with it.")
    return Bucket(arguments.storage_url, key, arguments.files)


def _print_report(report: Report) -> int:
    print(
        f"{report.messages:,} messages by {report.authors:,} authors"
        f" in {report.conversations:,} conversations compared."
    )
    for kind, number in report.left_out.items():
        print(f"Left out, as approved: {kind}: {number:,}")
    for problem in report.problems:
        print(f"MISSING: {problem}")
    if report.problems:
        print(f"{len(report.problems)} problems: this import is NOT complete.")
        return 1
    print("Everything is there.")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    path = arguments.plan or Path(".parley") / f"import-{arguments.source}.json"
    bucket = _bucket(arguments)
    with psycopg.connect(arguments.db_url, autocommit=True) as connection:
        if arguments.step == "plan":
            options = _options(arguments)
            plan = make_plan(connection, read_source(arguments.source), options)
            write_plan(plan, path)
            print(describe(plan))
            print(f"\nPlan: {path}\nTo apply it: --approve {plans.checksum(plan)}")
            return 1 if plan["undecided"] else 0
        if arguments.step == "apply":
            if not arguments.approve:
                raise ImportFailed("apply needs --approve.", "Give the checksum that plan printed.")
            plan = read_plan(path, arguments.approve)
            print(f"{apply(connection, plan, bucket):,} messages loaded.")
            return 0
        plan = current_plan(connection)
        if plan["source"] != arguments.source:
            raise ImportFailed(f"The import under way is from {plan['source']}.")
        if arguments.step == "verify":
            return _print_report(verify(connection, plan))
        if arguments.step == "rollback":
            count = rollback(connection, bucket, is_discarding=arguments.discard_new)
            print(f"{count:,} messages removed; everything is as before.")
            return 0
        caught_up, report = finish(connection, plan, bucket)
        print(f"{caught_up:,} messages had come since.")
        return _print_report(report)


def main(argv: list[str] | None = None) -> int:
    """Runs one step."""
    try:
        return _run(_arguments(argv))
    except ImportFailed as failure:
        print(f"error: {failure}", file=sys.stderr)
        for detail in failure.details:
            print(f"  {detail}", file=sys.stderr)
        if failure.hint:
            print(f"  hint: {failure.hint}", file=sys.stderr)
        return 1
    except psycopg.OperationalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
