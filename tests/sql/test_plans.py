"""What each hot query touches, in a database as one in use: no more than it gives back needs.

Counted, not timed: which tables were read as a whole, how many rows and pages were read, how often
functions ran. PostgreSQL counts it for what runs inside functions too, where EXPLAIN does not look.
Each query runs with a plan made for its values and with the one kept for a prepared statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg
import pytest

from parley_stack.testing.databases import act_as
from support.databases import Database, clone, conninfo
from support.stacks import ROOT, Stack

# One process loads the crowd.
pytestmark = pytest.mark.xdist_group("crowd")

READER = "00000000-0000-4000-9000-000000000001"
LARGE = "00000000-0000-4000-a000-000000000001"
SMALL = "00000000-0000-4000-a000-000000000010"
MEMBER = "00000000-0000-4000-9000-0000000000e6"
# Of a few rows in any project: reading them as a whole is right.
TINY = {"settings", "tenants", "tiers", "errors", "bans"}


@pytest.fixture(scope="module")
def crowd(stack: Stack, database_template: str) -> Iterator[Database]:
    """A database in use; tests change nothing in it that stays."""
    with clone(stack, database_template) as made:
        name = made.owner.info.dbname
        with psycopg.connect(conninfo(stack, "supabase_admin", name), autocommit=True) as admin:
            admin.execute((ROOT / "tests/support/crowd.sql").read_bytes())
            admin.execute("vacuum analyze")
            admin.execute(f"alter database {name} set track_functions = 'all'".encode())
        yield made


@pytest.fixture(scope="module")
def known(crowd: Database) -> dict[str, object]:
    """What a client knows: cursors of before and after some news, a message, people."""
    with crowd.acting(READER) as reader, crowd.acting(MEMBER) as member:

        def sync(cursor):
            answer = {"cursor": cursor, "has_more": True}
            while answer["has_more"]:
                (answer,) = reader.execute("select chat.sync(%s)", (answer["cursor"],)).fetchone()
            return answer["cursor"]

        behind = sync(None)
        for _ in range(50):
            member.execute("select chat.send_message(%s, 'news')", (LARGE,))
        ids = {
            str(room): message_id
            for room, message_id in reader.execute(
                "select conversation_id, id from chat.messages where seq = 7"
            )
        }
        return {
            "behind": behind,
            "cursor": sync(behind),
            "id": ids[LARGE],
            "ids": ids,
            "people": [
                row[0]
                for row in reader.execute(
                    "select user_id from chat.participants where conversation_id = %s limit 3",
                    (LARGE,),
                )
            ],
        }


@dataclass
class Work:
    """What a statement did; functions and tables by name."""

    rows: int = 0
    scanned: list[str] = field(default_factory=list)
    fetched: int = 0
    pages: int = 0
    written: dict[str, int] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    conditions: list[str] = field(default_factory=list)


def nodes(plan: dict) -> Iterator[dict]:
    """The nodes of a plan, from the top."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def work(connection: psycopg.Connection, statement: str, values: dict) -> Work:
    """Runs a statement, undoes it and says what it did."""
    done = Work()
    # Nothing of earlier statements is left among what follows counts.
    connection.execute("select pg_stat_force_next_flush()")
    with connection.transaction(force_rollback=True):
        done.rows = len(connection.execute(statement, values, prepare=True).fetchall())
        for schema, table, scans, fetched, written in connection.execute(
            "select schemaname, relname, seq_scan, seq_tup_read + coalesce(idx_tup_fetch, 0),"
            " n_tup_ins + n_tup_upd + n_tup_del from pg_stat_xact_user_tables"
        ).fetchall():
            if scans and table not in TINY:
                done.scanned.append(table)
            done.fetched += fetched
            if written:
                done.written[f"{schema}.{table}"] = written
        done.calls = dict(
            connection.execute(
                "select funcname, sum(calls)::int from pg_stat_xact_user_functions"
                " where schemaname like 'chat%' group by 1"
            ).fetchall()
        )
    with connection.transaction(force_rollback=True):
        ((found,),) = connection.execute(
            f"explain (analyze, buffers, timing off, format json) {statement}", values
        )
    plan = found[0]["Plan"]
    done.pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    for node in nodes(plan):
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in TINY:
            done.scanned.append(node["Relation Name"])
        done.conditions += [str(node[part]) for part in node if part.endswith(("Cond", "Filter"))]
    return done


@dataclass(frozen=True)
class Query:
    """A statement as clients send it, how many rows it returns, and the most it may touch."""

    statement: str
    rows: int
    fetched: int
    pages: int
    calls: int = 12
    room: str = LARGE
    may_scan: frozenset[str] = frozenset()


