"""The pytest plugin and the `test` command, on a project that is not Parley's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.stacks import stack_command

TESTS = '''
import psycopg
import pytest

pytest_plugins = ["parley_stack.pytest_plugin"]


def test_users_act_over_http(stack, as_user):
    """A user has a token; the address finds them again; metadata is kept."""
    alice, bob = as_user("alice@example.com", name="Alice"), as_user()
    assert as_user("alice@example.com").id == alice.id != bob.id
    assert alice.http.post("/rest/v1/notes", json={"body": "mine"}).status_code == 201
    bodies = [row["body"] for row in bob.http.get("/rest/v1/notes?order=id").json()]
    assert bodies == ["seeded", "mine"]
    assert alice.http.get("/auth/v1/user").json()["user_metadata"]["name"] == "Alice"


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_has_a_database(database, sql_as, attempt):
    """Migrated, without seeds, without what another test wrote."""
    user_id = database.user("carol")
    assert database.owner.execute("select count(*) from public.notes").fetchone() == (0,)
    carol = sql_as(user_id, email="carol@example.com")
    carol.execute("insert into public.notes (body) values ('hers')")
    assert carol.execute("select auth.uid()::text, auth.email()").fetchone() == (
        user_id, "carol@example.com"
    )
    anon = sql_as(None, role="anon")
    assert anon.execute("select body from public.notes").fetchall() == [("hers",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        anon.execute("delete from public.notes; select * from auth.users")
'''


def run(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs it without what the running pytest has put into the environment."""
    env = {name: value for name, value in os.environ.items() if "PYTEST" not in name}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=90)


@pytest.fixture
def tested_project(project: Path) -> Path:
    """The project with tests that use the plugin."""
    (project / "test_notes.py").write_text(TESTS)
    return project


def test_plugin_starts_a_stack_of_its_own(tested_project: Path) -> None:
    """Plain pytest, nothing running, nothing left."""
    ended = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], tested_project)
    assert ended.returncode == 0, ended.stdout
    assert "3 passed" in ended.stdout
    assert not (tested_project / ".parley").exists()


def test_workdir_is_an_ini_option(tested_project: Path) -> None:
    """The tests may live beside the project."""
    (tested_project / "backend").mkdir()
    (tested_project / "supabase").rename(tested_project / "backend" / "supabase")
    (tested_project / "pytest.ini").write_text("[pytest]\nsupabase_workdir = backend\n")
    ended = run([sys.executable, "-m", "pytest", "-q", "-k", "database"], tested_project)
    assert "2 passed" in ended.stdout, ended.stdout


def test_command_runs_pytest_by_default(tested_project: Path) -> None:
    """On one stack, which its tests use."""
    ended = run(stack_command("test", "--workdir", str(tested_project)), tested_project.parent)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "3 passed" in ended.stdout


def test_command_passes_on_environment_and_exit_code(project: Path) -> None:
    """Any program finds the stack, in the project's folder."""
    script = (
        "import os, pathlib, urllib.request as r\n"
        "assert pathlib.Path('supabase/config.toml').exists()\n"
        "assert os.environ['API_URL'] == os.environ['SUPABASE_URL']\n"
        "headers = {'apikey': os.environ['SUPABASE_ANON_KEY']}\n"
        "url = os.environ['SUPABASE_URL'] + '/rest/v1/notes'\n"
        "print(r.urlopen(r.Request(url, headers=headers)).read().decode())\n"
        "raise SystemExit(7)\n"
    )
    ended = run(
        stack_command("test", "--workdir", str(project), "--", sys.executable, "-c", script),
        project.parent,
    )
    assert ended.returncode == 7, ended.stderr
    assert '"body":"seeded"' in ended.stdout


def test_command_that_is_not_there(project: Path) -> None:
    """An error of one line; the stack is gone."""
    ended = run(stack_command("test", "--workdir", str(project), "--", "no-such-program"), project)
    assert ended.returncode == 1
    assert ended.stderr == "error: cannot run no-such-program: No such file or directory\n"


def test_project_that_does_not_start(project: Path) -> None:
    """What is wrong is said once, by the stack."""
    (project / "supabase" / "migrations" / "20260102000000_wrong.sql").write_text("select wrong;")
    ended = run(stack_command("test", "--workdir", str(project)), project)
    assert ended.returncode == 1
    assert 'column "wrong" does not exist' in ended.stderr
