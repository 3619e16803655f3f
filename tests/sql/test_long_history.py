"""Somebody with a long history changes their tier: it is rewritten in small steps beside sends."""

from __future__ import annotations

import json
import statistics
import threading
import time

import psycopg
import pytest

from support.databases import conninfo
from support.retention import make_room

MESSAGES, MESSAGES_OF_A_LONG_RUN = 6_000, 1_000_000
BATCH = 200

# As a superuser, without triggers: as they would be there.
FILL = """
set session_replication_role = replica;
insert into chat.messages (
    conversation_id, id, sender_id, seq, rev, created_at, expires_at, body
)
select
    '{room}', gen_random_uuid(), '{sender}', n, n,
    '2027-01-01 12:00Z'::timestamptz - (({count} - n) / 86400.0) * interval '1 second',
    '2027-01-01 12:00Z'::timestamptz - (({count} - n) / 86400.0) * interval '1 second'
    + interval '180 days',
    'message ' || n
from generate_series(1, {count}) as n;
update chat.conversations
set last_seq = {count}, message_count = {count}, rev = {count},
    expires_from = (select min(expires_at) from chat.messages where conversation_id = '{room}')
where id = '{room}';
analyze chat.messages;
"""


@pytest.fixture
def history(database, stack, long_run):
    """A room in which alice, who is privileged, wrote a great many messages, and their number."""
    count = MESSAGES_OF_A_LONG_RUN if long_run else MESSAGES
    room = make_room(database)
    room.tier("alice", "privileged")
    room.sweep()
    name = database.owner.info.dbname
    with psycopg.connect(conninfo(stack, "supabase_admin", name), autocommit=True) as admin:
        admin.execute(FILL.format(room=room.id, sender=room.ids["alice"], count=count).encode())
    return room, count


def median_ms(seconds: list[float]) -> float:
    return round(statistics.median(seconds) * 1000, 2)


def test_a_million_messages_of_one_sender(history):
    room, count = history
    alone: list[float] = []
    beside: list[float] = []
    failures: list[psycopg.Error] = []
    is_over = threading.Event()
    with room.database.acting(room.ids["bob"]) as bob:
        (elsewhere,) = bob.execute("select (chat.start_group('Elsewhere')).id").fetchone()

    def send(connection, where, times):
        began = time.perf_counter()
        connection.execute("select chat.send_message(%s, 'beside')", (where,))
        times.append(time.perf_counter() - began)

    def sending(where, times):
        try:
            with room.database.acting(room.ids["bob"]) as connection:
                while not is_over.is_set():
                    send(connection, where, times)
        except psycopg.Error as error:
            failures.append(error)

    with room.database.acting(room.ids["bob"]) as connection:
        for _ in range(50):
            send(connection, elsewhere, alone)
    # The change itself rewrites a thousand, and takes no longer however many there are.
    began = time.perf_counter()
    room.tier("alice", "free")
    changed = time.perf_counter() - began

    here: list[float] = []
    threads = [
        threading.Thread(target=sending, args=each)
        for each in ((elsewhere, beside), (room.id, here))
    ]
    for thread in threads:
        thread.start()
    batches: list[float] = []
    most, cursor, started = 0, None, time.perf_counter()
    with psycopg.connect(room.database.url, autocommit=True) as connection:
        while True:
            began = time.perf_counter()
            ((done,),) = connection.execute(
                "select chat.sweep_messages(%s, %s)", (BATCH, cursor and json.dumps(cursor))
            ).fetchall()
            batches.append(time.perf_counter() - began)
            most = max(most, done["rewritten"])
            if not done["has_more"]:
                break
            cursor = done["cursor"]
    took = time.perf_counter() - started
    is_over.set()
    for thread in threads:
        thread.join()

    assert failures == []
    assert most <= BATCH
    assert len(batches) >= (count - 1000) / BATCH
    # All of them, exactly: as privileged until the grace is over, as free from then on.
    assert room.owner(
        "select count(*) from chat.messages where sender_id = %s and conversation_id = %s"
        " and seq <= %s and expires_at is distinct from least(created_at + interval '180 days',"
        " greatest(created_at + interval '30 days', %s::timestamptz + interval '30 days'))",
        room.ids["alice"], room.id, count, "2027-01-01 12:00Z",
    ) == [(0,)]  # fmt: skip
    assert room.owner("select count(*) from chat_private.retention_jobs") == [(0,)]
    assert len(here) > 3
    assert len(beside) > 3
    # Sends got their numbers, one after the other.
    assert room.owner("select last_seq from chat.conversations where id = %s", room.id) == [
        (count + len(here),)
    ]
    # Shown by pytest -rP.
    print(f"{count} messages, {count / took:.0f}/s; the change itself {changed * 1000:.0f} ms,"
          f" a batch {median_ms(batches)} ms; a send alone {median_ms(alone)} ms,"
          f" elsewhere {median_ms(beside)} ms, there {median_ms(here)} ms")  # fmt: skip