MESSAGES = "select * from chat.messages where conversation_id = %(room)s "
NEWEST = "order by seq desc limit 50"
INBOX = "select * from chat.inbox "
PAGE = "order by last_activity_at desc, conversation_id desc limit 30"

# What the reader's 200 conversations cost is in the inbox, the totals and sync; what 50 messages
# cost does not depend on how many there are. PostgreSQL 15 and 16 read three times the pages of 17
# for a list of conversations: they look up one after the other.
QUERIES = {
    "inbox": Query(INBOX + PAGE, 30, 800, 2500),
    "inbox, next page": Query(
        INBOX
        + "where (last_activity_at, conversation_id) < (now() - interval '1 hour', %(room)s) "
        + PAGE,
        30,
        800,
        2500,
    ),
    "one conversation's row": Query(INBOX + "where conversation_id = %(room)s", 1, 600, 900),
    "unread totals": Query("select * from chat.unread_totals", 1, 1100, 2500),
    "unread by party": Query(
        "select * from chat.unread_by_party where conversation_id = %(room)s", 2, 30, 100
    ),
    "newest 50": Query(MESSAGES + NEWEST, 50, 60, 100),
    "newest 50 of a small room": Query(MESSAGES + NEWEST, 32, 60, 100, room=SMALL),
    "50 before": Query(MESSAGES + "and seq < 9000 " + NEWEST, 50, 60, 100),
    "50 after": Query(MESSAGES + "and seq > 9000 order by seq limit 50", 50, 60, 100),
    "one message": Query(MESSAGES + "and seq = 9001", 1, 10, 50),
    "one message by id": Query("select * from chat.messages where id = %(id)s", 1, 10, 50),
    "a thread": Query(MESSAGES + "and thread_root_seq = 9000 " + NEWEST, 5, 10, 50),
    # A column computed for each message of the page; without reactions, by one look-up.
    "50 with reactions counted": Query(
        "select m.*, chat.reaction_summary(m) from chat.messages as m"
        " where conversation_id = %(room)s and seq < 9000 " + NEWEST,
        50,
        200,
        600,
        calls=150,
    ),
    "reactions of 50": Query(
        "select * from chat.reactions where conversation_id = %(room)s"
        " and message_seq between 9001 and 9050",
        10,
        40,
        150,
    ),
    "participants": Query(
        "select * from chat.participants where conversation_id = %(room)s", 10, 20, 50
    ),
    "participants with their profiles": Query(
        "select p.*, f.* from chat.participants as p"
        " left join chat.profiles as f on f.id = p.user_id where p.conversation_id = %(room)s",
        10,
        60,
        150,
    ),
    "people one talks to": Query(
        "select * from chat.profiles where id = any(%(people)s)", 3, 30, 80
    ),
    "receipts of a message": Query(
        "select * from chat.message_receipts where conversation_id = %(room)s and seq = 9001",
        9,
        40,
        250,
    ),
    # Newest activity is looked up for each of the 399 threads that the reader follows.
    "threads": Query(
        "select * from chat.threads order by last_activity_at desc limit 20", 20, 4000, 8000
    ),
    "which conversations are mine": Query("select id from chat.conversations", 200, 300, 800),
    # One encoded position for each conversation. A plan for its values alone may read all 4,000
    # conversations: they are 130 pages.
    "sync, nothing new": Query(
        "select chat.sync(%(cursor)s)",
        1,
        5000,
        2000,
        calls=210,
        may_scan=frozenset({"conversations"}),
    ),
    "sync, 50 messages": Query(
        "select chat.sync(%(behind)s)",
        1,
        6500,
        4000,
        calls=300,
        may_scan=frozenset({"conversations"}),
    ),
    "sync, one conversation": Query(
        "select chat.sync(%(behind)s, %(room)s)", 1, 2500, 3000, calls=30
    ),
}


@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", QUERIES)
def test_a_hot_query(crowd, known, name, plan):
    query = QUERIES[name]
    with crowd.acting(READER) as connection:
        connection.execute(f"set plan_cache_mode = {plan}".encode())
        done = work(connection, query.statement, {**known, "room": query.room})
    assert set(done.scanned) <= query.may_scan, done.scanned
    assert not [line for line in done.conditions if "chat_private." in line]
    assert sum(done.calls.values()) <= query.calls, done.calls
    assert (done.rows, done.fetched <= query.fetched, done.pages <= query.pages) == (
        query.rows,
        True,
        True,
    ), (done.rows, done.fetched, done.pages)


