"""What holds of every object, asked of the catalogue: so a new one cannot forget it."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from support.stacks import ROOT

OURS = "('chat'::regnamespace, 'chat_private'::regnamespace)"

# Each finds what is wrong: none may be found.
RULES = {
    "row level security is on, on every table": f"""
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p') and not c.relrowsecurity
    """,
    "every function sets an empty search_path": f"""
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in {OURS}
            and not coalesce(p.proconfig @> array['search_path=""'], false)
    """,
    "nothing in chat is a security definer": """
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = 'chat'::regnamespace and p.prosecdef
    """,
    "views ask as their caller": """
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace = 'chat'::regnamespace and c.relkind = 'v'
            and not coalesce(c.reloptions @> array['security_invoker=true'], false)
    """,
    "every policy is of one command and for named roles": """
        select tablename || ': ' || policyname from pg_policies
        where (schemaname = 'chat' or policyname like 'parley: %')
            and (cmd = 'ALL' or roles <> array['authenticated']::name[])
    """,
    "policies ask who calls once a statement": """
        select tablename || ': ' || policyname from pg_policies
        where (schemaname = 'chat' or policyname like 'parley: %')
            and regexp_replace(
                coalesce(qual, '') || coalesce(with_check, ''), 'SELECT auth\\.uid\\(\\)', '', 'g'
            ) like '%auth.uid()%'
    """,
    "anonymous callers may nothing": f"""
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in {OURS} and has_function_privilege('anon', p.oid, 'execute')
        union all
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in {OURS} and c.relkind in ('r', 'v')
            and has_table_privilege('anon', c.oid, 'select, insert, update, delete')
        union all
        select n.nspname from pg_namespace as n
        where n.oid in {OURS} and has_schema_privilege('anon', n.oid, 'usage')
    """,
    "API roles have no way into chat_private": """
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace = 'chat_private'::regnamespace and c.relkind in ('r', 'v')
            and has_table_privilege('authenticated', c.oid, 'select, insert, update, delete')
        union all
        select 'chat_private' where has_schema_privilege('authenticated', 'chat_private', 'usage')
    """,
    "no client changes who a row is about": """
        select g.table_name || '.' || g.column_name from information_schema.column_privileges as g
        where g.table_schema = 'chat' and g.grantee = 'authenticated'
            and g.privilege_type = 'UPDATE'
            -- An upsert sets the key to what it is; policies hold it to the caller's own.
            and g.table_name not in ('drafts', 'saved_messages')
            and g.column_name in (
                'id', 'user_id', 'sender_id', 'tenant_id', 'conversation_id', 'seq', 'rev',
                'created_at', 'expires_at', 'role', 'blocker_id', 'last_read_seq', 'read_count'
            )
    """,
    "every foreign key has an index": f"""
        select c.conrelid::regclass || ': ' || c.conname from pg_constraint as c
        where c.contype = 'f' and c.connamespace in {OURS} and not exists (
            select from pg_index as i
            where i.indrelid = c.conrelid
                -- An id alone finds the few rows: the other column is its tenant.
                and i.indkey[0] = any (c.conkey)
        )
    """,
    "everything exposed says what it is for": """
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace = 'chat'::regnamespace and c.relkind in ('r', 'v')
            and obj_description(c.oid, 'pg_class') is null
        union all
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace = 'chat'::regnamespace and obj_description(p.oid, 'pg_proc') is null
    """,
    "exposed functions are not overloaded": """
        select p.proname from pg_proc as p
        where p.pronamespace = 'chat'::regnamespace group by 1 having count(*) > 1
    """,
}


@pytest.mark.parametrize("rule", RULES)
def test_rule(database, rule):
    assert database.owner.execute(RULES[rule].encode()).fetchall() == []


@pytest.mark.parametrize(
    ("rule", "breach"),
    [
        (
            "row level security is on, on every table",
            "alter table chat.messages disable row level security",
        ),
        (
            "every function sets an empty search_path",
            "alter function chat.leave(uuid) reset search_path",
        ),
        (
            "every policy is of one command and for named roles",
            "create policy x on chat.messages for select using (true)",
        ),
        (
            "policies ask who calls once a statement",
            "create policy x on chat.blocks for select to authenticated using (auth.uid() = null)",
        ),
        ("anonymous callers may nothing", "grant select on chat.messages to anon"),
        (
            "no client changes who a row is about",
            "grant update (expires_at) on chat.messages to authenticated",
        ),
        ("every foreign key has an index", "drop index chat.conversations_created_by_idx"),
    ],
)
def test_the_rule_can_be_broken(database, rule, breach):
    database.owner.execute(breach.encode())
    assert len(database.owner.execute(RULES[rule].encode()).fetchall()) == 1


def test_the_supabase_advisors_find_nothing(stack, tmp_path):
    cli = next((ROOT / "node_modules/@supabase").glob("cli-*/bin/supabase"))
    done = subprocess.run(
        [
            cli,
            "db",
            "advisors",
            f"--remote={stack.db_url}?sslmode=disable",
            f"--workdir={ROOT}",
            "--output-format=json",
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "DO_NOT_TRACK": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout[done.stdout.index("{") :])["results"] == [], done.stdout
