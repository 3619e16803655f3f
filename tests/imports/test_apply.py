"""Loading: killed and gone on with, while others write, into what is there already."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from importer import plan as plans
from importer.errors import ImportFailed

from parley_stack.testing.databases import act_as
from support.stacks import ROOT

from .world import CAREFUL, World

OWN_WORDS = """
    insert into chat.conversations (id, tenant_id, kind, user_low_id, user_high_id)
    select md5('there')::uuid, '00000000-0000-4000-8000-000000000001', 'direct',
        least(md5('user1')::uuid, md5('user2')::uuid),
        greatest(md5('user1')::uuid, md5('user2')::uuid);
    insert into chat.participants (conversation_id, user_id, tenant_id)
    select md5('there')::uuid, md5('user' || g)::uuid, '00000000-0000-4000-8000-000000000001'
    from generate_series(1, 2) as g;
    insert into chat.messages (conversation_id, sender_id, body)
    select md5('there')::uuid, md5('user1')::uuid, 'said here before ' || g
    from generate_series(1, 3) as g;
"""


def _command(
    there: World,
    path: Path,
    plan: plans.Plan,
    *,
    batch: int,
    step: str = "apply",
    dies_at: tuple[str, int] = ("", 0),
) -> subprocess.Popen[str]:
    """The driver in a process of its own, with small batches so that there are many to die in.

    Or it dies when it comes to a call for that time: what two sessions call, the first is in when
    the second comes to it.
    """
    code = (
        "import itertools, os, signal, sys, psycopg\n"
        "url, path, checksum, batch, step, call, time = sys.argv[1:]\n"
        "calls = itertools.count(1)\n"
        "execute = psycopg.Connection.execute\n"
        "def die(self, query, *values):\n"
        "    if call and call in str(query) and next(calls) == int(time):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return execute(self, query, *values)\n"
        "psycopg.Connection.execute = die\n"
        "from pathlib import Path\n"
        "from importer import plan as plans\n"
        "from importer.apply import apply\n"
        "from importer.rollback import rollback\n"
        "connection = psycopg.connect(url, autocommit=True)\n"
        "if step == 'rollback':\n"
        "    rollback(connection)\n"
        "else:\n"
        "    apply(connection, plans.read_plan(Path(path), checksum), batch=int(batch))\n"
    )
    return subprocess.Popen(
        [
            *(sys.executable, "-c", code),
            *(there.database.url, str(path), plans.checksum(plan), str(batch), step),
            *(dies_at[0], str(dies_at[1])),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        stderr=subprocess.PIPE,
        text=True,
    )


def _stable(there: World) -> dict[str, list[str]]:
    """Parley's rows; of people made here, without when."""
    return {
        name: rows
        for name, rows in there.chat().items()
        if name
        not in ("chat.profiles", "chat.tenant_members", "chat.tenants", "chat_private.audit_log")
    }


def _rehearsed(there: World) -> tuple[plans.Plan, dict[str, list[str]]]:
    """A plan, and what comes of it undisturbed; nothing is left of that."""
    plan = there.plan()
    there.apply(plan)
    expected = _stable(there)
    there.rollback()
    return plan, expected


def _goes_on(there: World, plan: plans.Plan, expected: dict[str, list[str]]) -> None:
    there.apply(plan)
    assert there.verify().problems == []
    assert _stable(there) == expected
    there.rollback()


def test_killed_at_random_and_gone_on_with_it_is_the_same(world, long_run, tmp_path):
    there: World = world("direct_messages")
    plan, expected = _rehearsed(there)

    path = tmp_path / "plan.json"
    plans.write_plan(plan, path)
    chance = random.Random(7)
    deaths = 0
    for _ in range(10 if long_run else 3):
        process = _command(there, path, plan, batch=1000 if long_run else 40)
        assert process.stderr is not None
        # Its progress is where it dies: at so many lines of it, wherever it is by then.
        for _ in range(chance.randrange(1, 5)):
            if not process.stderr.readline():
                break
        process.send_signal(signal.SIGKILL)
        deaths += process.wait() == -signal.SIGKILL
        process.stderr.close()
    assert deaths > 0
    _goes_on(there, plan, expected)


REFUSING = """
    create function public.refuse() returns trigger language plpgsql as $$
    begin
        raise exception 'no such words here' using hint = 'Say it otherwise.';
    end;
    $$;
    create trigger refuse before insert on chat.messages
    for each row when (uuid_hash(new.conversation_id) % 2 = 0) execute function public.refuse();
"""


