"""What is wrong is said in one clear sentence, with an exit code, and nothing is touched."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from parley_stack.ports import free_port
from support.stacks import stack_command, start_stack


def refused(project: Path, *arguments: str, env=None) -> tuple[int, str]:
    """Exit code and message of a start that must not succeed."""
    done = subprocess.run(
        stack_command("start", "--workdir", str(project), *arguments),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **(env or {})},
    )
    assert done.returncode != 0, done.stdout
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("option", ["--api-port", "--db-port"])
def test_port_taken(project, option):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        other = "--db-port" if option == "--api-port" else "--api-port"
        code, text = refused(project, option, str(port), other, str(free_port()))
    assert code == 1
    assert f"port {port}" in text
    assert str(os.getpid()) in text
    assert option in text
    assert not (project / ".parley" / "data").exists()


def test_no_project(tmp_path):
    code, text = refused(tmp_path)
    assert code == 2
    assert "config.toml" in text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[api\n", "line 2"),
        ("[api]\nprot = 54321\n", 'line 3, column 1: found unknown key "prot"'),
        ('[api]\nport = "many"\n', 'line 3, column 1: api.port is "many"'),
    ],
)
def test_bad_configuration_names_the_line(project, line, expected):
    (project / "supabase" / "config.toml").write_text('project_id = "x"\n' + line)
    code, text = refused(project)
    assert code == 2
    assert expected in text
    assert "supabase/config.toml" in text


def test_data_of_another_major_version(project):
    start_stack(project, "--api-port", str(free_port()), "--db-port", str(free_port())).stop()
    data = next((project / ".parley").glob("data"))
    (data / "PG_VERSION").write_text("14\n")
    code, text = refused(project, "--api-port", str(free_port()), "--db-port", str(free_port()))
    assert code == 1
    assert "PostgreSQL 14" in text
    assert (data / "global").exists()


def test_a_failing_migration_names_file_statement_and_message(project):
    where = ("--api-port", str(free_port()), "--db-port", str(free_port()))
    broken = project / "supabase/migrations/20260102000000_break.sql"
    broken.write_text("create table public.half (id int);\nalter table public.nothing add x int;\n")
    code, text = refused(project, *where)
    assert code == 1
    assert "20260102000000_break.sql" in text
    assert 'relation "public.nothing" does not exist' in text
    assert "alter table public.nothing" in text

    broken.write_text("create table public.half (id int);\n")
    stack = start_stack(project, *where)
    try:
        rows = httpx.get(f"{stack.api_url}/rest/v1/half", headers={"apikey": stack.secret_key})
        assert rows.json() == []
        # Seeds wait for the first start that succeeds.
        seeded = httpx.get(f"{stack.api_url}/rest/v1/notes", headers={"apikey": stack.secret_key})
        assert [row["body"] for row in seeded.json()] == ["seeded"]
    finally:
        stack.stop()


def test_a_second_start_while_the_first_is_starting(project):
    where = ("--api-port", str(free_port()), "--db-port", str(free_port()))
    first = subprocess.Popen(
        stack_command("start", "--workdir", str(project), *where),
        stdout=subprocess.PIPE,
        text=True,
    )
    with first, first.stdout:
        try:
            first.stdout.readline()
            code, text = refused(
                project, "--api-port", str(free_port()), "--db-port", str(free_port())
            )
        finally:
            first.terminate()
    assert code == 1
    assert "already starting or running" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_no_disk_space(project):
    small = project / ".parley"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(small)], capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        code, text = refused(project, "--api-port", str(free_port()), "--db-port", str(free_port()))
        assert code == 1
        assert "not enough disk space" in text
        assert not (small / "data").exists()
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_port_is_a_number(project):
    code, text = refused(project, "--api-port", "70000")
    assert code == 2
    assert "70000" in text
