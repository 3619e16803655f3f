"""``pg_cron`` and ``pg_net`` as migrations use them, run by the stack."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.stacks import Stack, eventually, start_stack

MIGRATION = """
create extension if not exists pg_cron with schema pg_catalog;
create extension if not exists pg_net with schema extensions;
create table public.ticks (at timestamptz not null default now(), who text default current_user);
select cron.schedule('tick', '1 seconds', 'insert into public.ticks default values');
select cron.schedule('broken', '1 seconds', 'select 1 / 0');
select cron.schedule('nightly', '30 3 * * 1-5', $$select 1$$);
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("cron")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True)
    (folder / "supabase" / "config.toml").write_text('project_id = "cron"\n')
    (migrations / "20260101000000_jobs.sql").write_text(MIGRATION)
    running = start_stack(Path(folder), "--ephemeral")
    yield running
    running.stop()


@pytest.fixture
def db(served: Stack) -> Iterator[psycopg.Connection]:
    with psycopg.connect(served.db_url, autocommit=True) as connection:
        yield connection


def value(db: psycopg.Connection, query: str, *values: Any) -> Any:
    row = db.execute(query, values).fetchone()
    return row and row[0]


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    """A server that answers with what it was asked, slowly below /slow."""
    release = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if self.path.startswith("/slow"):
                release.wait(20)
            size = int(self.headers.get("content-length") or 0)
            said = {
                "method": self.command,
                "path": self.path,
                "body": self.rfile.read(size).decode(),
                "type": self.headers.get("content-type"),
                "own": self.headers.get("x-own"),
            }
            self.send_response(418)
            self.send_header("content-type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    release.set()
    server.shutdown()
    server.server_close()


def test_jobs_run_as_their_user_and_leave_details(db: psycopg.Connection) -> None:
    eventually(lambda: value(db, "select count(*) from public.ticks") >= 2, seconds=30)
    assert value(db, "select distinct who from public.ticks") == "postgres"
    eventually(
        lambda: (
            db.execute(
                "select j.jobname, d.status, d.return_message from cron.job_run_details as d "
                "join cron.job as j using (jobid) where d.status <> 'running' "
                "group by 1, 2, 3 order by 1"
            ).fetchall()
            == [
                ("broken", "failed", "ERROR:  division by zero"),
                ("tick", "succeeded", "INSERT 0 1"),
            ]
        ),
        seconds=30,
    )


def test_jobs_are_replaced_altered_and_ended(db: psycopg.Connection) -> None:
    first = value(db, "select cron.schedule('own', '0 0 * * *', 'select 1')")
    assert value(db, "select cron.schedule('own', '5 4 * * sun', 'select 2')") == first
    db.execute("select cron.alter_job(%s, active := false)", (first,))
    row = db.execute(
        "select schedule, command, active, username, database from cron.job where jobid = %s",
        (first,),
    ).fetchone()
    assert row == ("5 4 * * sun", "select 2", False, "postgres", "postgres")
    assert value(db, "select cron.unschedule('own')") is True
    with pytest.raises(psycopg.errors.RaiseException, match="could not find valid entry"):
        db.execute("select cron.unschedule('own')")
    unnamed = value(db, "select cron.schedule('@daily', 'select 1')")
    assert value(db, "select cron.unschedule(%s::bigint)", unnamed) is True


@pytest.mark.parametrize("schedule", ["", "every day", "* * * *", "60 seconds", "* * * * * *"])
def test_malformed_schedules_are_refused(db: psycopg.Connection, schedule: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="invalid schedule"):
        db.execute("select cron.schedule('wrong', %s, 'select 1')", (schedule,))
    assert value(db, "select count(*) from cron.job where jobname = 'wrong'") == 0


def test_others_see_no_jobs(db: psycopg.Connection) -> None:
    with db.transaction(force_rollback=True):
        db.execute("set local role anon")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute("select * from cron.job")


def response(db: psycopg.Connection, request_id: int) -> tuple[Any, ...]:
    """The kept answer, once it is there."""
    query = (
        "select status_code, content_type, content, timed_out, error_msg "
        "from net._http_response where id = %s"
    )
    eventually(lambda: db.execute(query, (request_id,)).fetchone(), seconds=20)
    row = db.execute(query, (request_id,)).fetchone()
    assert row is not None
    return row


def test_requests_are_sent_after_commit(db: psycopg.Connection, echo: str) -> None:
    with db.transaction(force_rollback=True):
        undone = value(db, "select net.http_get(%s)", f"{echo}/undone")
    got = value(
        db,
        "select net.http_get(%s, %s, %s)",
        f"{echo}/a?x=1",
        json.dumps({"y z": "ä&"}),
        json.dumps({"x-own": "1"}),
    )
    status, kind, content, timed_out, error = response(db, got)
    assert (status, kind, timed_out, error) == (418, "application/json", False, None)
    assert json.loads(content)["path"] == "/a?x=1&y%20z=%C3%A4%26"
    assert json.loads(content)["own"] == "1"
    assert value(db, "select count(*) from net._http_response where id = %s", undone) == 0
    assert value(db, "select (net._http_collect_response(%s)).status::text", got) == "SUCCESS"


def test_bodies_are_json(db: psycopg.Connection, echo: str) -> None:
    posted = value(db, "select net.http_post(%s, %s)", f"{echo}/p", json.dumps({"a": 1}))
    said = json.loads(response(db, posted)[2])
    assert (said["method"], said["body"], said["type"]) == ("POST", '{"a": 1}', "application/json")
    deleted = value(db, "select net.http_delete(%s)", f"{echo}/d")
    assert json.loads(response(db, deleted)[2])["method"] == "DELETE"
    with pytest.raises(psycopg.errors.RaiseException, match="Content-Type"):
        db.execute(
            "select net.http_post(%s, '{}', '{}', %s)",
            (echo, json.dumps({"content-type": "text/plain"})),
        )


def test_failures_are_kept(db: psycopg.Connection, echo: str) -> None:
    slow = value(db, "select net.http_get(%s, timeout_milliseconds := 50)", f"{echo}/slow")
    nobody = value(db, "select net.http_get('http://127.0.0.1:1/')")
    nonsense = value(db, "select net.http_get('no address')")
    assert response(db, slow)[3:] == (True, "Timeout of 50 ms reached.")
    for request_id in (nobody, nonsense):
        assert response(db, request_id)[0] is None
        assert response(db, request_id)[4]
    status = "select (net._http_collect_response(%s)).status::text"
    assert value(db, status, nobody) == "ERROR"
    assert value(db, status, 10**9) == "PENDING"