def test_a_page_of_the_inbox_looks_up_only_those_it_shows(crowd):
    """Not everybody in any of the reader's conversations, as the policy of profiles would."""
    with crowd.acting(READER) as connection, connection.transaction(force_rollback=True):
        groups = work(connection, INBOX + PAGE, {})
        connection.execute("reset role")
        made = connection.execute(
            "with pairs as (select p.conversation_id, p.user_id as mine, o.user_id as theirs"
            " from chat.participants as p inner join chat.conversations as c"
            " on p.conversation_id = c.id inner join chat.participants as o"
            " on c.id = o.conversation_id and right(o.user_id::text, 4) ="
            " lpad(to_hex(2 + mod(substr(c.title, 6)::integer * 31 + 197, 1998)), 4, '0')"
            " where p.user_id = %s)"
            " update chat.conversations as c set kind = 'direct', title = null,"
            " user_low_id = least(mine, theirs), user_high_id = greatest(mine, theirs)"
            " from pairs where c.id = pairs.conversation_id",
            (READER,),
        )
        assert made.rowcount == 200
        connection.execute("set local role authenticated")
        # Both are counted, for they are in one transaction.
        before = work(connection, "select 1", {})
        directs = work(connection, INBOX + PAGE, {})
        shown = connection.execute(f"select counterpart from ({INBOX + PAGE}) as i").fetchall()
    assert all(counterpart["username"].startswith("person_") for (counterpart,) in shown)
    asked = "conversation_ids_for_member"
    assert directs.calls[asked] - before.calls.get(asked, 0) == groups.calls[asked]
    assert directs.calls["counterpart"] == 30
    assert directs.fetched - before.fetched - groups.fetched <= 4 * 30


def test_a_room_is_expected_to_be_readable(crowd):
    """Else the newest 50 of a room of average size are found by sorting all of it.

    A prepared statement keeps that plan, and with it sorts the large rooms.
    """
    expected = []
    for role in ("authenticated", "postgres"):
        with crowd.acting(READER, role=role) as connection:
            connection.execute("set plan_cache_mode = force_generic_plan")
            statement = MESSAGES.replace("%(room)s", "$1")
            connection.execute(f"prepare newest (uuid) as {statement}".encode())
            ((found,),) = connection.execute(
                f"explain (format json) execute newest ('{LARGE}')".encode()
            )
        expected.append(found[0]["Plan"]["Plan Rows"])
    assert expected[0] >= 0.9 * expected[1], expected


POLICY = 'alter policy "participants can read messages until they expire" on chat.messages using '


