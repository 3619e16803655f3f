"""Sweeps that are killed, that run beside each other, and that run beside people who write."""

from __future__ import annotations

import json
import random
import threading

import psycopg
import pytest

from support.databases import clone
from support.retention import TENANT, make_room

KILLS, KILLS_OF_A_LONG_RUN = 20, 200
MESSAGES = 300


@pytest.fixture
def full(stack, database_template):
    """A room in which everything has expired, with all that hangs on messages."""
    with clone(stack, database_template) as database:
        room = make_room(database)
        with database.acting(room.ids["alice"]) as connection:
            connection.execute(
                "select chat.send_message(%s, 'x' || n, reply_to_seq => case when n > 1"
                " and n %% 3 = 0 then n - 1 end) from generate_series(1, %s) as n",
                (room.id, MESSAGES),
            )
        with database.acting(room.ids["bob"]) as connection:
            connection.execute(
                "select chat.react(%s, n, '+') from generate_series(1, %s, 2) as n",
                (room.id, MESSAGES),
            )
        room.owner(
            "insert into chat.attachments (conversation_id, message_seq, position, path, name,"
            " mime_type, size_bytes) select %s, n, 1, concat_ws('/', %s::text, %s::text,"
            " gen_random_uuid(), 'a.png'), 'a.png', 'image/png', 9"
            " from generate_series(1, %s, 5) as n",
            room.id, TENANT, room.id, MESSAGES,
        )  # fmt: skip
        room.after(30)
        yield room


def sweep_until_killed(room, chance):
    """Batches of a random size until one is cut off: within it, or after it and before it commits.
    Whether nothing was left to do.
    """
    with psycopg.connect(room.database.url) as connection:
        cursor = None
        while True:
            connection.execute(
                "select set_config('statement_timeout', %s, true)", (str(chance.randint(2, 60)),)
            )
            try:
                ((done,),) = connection.execute(
                    "select chat.sweep_messages(%s, %s)",
                    (chance.randint(1, 10), json.dumps(cursor) if cursor else None),
                ).fetchall()
                if chance.random() < 0.5:
                    room.owner("select pg_terminate_backend(%s, 5000)", connection.info.backend_pid)
                connection.execute("commit")
            except (psycopg.errors.QueryCanceled, psycopg.OperationalError):
                return False
            if not done["has_more"]:
                return True
            cursor = done["cursor"]


def sweep_through_kills(room, chance, kills):
    """Until a sweep comes to its end, after at least so many that did not."""
    killed = 0
    while True:
        if sweep_until_killed(room, chance):
            return killed
        killed += 1
        if killed >= kills:
            room.sweep(50)
            return killed


def test_killed_sweeps_lose_nothing_and_leave_nothing(full, long_run):
    chance = random.Random(6)
    kills = (KILLS_OF_A_LONG_RUN if long_run else KILLS) // 2
    preview = "select sum(messages)::int, sum(files)::int from chat.preview_retention(%s)"
    assert full.service(preview, TENANT) == [(MESSAGES, MESSAGES // 5)]
    cut = sweep_through_kills(full, chance, kills)
    full.check()
    assert full.seen("bob") == []
    assert full.owner(
        "select count(*), count(*) filter (where d.body like 'x%%') from chat.messages as m"
        " inner join chat_private.deleted_messages as d on m.seq = d.message_seq"
        " where m.deleted_at is not null"
    ) == [(MESSAGES, MESSAGES)]
    # Everything can still come back.
    seqs = [1, MESSAGES]
    assert full.service("select chat.restore_messages(%s, %s)", full.id, seqs) == [(2,)]
    assert full.seen("bob") == seqs

    full.after(60)
    assert full.service(preview, TENANT) == [(MESSAGES, MESSAGES // 5)]
    cut += sweep_through_kills(full, chance, kills)
    assert cut >= kills
    full.after(120)
    full.sweep()
    full.after(121)
    full.sweep()
    for table in ("chat.messages", "chat.reactions", "chat.attachments",
                  "chat_private.deleted_messages", "chat_private.restored_messages"):  # fmt: skip
        assert full.owner(f"select count(*) from {table}") == [(0,)], table
    full.check()
    assert full.service(
        "select sum(messages)::int, sum(files)::int,"
        " sum((rows_of_tables ->> 'reactions')::int)::int from chat.purge_runs"
    ) == [(MESSAGES, MESSAGES // 5, MESSAGES // 2)]
    assert full.owner(
        "select count(*), bool_or(is_restorable) from chat_private.orphaned_objects"
    ) == [(MESSAGES // 5, False)]
    assert full.owner("select broken_seq from chat_private.verify_audit_log(%s)", TENANT) == [
        (None,)
    ]


def test_sweeps_beside_each_other_and_beside_sends(full):
    """Each message is removed by one of them; sends get their numbers; counters are right."""
    failures = []
    begin = threading.Barrier(4)

    def sweeping():
        with psycopg.connect(full.database.url, autocommit=True) as connection:
            begin.wait()
            for _ in range(3):
                cursor = None
                while True:
                    ((done,),) = connection.execute(
                        "select chat.sweep_messages(7, %s)",
                        (json.dumps(cursor) if cursor else None,),
                    ).fetchall()
                    if not done["has_more"]:
                        break
                    cursor = done["cursor"]

    def sending(name):
        with full.database.acting(full.ids[name]) as connection:
            begin.wait()
            for n in range(60):
                connection.execute("select chat.send_message(%s, %s)", (full.id, f"new {n}"))
                connection.execute("select chat.mark_read(%s)", (full.id,))

    def guarded(work, *arguments):
        try:
            work(*arguments)
        except psycopg.Error as error:
            failures.append(error)

    threads = [
        threading.Thread(target=guarded, args=each)
        for each in ((sweeping,), (sweeping,), (sending, "bob"), (sending, "carol"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []
    full.sweep()
    full.check()
    assert full.owner("select count(*), max(seq) from chat.messages where deleted_at is null") == [
        (120, MESSAGES + 120)
    ]
    assert full.owner("select count(*) from chat_private.deleted_messages") == [(MESSAGES,)]


def test_receipts_go_with_the_messages_that_they_are_of(database):
    room = make_room(database)
    for seq in range(1, 7):
        room.after(seq)
        room.send("alice", f"message {seq}")
        room.call("bob", "select (chat.mark_read(%s)).rev", room.id)
    room.call("carol", "select (chat.mark_read(%s, 2)).rev", room.id)

    def times():
        return room.owner(
            "select seq, user_id, delivered_at, read_at from chat.message_receipts order by 1, 2"
        )

    before = times()
    room.after(33.5)
    room.sweep()
    room.after(64)
    room.sweep()
    assert room.owner("select array_agg(seq order by seq) from chat.messages") == [([4, 5, 6],)]
    assert times() == [row for row in before if row[0] > 3]
    assert room.owner("select count(*) from chat.receipts where last_delivered_seq < 4") == [(0,)]
    # Of bob, and the one of carol.
    assert room.service("select sum((rows_of_tables ->> 'receipts')::int)::int from chat.purge_runs"
                        ) == [(4,)]  # fmt: skip
