"""``scripts/check-migrations`` finds nothing wrong with ours, and each fault planted in one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from check_migrations import check_database, check_folder, check_order, check_squawk
from migration_files import FOLDER, Migration, read_files

from support.databases import Database

FILES = read_files()
FIRST = FILES[0]
NEWLINE = "\n"
NAME = "20990101000000_create_things.sql"
GOOD = """\
-- Purpose: things.
-- Objects: chat.things.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

create table chat.things (id uuid primary key);
comment on table chat.things is 'Things.';
alter table chat.things enable row level security;

-- Security definer: to be seen here.
create function chat_private.thing() returns void
language sql security definer set search_path = '' as '';

do $$
begin
    perform 1;
end;
$$;
"""


def faults_of(text: str, folder: Path, name: str = NAME) -> list[tuple[int, str]]:
    (folder / name).write_text(text)
    return [(fault.line, fault.what) for fault in check_folder(folder)]


def test_our_own_files_have_no_fault() -> None:
    assert [*check_folder(), *check_squawk()] == []


def test_a_good_file_has_no_fault(tmp_path: Path) -> None:
    assert faults_of(GOOD, tmp_path) == []
    assert list(check_squawk(tmp_path)) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("things.sql", "is not called YYYYMMDDHHMMSS_verb_object.sql"),
        ("2099010100000_create_things.sql", "is not called YYYYMMDDHHMMSS_verb_object.sql"),
        ("20990101000000_CreateThings.sql", "is not called YYYYMMDDHHMMSS_verb_object.sql"),
        ("20990101000000_create_things.txt", "is not called YYYYMMDDHHMMSS_verb_object.sql"),
        ("20991301000000_create_things.sql", "20991301 is no date"),
    ],
)
def test_a_bad_name(tmp_path: Path, name: str, what: str) -> None:
    assert faults_of(GOOD, tmp_path, name) == [(0, what)]


def test_two_of_one_version(tmp_path: Path) -> None:
    (tmp_path / "20990101000000_add_things.sql").write_text(GOOD)
    assert faults_of(GOOD, tmp_path) == [(0, "has the version of 20990101000000_add_things.sql")]


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("-- Breaking: no.\n", "", "does not begin with comments"),
        ("-- Locks:   none on existing tables.\n", "", "does not begin with comments"),
        ("-- Purpose: things.\n-- Objects", "-- Objects", "does not begin with comments"),
        ("-- Purpose: things.", "-- Purpose:", "says nothing of Purpose"),
        ("set lock_timeout = '5s';", "", "its first statement is not: set lock_timeout"),
        ("set lock_timeout = '5s';", "set lock_timeout = 0;", "its first statement is not"),
        ("primary key);", "primary key;", "syntax: "),
        ("chat.things (", "things (", "things is not schema-qualified"),
        ("chat.things (", "public.things (", "public.things is not Parley's"),
        ("-- Security definer: to be seen here.", "", "a security definer without a comment"),
    ],
)
def test_a_fault_of_the_file(tmp_path: Path, old: str, new: str, what: str) -> None:
    assert old in GOOD
    assert [w for _, w in faults_of(GOOD.replace(old, new, 1), tmp_path) if w.startswith(what)]


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("begin;", "the Supabase CLI runs each file in one transaction"),
        ("commit;", "the Supabase CLI runs each file in one transaction"),
        ("truncate chat.messages;", "truncate loses rows"),
        ("drop table chat.messages;", "it drops what holds data"),
        ("drop schema chat;", "it drops what holds data"),
        ("alter table chat.messages drop column body;", "it drops a column"),
        ("drop function chat.leave(uuid) cascade;", "drop ... cascade takes along"),
        ("delete from chat.messages;", "it writes every row"),
        ("update chat.messages set body = '';", "it writes every row"),
        ("create index concurrently on chat.messages (body);", "concurrently does not run"),
        ("alter table chat.messages disable row level security;", "it turns row level security"),
        ("alter table chat.messages disable trigger all;", "it turns triggers off"),
        ("grant select on chat.messages to anon;", "it grants something to everybody"),
        ("grant execute on function chat.leave(uuid) to public;", "it grants something to every"),
        ("grant select on all tables in schema chat to authenticated;", "it grants on all there"),
        (
            "alter default privileges in schema chat grant select on tables to authenticated;",
            "default privileges are the host's",
        ),
        ("create role chatter;", "roles are the host's"),
        ("grant postgres to authenticated;", "roles are the host's"),
        ("create extension pg_trgm;", "extensions are the host's"),
        ("alter table chat.messages owner to anon;", "everything belongs to whoever installs it"),
        ("set search_path = '';", "it sets search_path"),
        ("set session_replication_role = replica;", "it sets session_replication_role"),
        ("copy chat.messages from '/etc/passwd';", "copy reads and writes files"),
        ("create rule r as on delete to chat.messages do instead nothing;", "a rule rewrites"),
        (
            "create trigger own after insert on auth.users for each row execute function f();",
            "auth.users is not Parley's",
        ),
        (
            "create policy own on storage.objects for select to authenticated using (true);",
            "storage.objects is not Parley's",
        ),
        ("insert into auth.users (id) values (null);", "auth.users is not Parley's"),
        ("do $$ begin delete from chat.messages; end $$;", "it writes every row"),
        (
            "do $$ begin if a then alter table chat.pins disable trigger all; end if; end $$;",
            "it turns triggers off",
        ),
    ],
)
def test_a_forbidden_statement(tmp_path: Path, statement: str, what: str) -> None:
    text = f"{GOOD}\n-- Another.\n{statement}\n"
    ((line, found),) = faults_of(text, tmp_path)
    assert (line, found[: len(what)]) == (text.count("\n"), what)


@pytest.mark.parametrize(
    "statement",
    [
        "create trigger parley_x after insert on auth.users for each row execute function f();",
        'create policy "parley: x" on storage.objects for select to authenticated using (true);',
        "alter publication supabase_realtime add table chat.things;",
        "drop policy x on chat.messages;",
        "delete from chat.messages where seq = 1;",
    ],
)
def test_what_is_allowed(tmp_path: Path, statement: str) -> None:
    assert faults_of(f"{GOOD}\n{statement}\n", tmp_path) == []


def test_what_breaks_may_drop_if_it_says_so(tmp_path: Path) -> None:
    text = GOOD.replace("Breaking: no.", "Breaking: yes, things of 0.1.0 go.")
    assert faults_of(f"{text}\ndrop table chat.tiers;\n", tmp_path) == []


def test_squawk_is_asked(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("alter table chat.messages add column n int not null;\n")
    assert "adding-required-field" in " ".join(fault.what for fault in check_squawk(tmp_path))


# Order ----------------------------------------------------------------------------------------


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A folder of which git has a release, with one migration."""
    (tmp_path / NAME).write_text(GOOD)

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(
            ["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True
        )

    git("init")
    git("add", ".")
    git("commit", "-m", "release")
    git("tag", "v1")
    return tmp_path


def test_a_newer_migration_comes_after_the_release(released: Path) -> None:
    (released / "20990102000000_create_more.sql").write_text(GOOD)
    assert list(check_order("v1", released)) == []


def test_an_earlier_version_than_the_release_is_the_wrong_order(released: Path) -> None:
    (released / "20980101000000_create_more.sql").write_text(GOOD)
    (fault,) = check_order("v1", released)
    assert fault.what == f"is new since v1, and comes before {NAME}"


def test_a_released_migration_stays(released: Path) -> None:
    (released / NAME).write_text(f"{GOOD}select 1;\n")
    (fault,) = check_order("v1", released)
    assert fault.what == "has changed since v1: write another migration"
    (released / NAME).unlink()
    (fault,) = check_order("v1", released)
    assert fault.what == "is gone since v1"


# The throw-away database ----------------------------------------------------------------------


def after_the_first(text: str) -> list[Migration]:
    return [FIRST, Migration("20990101000000", "create_things", f"{GOOD}\n{text}\n")]


def faults_in(database: Database, text: str = "") -> list[str]:
    return [
        f"{f.file}:{f.line}: {f.what}"
        for f in check_database(database.owner, after_the_first(text))
    ]


def test_a_good_file_applies_and_uninstalls(bare: Database) -> None:
    assert faults_in(bare) == []
    assert bare.owner.execute("select to_regnamespace('chat')").fetchone() == (None,)


def test_all_of_ours_apply_and_uninstall(bare: Database) -> None:
    assert list(check_database(bare.owner, FILES)) == []


def test_a_file_that_does_not_apply(bare: Database) -> None:
    (fault,) = faults_in(bare, "create view chat.v as select * from chat.nothing;")
    assert fault.startswith(f"{NAME}:{GOOD.count(NEWLINE) + 2}: does not apply: ")


def test_files_in_the_wrong_order(bare: Database) -> None:
    (fault, *_) = check_database(bare.owner, [FILES[1], FILES[0]])
    assert (fault.file, fault.what[:16]) == (FILES[1].file, "does not apply: ")


def test_a_file_that_changes_something_each_time(bare: Database) -> None:
    text = GOOD.replace("create table", "create table if not exists").replace(
        "create function", "create or replace function"
    )
    again = Migration(
        "20990101000000",
        "create_things",
        f"{text}\ninsert into chat.things (id) values (gen_random_uuid());\n",
    )
    (fault,) = check_database(bare.owner, [FIRST, again])
    assert (fault.file, fault.what[:27]) == (NAME, "run again, it changes ('cha")


def test_a_file_that_fails_otherwise_when_run_again(bare: Database) -> None:
    head = GOOD[: GOOD.index("create table")]
    text = f"{head}alter table chat_private.errors rename hint to tip;"
    (fault,) = check_database(bare.owner, [FIRST, Migration("20990101000000", "rename_hint", text)])
    assert fault.what.startswith('run again, it fails with column "hint" does not exist')


@pytest.mark.parametrize(
    ("left", "what"),
    [
        ("create table public.things ();", "leaves relation public.things"),
        (
            "create policy own on storage.objects for select to authenticated using (true);",
            "leaves policy storage.objects.own",
        ),
        (
            "insert into storage.buckets (id, name) values ('own', 'own');",
            "leaves bucket own",
        ),
        (
            "create function public.f() returns int language sql as 'select 1';",
            "leaves function public.f()",
        ),
    ],
)
def test_what_uninstalling_leaves(bare: Database, left: str, what: str) -> None:
    assert f"uninstall.sql:0: {what}" in faults_in(bare, left)


def test_what_uninstalling_takes_along(bare: Database) -> None:
    bare.owner.execute('create policy "parley: own" on realtime.messages using (true)')
    assert "uninstall.sql:0: takes along policy realtime.messages.parley: own" in faults_in(bare)


def test_a_record_that_stays(bare: Database) -> None:
    text = GOOD.replace("-- Purpose", "-- Goal")
    (fault,) = check_database(bare.owner, [FIRST, Migration("20990101000000", "x_y", text)])
    assert (fault.file, fault.what) == ("uninstall.sql", "leaves the record of 20990101000000")


def test_the_command_says_where(tmp_path: Path) -> None:
    """With its own copy of the project, of which one file is no SQL."""
    root = FOLDER.parents[1]
    for name in ("scripts", "supabase"):
        shutil.copytree(root / name, tmp_path / name)
    shutil.copy(root / ".squawk.toml", tmp_path)
    with (tmp_path / "supabase/migrations" / NAME).open("w") as file:
        file.write(f"{GOOD}select from where;\n")
    done = subprocess.run(
        [sys.executable, "scripts/check_migrations.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert (
        f'{NAME}:{GOOD.count(NEWLINE) + 1}: syntax: syntax error at or near "where"' in done.stdout
    )
