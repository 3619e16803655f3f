"""Installing and uninstalling leaves a database as it was, whatever the project has in it."""

from __future__ import annotations

import isolation
import psycopg
import pytest
from catalogue import read_catalogue

from support.databases import MIGRATIONS, Database, migrate
from support.stacks import ROOT

UNINSTALL = (ROOT / "supabase" / "uninstall.sql").read_bytes()


@pytest.fixture
def project(bare: Database) -> psycopg.Connection:
    """A database as a project has it before Parley, with things of its own."""
    bare.owner.execute(
        """
        create table public.orders (id uuid primary key, buyer_id uuid);
        alter table public.orders enable row level security;
        create policy "own" on public.orders for select to authenticated
        using (buyer_id = (select auth.uid()));
        alter publication supabase_realtime add table public.orders;
        create policy "the project's" on realtime.messages for select
        to authenticated using (realtime.topic() = 'lobby');
        create function public.greet() returns trigger language plpgsql
        as 'begin return null; end';
        create trigger greet after insert on auth.users
        for each row execute function public.greet();
        insert into storage.buckets (id, name) values ('avatars', 'avatars');
        create schema supabase_migrations;
        create table supabase_migrations.schema_migrations (
            version text primary key, statements text [], name text
        );
        insert into supabase_migrations.schema_migrations
        values ('20200101000000', '{create table public.orders ()}', 'chat_orders');
        """
    )
    return bare.owner


def _install(connection: psycopg.Connection) -> None:
    """As the Supabase CLI does, with its records."""
    migrate(connection)
    for path in MIGRATIONS:
        version, name = path.stem.split("_", 1)
        connection.execute(
            "insert into supabase_migrations.schema_migrations values (%s, %s, %s)",
            (version, [path.read_text()], name),
        )


def _uninstall(connection: psycopg.Connection) -> None:
    with connection.transaction():
        connection.execute(UNINSTALL)


def test_uninstalling_leaves_what_was_there_before(project: psycopg.Connection) -> None:
    before = read_catalogue(project)
    _install(project)
    assert len(read_catalogue(project)) > len(before) + 500
    _uninstall(project)
    after = read_catalogue(project)
    assert (after - before, before - after) == (set(), set())
    assert project.execute(
        "select version from supabase_migrations.schema_migrations"
    ).fetchall() == [("20200101000000",)]

    _install(project)
    _uninstall(project)
    assert read_catalogue(project) == before


def test_uninstalling_takes_the_data_along_and_nothing_of_the_project(
    project: psycopg.Connection,
) -> None:
    before = read_catalogue(project)
    _install(project)
    # The world of the attacks has a row in every table of chat.
    with psycopg.connect(project.info.dsn + " password=postgres") as other:
        for path in sorted((isolation.FOLDER / "attacks").glob("*.sql")):
            other.execute(path.read_bytes())
        other.execute("select pg_temp.verify_make_world()")
        (empty,) = other.execute(
            "select array_agg(r.name) from pg_temp.verify_relations as r where r.is_table"
            " and r.name like 'chat.%' and not exists"
            " (select from pg_temp.verify_world as w where w.relation = r.name)"
        ).fetchone()
        other.execute("discard temp")
        # Through the Storage API, elsewhere.
        other.execute("select set_config('storage.allow_delete_query', 'true', true)")
        other.execute("delete from storage.objects")
        users = other.execute("select count(*) from auth.users").fetchone()
        other.commit()
    assert empty == ["chat.tiers"]
    _uninstall(project)
    assert read_catalogue(project) == before
    assert project.execute("select count(*) from auth.users").fetchone() == users


def test_jobs_of_the_project_go_on(project: psycopg.Connection) -> None:
    # As pg_cron has it: the extension is not on every machine.
    project.execute(
        """
        create schema cron;
        create table cron.job (jobid bigint, jobname text, command text);
        create function cron.unschedule(id bigint) returns boolean language sql
        as 'delete from cron.job where jobid = id returning true';
        create function cron.schedule(name text, schedule text, command text) returns bigint
        language sql as 'insert into cron.job
        values ((select count(*) + 1 from cron.job), $1, $3) returning jobid';
        select cron.schedule('nightly', '0 0 * * *', 'select chat.check_counters()');
        """
    )
    before = read_catalogue(project)
    _install(project)
    project.execute("select cron.schedule('parley-sweep', '* * * * *', 'select 1')")
    _uninstall(project)
    assert read_catalogue(project) == before
    assert project.execute("select jobname from cron.job").fetchall() == [("nightly",)]


def test_uninstalling_what_is_not_installed_changes_nothing(project: psycopg.Connection) -> None:
    before = read_catalogue(project)
    _uninstall(project)
    assert read_catalogue(project) == before


@pytest.mark.parametrize(
    "dependent",
    [
        "alter table public.orders add conversation_id uuid references chat.conversations (id)",
        "create view public.talk as select body from chat.messages",
        (
            "create function public.f() returns setof chat.messages language sql"
            " as 'select (null::chat.messages).*'"
        ),
        (
            "create policy p on public.orders for select using"
            " (id = any (array(select chat_private.conversation_ids_for_member())))"
        ),
        (
            "create function public.g() returns void language sql begin atomic"
            " select chat_private.now(); end"
        ),
        "alter table public.orders add at timestamptz default chat_private.now()",
    ],
    ids=["foreign key", "view", "result type", "policy", "function", "default"],
)
def test_what_the_project_built_on_parley_stops_it(
    project: psycopg.Connection, dependent: str
) -> None:
    _install(project)
    project.execute(dependent.encode())
    installed = read_catalogue(project)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as raised:
        _uninstall(project)
    assert raised.value.diag.message_primary == "Objects of the project depend on Parley."
    assert raised.value.diag.message_hint
    assert read_catalogue(project) == installed


@pytest.mark.parametrize("bucket", ["chat-attachments", "chat-exports"])
def test_files_in_a_bucket_stop_it(project: psycopg.Connection, bucket: str) -> None:
    _install(project)
    if project.execute("select from storage.buckets where id = %s", (bucket,)).fetchone() is None:
        pytest.skip("there is no bucket")
    project.execute(
        "insert into storage.objects (bucket_id, name) values (%s, 'a/b.png')", (bucket,)
    )
    installed = read_catalogue(project)
    with pytest.raises(psycopg.errors.DependentObjectsStillExist) as raised:
        _uninstall(project)
    assert raised.value.diag.message_primary == "A bucket of Parley is not empty."
    assert read_catalogue(project) == installed