@pytest.mark.parametrize(
    ("breach", "seen"),
    [
        pytest.param(
            "create function chat_private.is_member(conversation_id uuid) returns boolean"
            " language plpgsql stable security definer as 'begin return exists (select"
            " from chat.participants as p where p.conversation_id = is_member.conversation_id"
            " and p.user_id = auth.uid()); end';"
            + POLICY
            + "(chat_private.is_member(conversation_id))",
            {"calls", "conditions"},
            id="a function of the row",
        ),
        pytest.param(
            POLICY + "(auth.uid() in (select user_id from chat.participants as p"
            " where p.conversation_id = messages.conversation_id and p.left_at is null))",
            {"fetched", "pages"},
            id="a join back",
        ),
        pytest.param(
            "alter table chat.messages drop constraint messages_pkey cascade",
            {"fetched", "pages"},
            id="no index",
        ),
        pytest.param(
            "alter table chat.messages drop constraint messages_pkey cascade;"
            "drop index chat.messages_sender_id_idx",
            {"fetched", "pages", "scanned"},
            id="no index at all",
        ),
    ],
)
def test_what_is_slow_is_found(crowd, breach, seen):
    query = QUERIES["newest 50"]
    with (
        psycopg.connect(crowd.url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(breach.encode())
        act_as(connection, READER, role="authenticated")
        done = work(connection, query.statement, {"room": query.room})
    found = {
        "calls": sum(done.calls.values()) > query.calls,
        "conditions": any("chat_private." in line for line in done.conditions),
        "fetched": done.fetched > query.fetched,
        "pages": done.pages > query.pages,
        "scanned": bool(done.scanned),
    }
    assert {name for name, is_found in found.items() if is_found} >= seen, done


# What a call writes and looks up, in the room of 20,000 messages and in one of 33 alike.
CALLS = {
    "send": ("select chat.send_message(%(room)s, 'hello')", 40),
    "send again": ("select chat.send_message(%(room)s, 'hello', %(id)s)", 10),
    "reply": ("select chat.send_message(%(room)s, 'hello', reply_to_seq => 9)", 40),
    "in a thread": ("select chat.send_message(%(room)s, 'hello', thread_root_seq => 9)", 40),
    "read": ("select chat.mark_read(%(room)s)", 40),
    "delivered": ("select chat.mark_delivered(%(room)s)", 40),
    "react": ("select chat.react(%(room)s, 9, 'x')", 40),
    "edit": ("select chat.edit_message(%(room)s, 9, 'new')", 40),
    "delete": ("select chat.delete_message(%(room)s, 9)", 60),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_a_call_costs_does_not_grow_with_messages(crowd, known, name):
    statement, fetched = CALLS[name]
    done = {}
    for room in (LARGE, SMALL):
        with crowd.acting(READER) as connection:
            # As on a connection that has been open for a while.
            connection.execute("set plan_cache_mode = force_generic_plan")
            done[room] = work(connection, statement, {"room": room, "id": known["ids"][room]})
        assert done[room].scanned == []
    assert done[LARGE].written == done[SMALL].written
    assert max(done[LARGE].fetched, done[SMALL].fetched) <= fetched


@pytest.mark.parametrize("name", CALLS)
def test_a_call_runs_no_helper_written_in_sql(crowd, known, name):
    """Not inlined, for they set search_path, these are parsed and planned anew by each call."""
    with crowd.acting(READER) as connection, connection.transaction(force_rollback=True):
        statement, _ = CALLS[name]
        connection.execute(statement, {"room": LARGE, "id": known["ids"][LARGE]})
        called = connection.execute(
            "select funcname, lanname from pg_stat_xact_user_functions"
            " inner join pg_proc as p on funcid = p.oid"
            " inner join pg_language as l on prolang = l.oid"
            " where schemaname = 'chat_private' and calls > 0"
        ).fetchall()
    assert called
    assert [function for function, language in called if language == "sql"] == []


@pytest.fixture
def group(crowd: Database) -> Iterator[Callable[[int], Work]]:
    """Makes a group of so many and sends a message there: what sending did."""
    with crowd.acting(READER) as connection:

        def send(number: int) -> Work:
            people = [READER[:-4] + f"{n:04x}" for n in range(2, number + 1)]
            with connection.transaction(force_rollback=True):
                (room,) = connection.execute(
                    "select (chat.start_group('Group', %s::uuid[])).id", (people,)
                ).fetchone()
                # Both are counted, for they are in one transaction.
                made = work(connection, "select 1", {})
                sent = work(
                    connection, "select chat.send_message(%(room)s, 'hello')", {"room": room}
                )
                sent.fetched -= made.fetched
                for table, rows in made.written.items():
                    sent.written[table] -= rows
            return sent

        yield send


def test_sending_writes_as_much_whatever_the_number_of_members(group):
    """Beyond the tenant's fan_out_limit, which is 50; up to it, an event for each."""
    few, many, most = group(40), group(60), group(900)

    def rows(done):
        return {table.partition("_2")[0]: count for table, count in done.written.items() if count}

    once = {"chat.conversations": 1, "chat.messages": 1, "chat.participants": 1}
    assert rows(few) == {**once, "realtime.messages": 41}
    assert rows(many) == rows(most) == {**once, "realtime.messages": 1}
    assert most.fetched <= many.fetched + 2


# Rows fetched by a batch of the sweep for each message, in a room of 20,000. Foreign keys of what
# is purged read small tables as a whole, again for each message: of these the plans differ.
SWEEPS = {"mark": 40, "purge": 320, "rewrite": 40}
BATCH = 100


@pytest.mark.parametrize("step", SWEEPS)
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
def test_a_batch_of_the_sweep(crowd, step, plan):
    """It reads what it removes, by indexes, however much else there is."""
    clock = (
        "create or replace function chat_private.now() returns timestamptz language sql stable"
        " set search_path = '' return pg_catalog.now() + interval '{} days'"
    )
    sweep = "select chat.sweep_messages(%(batch)s, null)"
    with (
        psycopg.connect(crowd.url, autocommit=True) as connection,
        connection.transaction(force_rollback=True),
    ):
        connection.execute(f"set local plan_cache_mode = {plan}".encode())
        if step == "rewrite":
            connection.execute(
                "insert into chat_private.retention_jobs (tenant_id, conversation_id)"
                " select tenant_id, id from chat.conversations where id = %s", (LARGE,)
            )  # fmt: skip
        else:
            connection.execute(clock.format(21).encode())
        if step == "purge":
            connection.execute(sweep, {"batch": 3 * BATCH})
            connection.execute(clock.format(52).encode())
            sweep = "select chat.sweep_messages(%(batch)s, jsonb_build_object('phase', 'purge'))"
        before = work(connection, "select 1", {})
        done = work(connection, sweep, {"batch": BATCH})
    # Smaller ones are read as a whole, which for a hundred messages is right.
    large = {"messages", "conversations", "participants", "receipts", "reactions", "attachments"}
    assert not large & set(done.scanned), done.scanned
    done.fetched -= before.fetched
    assert 2 * BATCH < done.fetched <= SWEEPS[step] * BATCH, done