def test_one_session_fails_the_other_ends_and_nothing_is_lost(world):
    """As by a trigger of the project's own, which an import does not switch off.

    It refuses what one of the two sessions loads, from its first batch on.
    """
    there: World = world("direct_messages")
    plan, expected = _rehearsed(there)
    there.owner.execute(REFUSING)
    with pytest.raises(ImportFailed, match="refused: no such words here") as refused:
        there.apply(plan, batch=40)
    assert refused.value.details == ["Say it otherwise."]
    # The other one did not load all of its own, and what it loaded stays.
    left = "select count(*) from parley_import.batches where shard = 1 and not is_done"
    assert there.one(left) > 0  # type: ignore[operator]
    assert there.one("select count(*) from chat.messages") == there.one(
        "select coalesce(sum(messages), 0) from parley_import.batches where is_done"
    )
    there.owner.execute("drop trigger refuse on chat.messages; drop function public.refuse")
    _goes_on(there, plan, expected)


def _dies(
    there: World,
    path: Path,
    plan: plans.Plan,
    step: str,
    dies_at: tuple[str, int],
    *,
    batch: int = 40,
) -> None:
    process = _command(there, path, plan, batch=batch, step=step, dies_at=dies_at)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert process.stderr is not None
    process.stderr.close()


# Which call one session is in, and the other comes to, when the command is killed.
CALLS = ["number_messages", "number_references", "number_marks", "load_batch"]


@pytest.mark.parametrize("call", CALLS)
def test_killed_while_two_sessions_work_and_gone_on_with_it_is_the_same(world, tmp_path, call):
    there: World = world("direct_messages")
    plan, expected = _rehearsed(there)
    path = tmp_path / "plan.json"
    plans.write_plan(plan, path)
    _dies(there, path, plan, "apply", (call, 2))
    _goes_on(there, plan, expected)


@pytest.mark.parametrize(("call", "time"), [("remove_some", 2), ("drop schema", 1)])
def test_a_rollback_that_is_killed_goes_on_where_it_was(world, tmp_path, call, time):
    """While two sessions remove conversations; and at the end, when what was kept is put back."""
    there: World = world("direct_messages", dirt=False, count=300)
    there.owner.execute(OWN_WORDS)
    rows, catalogue = there.rows(), there.catalogue()
    plan = there.plan()
    there.apply(plan)
    _dies(there, tmp_path / "plan.json", plan, "rollback", (call, time))
    assert there.rows() != rows
    with pytest.raises(ImportFailed, match="another plan is under way"):
        there.apply(plan)
    there.rollback()
    assert there.rows() == rows
    assert there.catalogue() == catalogue


def test_counters_are_right_in_the_middle_of_a_conversation(world, tmp_path):
    there: World = world("direct_messages", count=2000)
    path = tmp_path / "plan.json"
    plan = there.plan()
    plans.write_plan(plan, path)
    _dies(there, path, plan, "apply", ("load_batch", 60), batch=10)
    between = there.one(
        "select count(*) from parley_import.stretches as s"
        " inner join parley_import.batches as b on s.batch = b.batch"
        " where b.is_done and not s.is_first and exists ("
        "select from parley_import.stretches as n inner join parley_import.batches as c"
        " on n.batch = c.batch where n.conversation_id = s.conversation_id and not c.is_done)"
    )
    assert between > 0  # type: ignore[operator]
    assert there.owner.execute("select * from chat.check_counters()").fetchall() == []
    assert (
        there.owner.execute(
            "select c.id from chat.conversations as c where c.expires_from is distinct from ("
            "select min(m.expires_at) from chat.messages as m"
            " where m.conversation_id = c.id and m.deleted_at is null)"
        ).fetchall()
        == []
    )


def test_two_runs_at_once_are_refused(world):
    there: World = world("direct_messages", dirt=False, count=50)
    plan = there.plan()
    with psycopg.connect(there.database.url, autocommit=True) as other:
        other.execute("select pg_advisory_lock(%s)", (0x7061726C6579,))
        with pytest.raises(ImportFailed, match="Another import is running"):
            there.apply(plan)


