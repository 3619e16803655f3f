"""``scripts/drift`` finds whatever is not as the migrations make it, and mends it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace

import pglast
import psycopg
import pytest
from drift import Finding, find_drift, main, mend
from drift_catalogue import Catalogue
from drift_records import Makes, build
from migration_files import RECORDS, Migration, read_files
from scratch import add_cron
from verify import compare_structure, read_structure

from migrations.drifts import DRIFTS, Drift
from support.databases import Database, clone
from support.stacks import ROOT, Stack

FILES = read_files()


def drift_of(database: Database, wanted: Catalogue) -> list[Finding]:
    return find_drift(database.owner, wanted, FILES)


def run(database: Database, script: str, user: str = "postgres") -> None:
    """As psql does with --single-transaction, in a session of its own."""
    with psycopg.connect(database.url, user=user) as connection:
        connection.execute(script.encode())


def titles(findings: list[Finding]) -> list[str]:
    return [f"{finding.state}: {finding.kind} {finding.name}" for finding in findings]


def test_an_installed_database_has_none(installed: Database, wanted: Catalogue) -> None:
    assert drift_of(installed, wanted) == []


@pytest.mark.parametrize("planted", DRIFTS.values(), ids=DRIFTS)
def test_it_is_found_and_mended(
    installed: Database, wanted: Catalogue, planted: list[Drift]
) -> None:
    # Somebody else's things are for a superuser to give away, and to take back.
    user = "supabase_admin" if planted[0].found[0] == "owner" else "postgres"
    for drift in planted:
        run(installed, drift.sql, user)
    findings = drift_of(installed, wanted)
    by_name = {(f.kind, f.name, f.state): f for f in findings}
    assert {drift.found for drift in planted} - {*by_name} == set()
    for drift in planted:
        assert by_name[drift.found].is_destructive == drift.is_destructive, drift
    assert [finding for finding in findings if not (finding.why and finding.mend)] == []
    run(installed, mend(findings, allow_destructive=False), user)
    left = drift_of(installed, wanted)
    assert titles(left) == titles([f for f in findings if f.is_destructive])
    if left:
        run(installed, mend(left, allow_destructive=True), user)
        assert drift_of(installed, wanted) == []


def test_a_lost_schema_is_made_again(installed: Database, wanted: Catalogue) -> None:
    """What makes each thing, after what it needs, is known of everything."""
    installed.owner.execute("drop schema chat, chat_private cascade")
    installed.owner.execute("create schema chat; create schema chat_private")
    run(installed, mend(drift_of(installed, wanted), allow_destructive=False))
    assert drift_of(installed, wanted) == []
    expected = read_structure(wanted.connection)
    assert compare_structure(expected, read_structure(installed.owner)) == []


def test_what_the_project_has_elsewhere_is_none(installed: Database, wanted: Catalogue) -> None:
    run(
        installed,
        """
        create table public.orders (conversation_id uuid references chat.conversations (id));
        create policy own on realtime.messages for select to authenticated using (false);
        create policy own on storage.objects for select to authenticated using (false);
        create function public.own() returns trigger language plpgsql
        as 'begin return null; end';
        create trigger own after insert on auth.users for each row execute function public.own();
        select cron.schedule('nightly', '0 0 * * *', 'select 1');
        """,
    )
    assert drift_of(installed, wanted) == []


def test_data_stays_without_the_flag(installed: Database, wanted: Catalogue) -> None:
    installed.user("alice")
    run(
        installed,
        """
        alter table chat.profiles add column nick text;
        update chat.profiles set nick = 'al';
        create table chat.notes (body text);
        insert into chat.notes values ('x');
        create policy "all" on chat.profiles for select to anon using (true);
        """,
    )
    script = mend(drift_of(installed, wanted), allow_destructive=False)
    assert "\n-- drop table chat.notes;" in script
    run(installed, script)
    assert titles(drift_of(installed, wanted)) == [
        "extra: column chat.profiles.nick",
        "extra: table chat.notes",
    ]
    assert installed.owner.execute(
        "select p.nick, n.body from chat.profiles as p, chat.notes as n"
    ).fetchall() == [("al", "x")]


def test_a_name_is_no_statement(installed: Database, wanted: Catalogue) -> None:
    """Names in a database are others' words: a line break ends a comment."""
    installed.owner.execute('create table chat."x\ndrop table chat.messages;--" ()')
    installed.owner.execute('create role "a; drop table chat.pins;--"')
    try:
        installed.owner.execute('grant select on chat.pins to "a; drop table chat.pins;--"')
        for allow_destructive in (False, True):
            script = mend(drift_of(installed, wanted), allow_destructive=allow_destructive)
            said = [type(raw.stmt).__name__ for raw in pglast.parse_sql(script)]
            assert said.count("DropStmt") == allow_destructive
            run(installed, script)
        assert drift_of(installed, wanted) == []
    finally:
        installed.owner.execute('revoke all on chat.pins from "a; drop table chat.pins;--"')
        installed.owner.execute('drop role "a; drop table chat.pins;--"')


