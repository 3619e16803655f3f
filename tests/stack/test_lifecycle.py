"""Starting, stopping, starting again, side by side."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import psycopg

from parley_stack.ports import free_port
from support.stacks import eventually, stack_command, start_stack


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """One command of the stack, to its end."""
    return subprocess.run(
        stack_command(*arguments), capture_output=True, text=True, timeout=60, **options
    )


def ports() -> list[str]:
    return ["--api-port", str(free_port()), "--db-port", str(free_port())]


def processes_of(project: Path) -> list[str]:
    """Command lines of living processes that name the project's folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(project) in command and entry.parent.name != str(os.getpid()):
            found.append(command)
    return found


def notes(stack) -> list[str]:
    response = httpx.get(
        f"{stack.api_url}/rest/v1/notes?order=id", headers={"apikey": stack.publishable_key}
    )
    assert response.status_code == 200, response.text
    return [row["body"] for row in response.json()]


def add_note(stack, body: str) -> int:
    return httpx.post(
        f"{stack.api_url}/rest/v1/notes",
        json={"body": body},
        headers={"apikey": stack.publishable_key},
        timeout=5,
    ).status_code


def test_data_outlives_a_stop_and_seeds_run_once(project):
    where = ports()
    first = start_stack(project, *where)
    try:
        # The command line wins over config.toml.
        assert (
            first.api_url.rpartition(":")[2],
            psycopg.conninfo.conninfo_to_dict(first.db_url)["port"],
        ) == (where[1], where[3])
        assert notes(first) == ["seeded"]
        assert add_note(first, "kept") == 201
    finally:
        assert first.stop() == 0
    assert processes_of(project) == []

    second = start_stack(project, *where)
    try:
        assert notes(second) == ["seeded", "kept"]
    finally:
        second.stop()


def test_detached_status_twice_and_stop(project):
    where = ports()
    try:
        started = run("start", "--workdir", str(project), "--detach", *where)
        assert started.returncode == 0, started.stdout + started.stderr
        assert "Ready" in started.stdout

        env = run("status", "--workdir", str(project), "-o", "env").stdout
        names = [line.split("=")[0] for line in env.splitlines()]
        assert {
            "API_URL", "DB_URL", "ANON_KEY", "SERVICE_ROLE_KEY", "PUBLISHABLE_KEY", "SECRET_KEY",
            "JWT_SECRET",
        } <= set(names)  # fmt: skip
        shown = json.loads(run("status", "--workdir", str(project), "-o", "json").stdout)
        assert httpx.get(f"{shown['API_URL']}/auth/v1/health").status_code == 200

        again = run("start", "--workdir", str(project), "--detach", *where)
        assert again.returncode == 0
        assert "Already running" in again.stdout

        elsewhere = run("start", "--workdir", str(project), "--api-port", str(free_port()))
        assert elsewhere.returncode == 1
        assert "already runs" in elsewhere.stderr
    finally:
        stopped = run("stop", "--workdir", str(project))
    assert stopped.returncode == 0
    assert processes_of(project) == []
    assert run("status", "--workdir", str(project)).returncode == 1
    assert run("stop", "--workdir", str(project)).returncode == 0


def test_a_detached_ephemeral_stack_is_found_and_leaves_nothing(project):
    try:
        started = run("start", "--workdir", str(project), "--detach", "--ephemeral")
        assert started.returncode == 0, started.stdout + started.stderr
        again = run("start", "--workdir", str(project), "--detach", "--ephemeral")
        assert "Already running" in again.stdout
        shown = json.loads(run("status", "--workdir", str(project), "-o", "json").stdout)
        assert httpx.get(f"{shown['API_URL']}/auth/v1/health").status_code == 200
    finally:
        stopped = run("stop", "--workdir", str(project))
    assert "its data is gone" in stopped.stdout
    assert processes_of(project) == []
    assert not (project / ".parley" / "data").exists()


def test_reset_starts_over(project):
    stack = start_stack(project, *ports())
    add_note(stack, "gone soon")
    stack.stop()
    assert run("reset", "--workdir", str(project)).returncode == 0
    stack = start_stack(project, *ports())
    try:
        assert notes(stack) == ["seeded"]
    finally:
        stack.stop()


def test_two_stacks_side_by_side(project, stack):
    other = start_stack(project, *ports())
    try:
        assert notes(other) == ["seeded"]
        assert httpx.get(f"{stack.api_url}/auth/v1/health").status_code == 200
        # They share nothing but the well-known keys.
        with psycopg.connect(stack.db_url) as connection:
            found = connection.execute("select to_regclass('public.notes')").fetchone()
        assert found == (None,)
    finally:
        other.stop()


def test_a_later_migration_is_applied_at_the_next_start(project):
    where = ports()
    start_stack(project, *where).stop()
    (project / "supabase/migrations/20260102000000_add_author.sql").write_text(
        "alter table public.notes add column author text;\n"
    )
    stack = start_stack(project, *where)
    try:
        response = httpx.get(
            f"{stack.api_url}/rest/v1/notes?select=author",
            headers={"apikey": stack.publishable_key},
        )
        assert response.json() == [{"author": None}]
        listed = subprocess.run(
            [
                next(Path.cwd().glob("node_modules/@supabase/cli-*/bin/supabase")),
                "migration",
                "list",
                f"--remote={stack.db_url}?sslmode=disable",
                f"--workdir={project}",
            ],
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(project), "DO_NOT_TRACK": "1"},
        ).stdout
        for version in ("20260101000000", "20260102000000"):
            assert listed.count(version) == 2, listed
    finally:
        stack.stop()


def test_nothing_is_left_when_the_supervisor_is_killed(project):
    where = ports()
    stack = start_stack(project, *where)
    add_note(stack, "acknowledged")
    stack.process.send_signal(signal.SIGKILL)
    stack.process.wait()
    eventually(lambda: processes_of(project) == [], what="children end with their parent")

    stack = start_stack(project, *where)
    try:
        assert notes(stack) == ["seeded", "acknowledged"]
    finally:
        stack.stop()


def test_stopping_while_starting_leaves_nothing(project):
    process = subprocess.Popen(
        stack_command("start", "--workdir", str(project), *ports()),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process, process.stdout:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    assert processes_of(project) == []
    stack = start_stack(project, *ports())
    try:
        assert notes(stack) == ["seeded"]
    finally:
        stack.stop()


def test_ports_are_on_loopback_only(stack):
    api_port = httpx.URL(stack.api_url).port
    db_port = psycopg.conninfo.conninfo_to_dict(stack.db_url)["port"]
    for port in (api_port, int(db_port)):
        with socket.socket() as probe:
            # Somebody may bind it on all other addresses, so the stack has not.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.2", port))


def test_a_configuration_with_the_old_name_of_the_mail_catcher(project):
    config = project / "supabase" / "config.toml"
    config.write_text(config.read_text() + '[db.seed]\nsql_paths = ["../more/*.sql"]\n[inbucket]\n')
    (project / "more").mkdir()
    (project / "supabase" / "seed.sql").rename(project / "more" / "seed.sql")
    running = start_stack(project, "--ephemeral")
    try:
        assert notes(running) == ["seeded"]
    finally:
        running.stop()
