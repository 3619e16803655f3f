"""What the API's roles may touch at all: every verb, column and function, also behind a schema.

Schemas keep `anon` out of everything and `authenticated` out of chat_private. Here they are opened,
so that what is inside must refuse by itself.
"""

from __future__ import annotations

import re
from collections import defaultdict

import psycopg
import pytest

OURS = "('chat'::regnamespace, 'chat_private'::regnamespace)"

# What a signed-in user may write, by column; of the tables that are not here, nothing.
OWN_ROW = {"conversation_id", "user_id"}
DRAFT = OWN_ROW | {"thread_root_seq", "body", "metadata", "reply_to_seq"}
SAVED = OWN_ROW | {"message_seq", "note"}
QUIET = {"types_off", "push", "quiet_from", "quiet_until", "timezone"}
KEPT = {"muted_until", "is_pinned", "is_archived"}
WRITABLE: dict[str, dict[str, set[str]]] = {
    "chat.blocks": {"insert": {"blocker_id", "blocked_id"}, "delete": {"*"}},
    "chat.drafts": {"insert": DRAFT, "update": DRAFT, "delete": {"*"}},
    "chat.devices": {"update": {"name"}, "delete": {"*"}},
    "chat.notification_preferences": {
        "insert": {"user_id"} | QUIET, "update": QUIET, "delete": {"*"},
    },
    "chat.notifications": {"delete": {"*"}},
    "chat.participant_settings": {"insert": OWN_ROW | KEPT, "update": KEPT},
    "chat.profiles": {"update": {"username", "display_name", "avatar_url"}},
    "chat.saved_messages": {"insert": SAVED, "update": SAVED, "delete": {"*"}},
    "chat.settings": {
        "update": {
            "attachment_max_bytes", "attachment_mime_types", "attachments_per_message",
            "downgrade_grace", "edit_window", "fan_out_limit", "max_participants",
            "may_set_retention", "message_max_length", "pins_per_conversation", "restore_window",
            "retention", "retention_mode", "revisions_visible_to", "search_language",
            "sends_per_minute", "who_may_open_subjects", "who_may_start",
        },
    },
}  # fmt: skip


@pytest.fixture
def opened(database):
    """A database whose schemas keep nobody out."""
    database.owner.execute("grant usage on schema chat, chat_private to anon, authenticated")
    return database


def permitted(connection, statement):
    """Whether a role may start a statement at all; nothing is executed."""
    try:
        connection.execute(f"explain {statement}".encode())
    except psycopg.errors.InsufficientPrivilege as error:
        if "permission denied for" not in str(error):
            raise
        # Of a default: whether one may write is asked before.
        return "permission denied for function" in str(error)
    return True


def relations(database, kinds):
    """Tables or views with their columns."""
    found = defaultdict(list)
    query = f"""
        select c.oid::regclass::text, quote_ident(a.attname) from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid
        where c.relnamespace in {OURS} and c.relkind = any (%s)
            and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
        order by 1, a.attnum
    """
    for table, column in database.owner.execute(query.encode(), (list(kinds),)):
        found[table].append(column)
    return found


def writable(database, role):
    """Columns that a role may insert and update, and tables it may delete from."""
    allowed = {}
    with database.acting(None, role=role) as connection:
        for table, columns in relations(database, "r").items():
            verbs = {
                "insert": {
                    column
                    for column in columns
                    if permitted(connection, f"insert into {table} ({column}) values (default)")
                },
                "update": {
                    column
                    for column in columns
                    if permitted(connection, f"update {table} set {column} = default")
                },
                "delete": {"*"} if permitted(connection, f"delete from {table}") else set(),
            }
            if any(verbs.values()):
                allowed[table] = {verb: columns for verb, columns in verbs.items() if columns}
    return allowed


def readable(database, role):
    """Tables and views that a role may read anything of."""
    with database.acting(None, role=role) as connection:
        return {
            table
            for table, columns in relations(database, "rv").items()
            if any(permitted(connection, f"select {column} from {table}") for column in columns)
        }


