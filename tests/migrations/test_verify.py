"""``scripts/verify`` finds nothing on a fresh install, and each weakness planted in one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

import psycopg
import pytest
import verify

from support.databases import Database
from support.stacks import ROOT


class Weakness(NamedTuple):
    """Something an administrator might do; ``attack`` is the part of the play that shows it."""

    name: str
    sql: str
    difference: str
    attack: str | None = None


_POLICY = '"participants can read their conversations" on chat.conversations'

WEAKNESSES = (
    Weakness(
        "policy dropped",
        f"drop policy {_POLICY}",
        'policy chat.conversations "participants can read their conversations"',
    ),
    Weakness(
        "policy true",
        f"alter policy {_POLICY} using (true)",
        'policy chat.conversations "participants can read their conversations"',
        "verify_reads('^chat.conversations$')",
    ),
    Weakness(
        "policy for everybody",
        f"alter policy {_POLICY} to public",
        'policy chat.conversations "participants can read their conversations"',
    ),
    Weakness(
        "policy for anon added",
        "grant usage on schema chat to anon; grant select on chat.messages to anon;"
        ' create policy "anon" on chat.messages for select to anon using (true)',
        'policy chat.messages "anon"',
        "verify_reads('^chat.messages$')",
    ),
    Weakness(
        "policy on realtime.messages true",
        'alter policy "parley: users can hear their conversations and their inbox"'
        " on realtime.messages using (true)",
        'policy realtime.messages "parley: users can hear their conversations and their inbox"',
        "verify_realtime()",
    ),
    Weakness(
        "policy of the project's own on realtime.messages",
        'create policy "all" on realtime.messages for select to authenticated using (true)',
        "",
        "verify_realtime()",
    ),
    Weakness(
        "row level security off",
        "alter table chat.messages disable row level security",
        "table chat.messages",
        "verify_reads('^chat.messages$')",
    ),
    Weakness(
        "delete granted",
        "grant delete on chat.participants to authenticated;"
        ' create policy "d" on chat.participants for delete to authenticated using (true)',
        "grant chat.participants to authenticated",
        "verify_deletes('^chat.participants$')",
    ),
    Weakness(
        "anybody joins",
        "grant insert on chat.participants to authenticated;"
        ' create policy "i" on chat.participants for insert to authenticated'
        " with check (user_id = auth.uid())",
        'policy chat.participants "i"',
        "verify_inserts('^chat.participants$')",
    ),
    Weakness(
        "column grant widened",
        "grant update (last_seen_at) on chat.profiles to authenticated",
        "grant chat.profiles.last_seen_at to authenticated",
        "verify_updates('^chat.profiles$')",
    ),
    Weakness(
        "view of its owner's rights",
        "alter view chat.inbox set (security_invoker = false)",
        "table chat.inbox",
    ),
    Weakness(
        "function of its owner's rights",
        "create function chat.peek() returns setof chat.messages language sql security definer"
        " set search_path = '' as 'select * from chat.messages'",
        "function chat.peek()",
        "verify_calls('^peek$')",
    ),
    Weakness(
        "guard gone",
        "create or replace function chat_private.require_participant(conversation_id uuid)"
        " returns chat.participants language sql stable set search_path = '' as $$"
        " select p.* from chat.participants as p"
        " where p.conversation_id = require_participant.conversation_id limit 1 $$",
        "function chat_private.require_participant(conversation_id uuid)",
        "verify_calls('^(send_message|delete_message)$')",
    ),
    Weakness(
        "search_path dropped",
        "alter function chat_private.conversation_ids_for_member() reset search_path",
        "function chat_private.conversation_ids_for_member()",
    ),
    Weakness(
        "private schema opened",
        "grant usage on schema chat_private to anon, authenticated",
        "grant schema chat_private to anon",
    ),
    Weakness(
        "truncate granted",
        "grant truncate on chat.messages to authenticated",
        "grant chat.messages to authenticated",
        "verify_deletes('^chat.messages$')",
    ),
    Weakness(
        "trigger disabled",
        "alter table chat.messages disable trigger messages_broadcast_message",
        "trigger chat.messages messages_broadcast_message",
    ),
    Weakness(
        "foreign key dropped",
        "alter table chat.participants drop constraint participants_user_id_fkey",
        "foreign key chat.participants participants_user_id_fkey",
    ),
    Weakness(
        "check dropped",
        "alter table chat.messages drop constraint messages_body_check",
        "check chat.messages messages_body_check",
    ),
    Weakness(
        "index dropped",
        "drop index chat.participants_user_id_conversation_id_idx",
        "index chat.participants_user_id_conversation_id_idx",
    ),
)


@pytest.mark.parametrize("weakness", WEAKNESSES, ids=lambda weakness: weakness.name)
def test_a_planted_weakness_is_found(database: Database, weakness: Weakness) -> None:
    expected = verify._golden("structure.json")
    assert verify.compare_structure(expected, verify.read_structure(database.owner)) == []
    database.owner.execute(weakness.sql.encode())
    found = verify.compare_structure(expected, verify.read_structure(database.owner))
    if weakness.difference:
        assert weakness.difference in {finding.what for finding in found}
    if weakness.attack:
        behaviour = verify.unpack(verify._golden("behaviour.json"))
        ((attempts, _),) = verify.play(database.owner, [weakness.attack])
        attacks = [
            finding
            for finding in verify.compare_behaviour(behaviour, attempts, is_whole=False)
            if finding.is_attack
        ]
        assert attacks, "no attack succeeded"
        assert all(finding.statement for finding in attacks)


def _run(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    dsn = database.owner.info.get_parameters()
    url = f"postgresql://postgres:postgres@{dsn['host']}:{dsn['port']}/{dsn['dbname']}"
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
    made = _run(database, "--json")
    report = json.loads(made.stdout)
    assert (report["findings"], report["succeeded"], made.returncode) == ([], 0, 0)
    assert report["attempts"] > 5000
    assert _rows(database.owner) == before


def test_the_command_says_what_it_found_and_how(database: Database) -> None:
    database.owner.execute(
        'alter policy "participants can read messages" on chat.messages using (true)'
        if _has_policy(database, "participants can read messages")
        else "alter table chat.messages disable row level security"
    )
    made = _run(database)
    assert made.returncode == 1
    assert "ATTACK: stranger: chat.messages select" in made.stdout
    assert "  with:     select coalesce(jsonb_agg(" in made.stdout
    assert "attacks succeeded" in made.stdout.splitlines()[-1]


def _has_policy(database: Database, name: str) -> bool:
    return database.owner.execute(
        "select exists (select from pg_policies where policyname = %s)", (name,)
    ).fetchone() == (True,)


def test_an_address_without_a_server_is_an_error() -> None:
    made = subprocess.run(
        [sys.executable, ROOT / "scripts" / "verify.py", "--db-url", "postgresql://127.0.0.1:1/x"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 2
    assert made.stderr.startswith("error: no connection")
