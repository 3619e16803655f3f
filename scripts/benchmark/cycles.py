"""What the sweep leaves behind in a database that is in use for long: dead rows, and growth.

In each cycle as much is sent as is marked and as is purged, so that a database that keeps its size
keeps it from the third on.
"""

from __future__ import annotations

import psycopg
from sweep import batches

from parley_stack.testing import Database, clone, make_template

from .laboratory import ROOT, Laboratory, one
from .results import Results

PART = "cycles"
_CYCLES = (3, 10)
_ROOMS = 100
_DAYS = 31
"""Longer than the shortest retention, and than what is gone can be restored."""
_SIZES = """
select
    coalesce(sum(s.n_dead_tup), 0)::float8 as "dead rows before a vacuum",
    sum(pg_table_size(s.relid)) / 1e6::float8 as "tables after it",
    sum(pg_indexes_size(s.relid)) / 1e6::float8 as "indexes after it"
from pg_stat_user_tables as s
where s.schemaname in ('chat', 'chat_private')
"""


def measure(lab: Laboratory, results: Results) -> None:
    """In a database of its own, for its clock is set."""
    messages = 500 * lab.scale.repeats
    make_template(lab.stack, ROOT, "bench_cycles")
    with clone(lab.stack, "bench_cycles") as database:
        users = [database.user(f"swept{number}") for number in range(3)]
        with database.acting(users[0]) as sender:
            rooms = [
                one(sender, "select (chat.start_group('Room', %s::uuid[])).id", (users[1:],))
                for _ in range(_ROOMS)
            ]
        for number in range(1, _CYCLES[-1] + 1):
            dead, tables, indexes = _cycle(database, users[0], rooms, number, messages)
            if number not in _CYCLES:
                continue
            how = f"cycle {number}"
            beside = f"cycle {_CYCLES[0]}" if number != _CYCLES[0] else None
            for what, unit, value in (
                ("dead rows before a vacuum", "rows", dead),
                ("tables after it", "MB", tables),
                ("indexes after it", "MB", indexes),
            ):
                results.add(PART, what, how, unit, [value], beside=beside)


def _cycle(
    database: Database, user_id: str, rooms: list[str], number: int, messages: int
) -> tuple[float, float, float]:
    """A month: sends, sweeps what earlier ones sent, and vacuums. The figures of ``_SIZES``."""
    owner = database.owner
    owner.execute(
        "create or replace function chat_private.now() returns timestamptz language sql stable"
        f" set search_path = '' return pg_catalog.now() + interval '{number * _DAYS} days'".encode()
    )
    with database.acting(user_id) as sender:
        for room in rooms:
            sender.execute(
                "select chat.send_message(%s, repeat('a word or two ', 7))"
                " from generate_series(1, %s)",
                (room, messages // len(rooms)),
            )
        sender.execute("select pg_stat_force_next_flush()")
    with psycopg.connect(database.url, autocommit=True) as sweep:
        for _ in batches(sweep, 200):
            pass
        sweep.execute("select pg_stat_force_next_flush()")
    dead, _, _ = _sizes(owner)
    owner.execute("vacuum (analyze)")
    _, tables, indexes = _sizes(owner)
    return dead, tables, indexes


def _sizes(owner: psycopg.Connection) -> tuple[float, float, float]:
    row = owner.execute(_SIZES.encode()).fetchone()
    assert row is not None
    dead, tables, indexes = row
    return float(dead), float(tables), float(indexes)
