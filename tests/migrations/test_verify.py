"""``scripts/verify`` finds nothing on a fresh install, and each weakness planted in one."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import isolation
import psycopg
import pytest
import verify

from migrations.weaknesses import WEAKNESSES, Weakness
from support.databases import Database
from support.stacks import ROOT


@pytest.mark.parametrize("weakness", WEAKNESSES, ids=lambda weakness: weakness.name)
def test_a_planted_weakness_is_found(database: Database, weakness: Weakness) -> None:
    expected = verify.golden_structure()
    assert verify.compare_structure(expected, verify.read_structure(database.owner)) == []
    database.owner.execute(weakness.sql.encode())
    found = verify.compare_structure(expected, verify.read_structure(database.owner))
    if weakness.difference:
        assert weakness.difference in {difference.what for difference in found}
    if weakness.attack:
        ((attempts, _),) = isolation.play(database.owner, [weakness.attack])
        attacks = isolation.succeeded(attempts, isolation.golden())
        assert weakness.by in {f"{attack.role}: {attack.name}" for attack in attacks}


def _run(
    database: Database, *arguments: str, user: str = "postgres"
) -> subprocess.CompletedProcess[str]:
    dsn = database.owner.info.get_parameters()
    url = f"postgresql://{user}:postgres@{dsn['host']}:{dsn['port']}/{dsn['dbname']}"
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "verify.py", "--db-url", url, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def _rows(connection: psycopg.Connection) -> list[tuple[str, int]]:
    """How many rows each table has."""
    tables = connection.execute(
        "select n.nspname || '.' || c.relname from pg_class as c"
        " inner join pg_namespace as n on c.relnamespace = n.oid"
        " where c.relkind = 'r' and n.nspname in"
        " ('auth', 'chat', 'chat_private', 'realtime', 'storage') order by 1"
    ).fetchall()
    return [
        (name, connection.execute(f"select count(*) from {name}".encode()).fetchone()[0])
        for (name,) in tables
    ]


def test_a_fresh_install_has_no_findings_and_is_left_as_it_was(database: Database) -> None:
    for name in ("alice", "bob"):
        database.user(name)
    before = _rows(database.owner)
    made = _run(database, "-o", "json")
    report = json.loads(made.stdout)
    assert (report["attacks"], report["differences"], made.returncode) == ([], [], 0)
    assert report["attempts"] > 5000
    assert _rows(database.owner) == before


def test_the_command_says_what_it_found_and_how(database: Database) -> None:
    database.owner.execute("alter table chat.messages disable row level security")
    made = _run(database)
    assert made.returncode == 1
    assert re.search(
        r"ATTACK: select chat.messages: by .*moderator former banned stranger", made.stdout
    )
    assert "  with:     select coalesce(jsonb_agg(" in made.stdout
    assert "DIFFERENCE: table chat.messages\n" in made.stdout
    assert re.search(r"attacks played and undone in \S+ s: \d+ succeeded", made.stdout)


def test_the_attacks_are_played_by_a_function(database: Database) -> None:
    assert verify.play_attacks(database.url) == []
    database.owner.execute("grant update on chat.messages to authenticated")
    (attack, *_) = verify.play_attacks(database.url)
    assert (attack.verb, attack.object, attack.expected, attack.result) == (
        "update",
        "chat.messages",
        "no permission",
        "nothing",
    )


def test_a_database_without_parley_is_an_error(database: Database) -> None:
    database.owner.execute((ROOT / "supabase" / "uninstall.sql").read_bytes())
    made = _run(database)
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("error: Parley is not installed in this database")


def test_a_role_that_cannot_act_as_others_is_an_error(database: Database) -> None:
    made = _run(database, user="authenticator")
    assert (made.returncode, made.stdout) == (2, "")
    assert made.stderr.startswith("error: this role cannot act as everybody else")


def test_an_address_without_a_server_is_an_error() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "verify.py", "--db-url", "postgresql://127.0.0.1:1/x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 2
    assert made.stderr.startswith("error: no connection")