def test_a_mend_that_cannot_be_leaves_all_as_it_was(installed: Database, wanted: Catalogue) -> None:
    """Rows that break the rule which is to come back stop the whole."""
    installed.user("alice")
    run(
        installed,
        "alter table chat.profiles drop constraint profiles_username_check;"
        " update chat.profiles set username = '!';"
        " grant select on chat.messages to anon",
    )
    findings = drift_of(installed, wanted)
    with pytest.raises(psycopg.errors.CheckViolation):
        run(installed, mend(findings, allow_destructive=True))
    assert drift_of(installed, wanted) == findings


# Migrations -----------------------------------------------------------------------------------

RECORD = "supabase_migrations.schema_migrations"
LAST = FILES[-1]


@pytest.fixture(scope="module")
def last_made(stack: Stack, bare_template: str) -> Iterator[tuple[Catalogue, Makes]]:
    """What the migrations make, and what the last of them does."""
    with clone(stack, bare_template) as scratch:
        add_cron(scratch.owner)
        makes = build(scratch.owner, FILES, {file.version for file in FILES[:-1]})
        assert makes[LAST.file]
        yield Catalogue(scratch.owner), makes


def test_a_migration_that_ran_without_a_record(
    installed: Database, last_made: tuple[Catalogue, Makes]
) -> None:
    wanted, makes = last_made
    installed.owner.execute(f"delete from {RECORD} where version = %s", (LAST.version,))
    (finding,) = findings = find_drift(installed.owner, wanted, FILES, makes)
    assert (finding.name, finding.found) == (LAST.file, "run, not recorded")
    run(installed, mend(findings, allow_destructive=False))
    assert drift_of(installed, wanted) == []


def test_a_migration_that_has_not_run_is_one_finding(
    stack: Stack, bare_template: str, last_made: tuple[Catalogue, Makes]
) -> None:
    wanted, makes = last_made
    with clone(stack, bare_template) as older:
        add_cron(older.owner)
        older.owner.execute(RECORDS.encode())
        for migration in FILES[:-1]:
            migration.apply(older.owner)
            older.owner.execute(migration.record().encode())
        (finding,) = findings = find_drift(older.owner, wanted, FILES, makes)
        assert (finding.name, finding.found) == (LAST.file, "not run")
        run(older, mend(findings, allow_destructive=False))
        assert drift_of(older, wanted) == []


def test_a_migration_that_leaves_nothing_to_tell_by_is_left_to_people(
    installed: Database, wanted: Catalogue
) -> None:
    """Run again it might undo what later ones did; recorded, it might never run."""
    installed.owner.execute(f"delete from {RECORD} where version = %s", (FILES[0].version,))
    for makes in ({FILES[0].file: {}}, {FILES[0].file: {("table", "chat.messages"): "other"}}):
        (finding,) = findings = find_drift(installed.owner, wanted, FILES, makes)
        assert (finding.name, finding.found, finding.mend) == (FILES[0].file, "not recorded", [])
        assert "-- No statement is offered for migration" in mend(findings, allow_destructive=True)


def test_an_edited_migration(installed: Database, wanted: Catalogue) -> None:
    said = Migration(LAST.version, LAST.name, LAST.text.replace("'5s'", "'1s'"))
    installed.owner.execute(said.record().encode())
    (finding,) = findings = drift_of(installed, wanted)
    assert (finding.state, finding.kind, finding.name) == ("changed", "migration", LAST.file)
    assert "-set lock_timeout = '5s';" in finding.found
    assert "+set lock_timeout = '1s'" in finding.found
    run(installed, mend(findings, allow_destructive=False))
    assert drift_of(installed, wanted) == []