def test_the_old_application_writes_meanwhile(world):
    there: World = world("direct_messages", dirt=False)
    plan = there.plan(is_live=True, choices={**CAREFUL, "vanished": "delete"})
    is_over = threading.Event()
    written = [1_000_000]

    def write() -> None:
        with psycopg.connect(there.database.url, autocommit=True) as connection:
            connection.execute("set timezone = 'UTC'")
            while not is_over.is_set():
                written[0] += 1
                connection.execute(
                    "insert into direct_messages (id, sender_id, recipient_id, content, is_read,"
                    " read_at) values (%s, 1 + %s %% 5, 2 + %s %% 5, 'while it runs', true, now())",
                    (written[0],) * 3,
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        there.apply(plan, batch=100)
        # What it does to messages that are loaded.
        there.owner.execute("set timezone = 'UTC'")
        there.owner.execute(
            "update direct_messages set content = 'edited meanwhile', updated_at = now()"
            " where id = 31"
        )
        there.owner.execute(
            "update direct_messages set is_deleted = true, deleted_at = now() where id = 32"
        )
        there.owner.execute(
            "update direct_messages set is_deleted = false, deleted_at = null where id = 97"
        )
        there.owner.execute(
            "update direct_messages set is_read = true, read_at = now() where not is_read"
        )
        there.owner.execute("delete from direct_messages where id = 33")
        behind = there.verify()
        assert any("messages are missing" in problem for problem in behind.problems)
    finally:
        is_over.set()
        writer.join()
    caught_up, report = there.finish()
    assert report.problems == []
    assert caught_up > 0
    assert there.one("select count(*) from chat.messages where deleted_at is null") == there.one(
        "select count(*) from direct_messages where not is_deleted"
    )
    assert there.one("select count(*) from chat.messages where body = 'edited meanwhile'") == 1
    assert there.owner.execute("select * from chat.check_counters()").fetchall() == []


def test_a_reaction_taken_back_meanwhile_goes_here_too(world):
    """Not those that somebody made here."""
    there: World = world("messenger", dirt=False)
    there.apply(there.plan(is_live=True))
    brought = there.one("select count(*) from chat.reactions")
    found = there.owner.execute(
        "select conversation_id, message_seq from chat.reactions order by 1, 2 limit 1"
    ).fetchone()
    assert found is not None
    there.owner.execute(
        "insert into chat.reactions (conversation_id, message_seq, user_id, emoji)"
        " select conversation_id, %s, user_id, '🦊' from chat.participants"
        " where conversation_id = %s limit 1",
        (found[1], found[0]),
    )
    gone = there.owner.execute(
        "delete from message_reactions where message_id = (select l.external_id::uuid"
        " from parley_import.load as l where l.conversation_id = %s and l.seq = %s)",
        found,
    ).rowcount
    assert gone > 0
    _, report = there.finish()
    assert report.problems == []
    assert there.one("select count(*) from chat.reactions") == brought - gone + 1  # type: ignore[operator]
    is_changed = "select is_changed from chat.messages where conversation_id = %s and seq = %s"
    assert there.one(is_changed, *found) is True
    assert there.one("select count(*) from chat.messages where is_changed") == 1


def test_a_conversation_that_is_there_goes_on_and_is_put_back(world):
    there: World = world("direct_messages", dirt=False, count=300)
    there.owner.execute(OWN_WORDS)
    rows = there.rows()
    plan = there.plan()
    assert [c["number"] for c in plan["conflicts"] if c["kind"] == "existing"] == [1]
    there.apply(plan)
    assert there.verify().problems == []
    bodies = [
        row[0]
        for row in there.owner.execute(
            "select body from chat.messages where conversation_id = md5('there')::uuid order by seq"
        )
    ]
    assert bodies[:3] == [f"said here before {number}" for number in (1, 2, 3)]
    assert len(bodies) > 3
    there.rollback()
    assert there.rows() == rows


def test_what_answers_an_imported_message_goes_with_it_where_that_is_asked_for(world):
    there: World = world("direct_messages", dirt=False, count=300)
    there.owner.execute(OWN_WORDS)
    rows = there.rows()
    there.apply(there.plan())
    room, sender = there.owner.execute(
        "select conversation_id, user_id from chat.participants"
        " where conversation_id = md5('there')::uuid limit 1"
    ).fetchone()
    with there.database.acting(str(sender)) as connection:
        connection.execute("select chat.send_message(%s, 'new', reply_to_seq => 4)", (room,))
    there.rollback(is_discarding=True)
    left = there.rows()
    assert left["chat.messages"] == rows["chat.messages"]


def test_what_was_said_here_since_is_not_taken_back_unasked(world):
    there: World = world("direct_messages", dirt=False, count=300)
    there.apply(there.plan())
    with there.database.acting(there.one("select md5('user1')")) as connection:
        connection.execute(
            "select chat.send_message(conversation_id, 'new') from chat.participants limit 1"
        )
    with pytest.raises(ImportFailed, match="written in imported conversations"):
        there.rollback()
    assert there.rollback(is_discarding=True) == 300


def test_nothing_is_announced_and_little_recorded(world):
    there: World = world("direct_messages", dirt=False, count=300)
    before = {
        name: rows
        for name, rows in there.rows().items()
        if name in ("chat_private.audit_log", "chat.notifications") or name.startswith("realtime")
    }
    there.apply(there.plan())
    after = there.rows()
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize("role", ["authenticated", "service_role"])
def test_nobody_else_is_importing(database, role):
    """The setting alone does nothing for those who may not write the table."""
    ids = [database.user(name) for name in ("alice", "bob")]
    with database.connect(ids[0]) as connection:
        row = connection.execute(
            "select id from chat.start_direct(user_id => %s)", (ids[1],)
        ).fetchone()
        assert row is not None
        act_as(connection, ids[0], role=role)
        connection.execute("set chat.importing = 'on'")
        if role == "service_role":
            connection.execute("insert into chat.tenants (slug, name) values ('more', 'More')")
            assert database.owner.execute(
                "select count(*) from chat_private.audit_log where action = 'tenant_created'"
            ).fetchone() == (1,)
            return
        sent = connection.execute("select seq from chat.send_message(%s, 'hello')", row).fetchone()
        assert sent == (1,)