def callable_by(database, role):
    """Functions that a role may call."""
    query = f"""
        select p.oid::regproc::text, format(
            -- From a row, so that a strict function is not known to be null without asking.
            'select %s(%s) from (select 1%s offset 0) as s', p.oid::regproc,
            (select string_agg('s.a' || t.place, ', ' order by t.place)
                from unnest(p.proargtypes::oid []) with ordinality as t (oid, place)),
            (select string_agg(format(', null::%s as a%s', t.oid::regtype, t.place), '')
                from unnest(p.proargtypes::oid []) with ordinality as t (oid, place))
        )
        from pg_proc as p
        where p.pronamespace in {OURS} and p.prokind = 'f' and p.prorettype <> 'trigger'::regtype
    """
    allowed = set()
    calls = database.owner.execute(query.encode()).fetchall()
    with database.acting(None, role=role) as connection:
        for name, call in calls:
            try:
                with connection.transaction(force_rollback=True):
                    connection.execute(call.encode())
            except psycopg.errors.InsufficientPrivilege as error:
                # With a context it comes from within: from what the function calls.
                if str(error).startswith("permission denied") and not error.diag.context:
                    continue
            except psycopg.Error:
                pass
            allowed.add(name)
    return allowed


def test_anonymous_callers_may_nothing(opened):
    assert readable(opened, "anon") == set()
    assert writable(opened, "anon") == {}
    assert callable_by(opened, "anon") == set()


def test_what_signed_in_users_write_directly(opened):
    assert writable(opened, "authenticated") == WRITABLE


def test_signed_in_users_read_all_of_chat_by_policy_and_nothing_else(opened):
    everything = {name for name in relations(opened, "rv") if name.startswith("chat.")}
    assert readable(opened, "authenticated") == everything


def test_signed_in_users_call_what_policies_and_functions_of_chat_need(opened):
    found = callable_by(opened, "authenticated")
    query = """
        select string_agg(pg_get_functiondef(p.oid), ' ') from pg_proc as p
        where p.pronamespace = 'chat'::regnamespace
            and has_function_privilege('authenticated', p.oid, 'execute')
        union all
        select string_agg(
            concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)), ' '
        )
        from pg_policy
        union all
        select string_agg(pg_get_viewdef(c.oid), ' ') from pg_class as c
        where c.relnamespace = 'chat'::regnamespace and c.relkind = 'v'
    """
    texts = " ".join(text for (text,) in opened.owner.execute(query))
    # What defaults, checks and triggers ask is in the name of who writes.
    needed = set(re.findall(r"\bchat_private\.\w+(?=\()", texts))
    needed |= {"chat_private.now", "chat_private.is_live"}
    assert {name for name in found if name.startswith("chat_private.")} == needed
    assert len(found) > len(needed)


def test_private_tables_keep_out_whom_a_grant_lets_in(opened):
    opened.user("alice")
    for kind in ("tables", "functions"):
        opened.owner.execute(
            f"grant all on all {kind} in schema chat_private to anon, authenticated".encode()
        )
    tables = [name for name in relations(opened, "r") if name.startswith("chat_private.")]
    assert opened.owner.execute("select from chat_private.audit_log").fetchall() != []
    for role in ("anon", "authenticated"):
        with opened.acting(None, role=role) as connection:
            for table in tables:
                assert connection.execute(f"select from {table}".encode()).fetchall() == [], table
                insert = f"insert into {table} default values".encode()
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level"):
                    connection.execute(insert)


def test_policies_keep_anon_out_whom_a_grant_lets_in(opened):
    """Of tiers, settings and the like there are rows: anon sees none and adds none."""
    opened.user("alice")
    opened.owner.execute("grant all on all tables in schema chat to anon")
    tables = [name for name in relations(opened, "r") if name.startswith("chat.")]
    with opened.acting(None, role="anon") as connection:
        for table in tables:
            assert connection.execute(f"select from {table}".encode()).fetchall() == [], table
            if table == "chat.tenant_members":
                # A trigger asks once a statement whether it is live, which anon may not ask.
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="is_live"):
                    connection.execute(f"delete from {table}".encode())
                continue
            assert connection.execute(f"delete from {table}".encode()).rowcount == 0, table
    assert opened.owner.execute("select count(*) from chat.tiers").fetchone()[0] > 0