def test_other_comments_are_no_edit(installed: Database, wanted: Catalogue) -> None:
    said = replace(LAST, text=LAST.text.replace("set lock", "-- Words.\nset lock", 1))
    installed.owner.execute(said.record().encode())
    assert drift_of(installed, wanted) == []


def test_a_migration_of_another_version(installed: Database, wanted: Catalogue) -> None:
    run(installed, replace(LAST, version="20990101000000", name="newer").record())
    (finding,) = findings = drift_of(installed, wanted)
    assert (finding.state, finding.name) == ("extra", "20990101000000_newer.sql")
    run(installed, mend(findings, allow_destructive=False))
    assert drift_of(installed, wanted) == findings
    run(installed, mend(findings, allow_destructive=True))
    assert drift_of(installed, wanted) == []


def test_migrations_of_the_project_are_not_looked_at(
    installed: Database, wanted: Catalogue
) -> None:
    installed.owner.execute(
        f"insert into {RECORD} values ('20990101000000', '{{create table public.orders ()}}', 'o')"
    )
    assert drift_of(installed, wanted) == []


@pytest.mark.parametrize("loss", ["drop schema supabase_migrations cascade", f"truncate {RECORD}"])
def test_no_records_at_all(installed: Database, wanted: Catalogue, loss: str) -> None:
    installed.owner.execute(loss.encode())
    (finding,) = findings = drift_of(installed, wanted)
    assert (finding.kind, finding.state) == ("migrations", "missing")
    run(installed, mend(findings, allow_destructive=False))
    assert drift_of(installed, wanted) == []


def test_records_are_as_the_supabase_cli_writes_them(stack: Stack) -> None:
    with psycopg.connect(stack.db_url) as connection:
        rows = connection.execute(f"select statements from {RECORD} order by version").fetchall()
    assert [list(row[0]) for row in rows] == [file.statements() for file in FILES]


# The command ----------------------------------------------------------------------------------


def command(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "scripts/drift.py", "--db-url", url, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def url_of(database: Database) -> str:
    info = database.owner.info
    return f"postgresql://postgres:postgres@{info.host}:{info.port}/{info.dbname}"


def test_the_command_prints_json_and_changes_nothing(
    installed: Database, wanted: Catalogue
) -> None:
    run(installed, "grant select on chat.messages to anon; drop view chat.inbox cascade")
    findings = drift_of(installed, wanted)
    made = command(url_of(installed), "-o", "json")
    assert made.returncode == 1, made.stderr
    report = json.loads(made.stdout)
    assert [row["name"] for row in report["differences"]] == [f.name for f in findings]
    assert report["mend"] == mend(findings, allow_destructive=False)
    assert drift_of(installed, wanted) == findings


def test_the_page_shows_what_happens(
    installed: Database,
    wanted: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Every command of docs/how-to/drift.md, in its order, on the drift that it shows."""
    page = (ROOT / "docs/how-to/drift.md").read_text()
    commands, _ = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    (planted,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"\n```\n((?:CHANGED|EXTRA).*?)```", page, re.DOTALL)

    # Building one takes its time, and is tested above.
    monkeypatch.setattr("drift.empty_database", lambda: nullcontext(wanted.connection))
    monkeypatch.setattr("drift.build", lambda *_: {})
    run(installed, planted)
    said, script = [], ""
    for line in commands.splitlines():
        if line.startswith("psql"):
            run(installed, script)
            continue
        words = shlex.split(line.partition(" >")[0].replace("$DB_URL", url_of(installed)))
        monkeypatch.setattr("sys.argv", words)
        status = main()
        script = capsys.readouterr().out
        said.append((status, re.sub(r"in \S+ s", "in 5.0 s", script)))
    assert said[0] == (1, shown)
    assert said[2][0] == 1  # The column is still there.
    assert said[2][1].startswith("EXTRA: column chat.profiles.nick\n")
    assert said[2][1].count("expected:") == 1


def test_an_address_without_a_server_is_an_error() -> None:
    made = command("postgresql://127.0.0.1:1/x")
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("error: no connection")
