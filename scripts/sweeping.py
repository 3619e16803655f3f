"""What the sweep does to a database that is in use for long: dead rows and the growth of tables and
indexes over cycles of sending, marking and purging, how fast it is, and what sends beside it cost.

    sweeping.py [--cycles 10] [--messages 5000] [--sweeps 1]

Runs on a backend of its own. In each cycle as much is sent as is marked and as is purged, so that a
database that keeps its size keeps it from the third on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sweep import batches

from parley_stack.testing import Stack, start_stack
from parley_stack.testing.databases import act_as

ROOT = Path(__file__).resolve().parent.parent
ROOMS, BATCH, DAYS = 100, 200, 31
_SIZES = """
select
    coalesce(sum(s.n_dead_tup), 0)::bigint,
    sum(pg_table_size(s.relid))::bigint,
    sum(pg_indexes_size(s.relid))::bigint
from pg_stat_user_tables as s
where s.schemaname in ('chat', 'chat_private')
"""


@dataclass(frozen=True)
class Cycle:
    """One cycle. dead_rows: Before vacuum; bytes are after it. Times of a send in milliseconds."""

    number: int
    marked_a_second: float
    purged_a_second: float
    dead_rows: int
    table_bytes: int
    index_bytes: int
    send_alone: float
    send_beside: float


class Sweeping:
    """People in a hundred rooms, in a database whose clock is set."""

    def __init__(self, stack: Stack) -> None:
        self._url = stack.db_url
        self._owner = psycopg.connect(stack.db_url, autocommit=True)
        self._ids = [self._person(number) for number in range(3)]
        with self._acting() as sender:
            self._rooms = [
                _first(sender, "select (chat.start_group('Room', %s::uuid[])).id", self._ids[1:])
                for _ in range(ROOMS)
            ]

    def close(self) -> None:
        """Ends the connection."""
        self._owner.close()

    def cycles(self, count: int, messages: int, sweeps: int) -> Iterator[Cycle]:
        """Sends, and sweeps what earlier cycles sent."""
        for number in range(1, count + 1):
            self._set_clock(number * DAYS)
            self._send(messages)
            alone = self._times_of_sends(1.0)
            done = {"marked": 0, "purged": 0}
            took, beside = self._sweep(sweeps, done)
            self._owner.execute("select pg_stat_force_next_flush()")
            time.sleep(1.1)
            dead, _, _ = self._sizes()
            self._owner.execute("vacuum analyze")
            _, table, index = self._sizes()
            yield Cycle(
                number,
                done["marked"] / took["mark"] if took["mark"] else 0.0,
                done["purged"] / took["purge"] if took["purge"] else 0.0,
                dead,
                table,
                index,
                _median_ms(alone),
                _median_ms(beside),
            )

    def _sweep(self, sweeps: int, done: dict[str, int]) -> tuple[dict[str, float], list[float]]:
        took = {"rewrite": 0.0, "mark": 0.0, "purge": 0.0, "done": 0.0}
        beside: list[float] = []
        is_over = threading.Event()
        lock = threading.Lock()

        def sweep() -> None:
            with psycopg.connect(self._url, autocommit=True) as connection:
                began = time.perf_counter()
                for batch in batches(connection, BATCH):
                    now = time.perf_counter()
                    with lock:
                        for name in done:
                            done[name] += batch[name]
                        phase = "purge" if batch["purged"] else "mark"
                        took[phase] += (now - began) / sweeps
                    began = now

        def send() -> None:
            beside.extend(self._times_of_sends(600.0, is_over))

        sender = threading.Thread(target=send)
        workers = [threading.Thread(target=sweep) for _ in range(sweeps)]
        sender.start()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        is_over.set()
        sender.join()
        return took, beside

    def _send(self, messages: int) -> None:
        with self._acting() as sender:
            for room in self._rooms:
                sender.execute(
                    "select chat.send_message(%s, repeat('a word or two ', 7))"
                    " from generate_series(1, %s)",
                    (room, messages // ROOMS),
                )

    def _times_of_sends(
        self, seconds: float, is_over: threading.Event | None = None
    ) -> list[float]:
        times: list[float] = []
        end = time.perf_counter() + seconds
        with self._acting() as sender:
            while time.perf_counter() < end and not (is_over and is_over.is_set()):
                began = time.perf_counter()
                sender.execute(
                    "select chat.send_message(%s, 'beside')", (self._rooms[len(times) % ROOMS],)
                )
                times.append(time.perf_counter() - began)
        return times

    def _set_clock(self, days: int) -> None:
        self._owner.execute(
            "create or replace function chat_private.now() returns timestamptz language sql stable"
            f" set search_path = '' return pg_catalog.now() + interval '{days} days'"
        )

    def _sizes(self) -> tuple[int, int, int]:
        row = self._owner.execute(_SIZES).fetchone()
        assert row is not None
        return row

    def _person(self, number: int) -> str:
        return _first(
            self._owner,
            "insert into auth.users (id, instance_id, aud, role, email, raw_user_meta_data)"
            " values (gen_random_uuid(), '00000000-0000-0000-0000-000000000000', 'authenticated',"
            " 'authenticated', %s, %s) returning id",
            f"swept{number}@example.com",
            json.dumps({"username": f"swept{number}"}),
        )

    @contextmanager
    def _acting(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            act_as(connection, self._ids[0], role="authenticated")
            yield connection


def _first(connection: psycopg.Connection, statement: str, *values: object) -> str:
    row = connection.execute(statement.encode(), values).fetchone()
    assert row is not None
    return str(row[0])


def _median_ms(seconds: list[float]) -> float:
    return statistics.median(seconds) * 1000 if seconds else 0.0


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--cycles", type=int, default=10)
    parser.add_argument("--messages", type=int, default=5000, help="in a cycle")
    parser.add_argument("--sweeps", type=int, default=1, help="at a time")
    options = parser.parse_args()
    stack = start_stack(ROOT, "--ephemeral")
    try:
        sweeping = Sweeping(stack)
        print(f"{'cycle':>5} {'marked/s':>9} {'purged/s':>9} {'dead rows':>9} {'tables':>9}"
              f" {'indexes':>9} {'send':>8} {'beside':>8}")  # fmt: skip
        for cycle in sweeping.cycles(options.cycles, options.messages, options.sweeps):
            print(
                f"{cycle.number:>5} {cycle.marked_a_second:>9.0f} {cycle.purged_a_second:>9.0f}"
                f" {cycle.dead_rows:>9} {cycle.table_bytes / 1e6:>6.1f} MB"
                f" {cycle.index_bytes / 1e6:>6.1f} MB {cycle.send_alone:>5.2f} ms"
                f" {cycle.send_beside:>5.2f} ms",
                flush=True,
            )
        sweeping.close()
    finally:
        stack.stop()


if __name__ == "__main__":
    main()
