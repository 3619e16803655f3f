"""Bytes of each thing, measured on a backend of its own, by the functions that clients call."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from parley_stack.testing import Stack
from parley_stack.testing.databases import act_as

from .model import Bytes, Calibration

PEOPLE = 300
MESSAGES = 4500
ROOMS = 30
SHORT, LONG = 40, 400
_SIZE = """
select
    sum(pg_table_size(c.oid)) filter (where n.nspname like 'chat%' or n.nspname = 'auth')::float,
    sum(pg_indexes_size(c.oid)) filter (where n.nspname like 'chat%' or n.nspname = 'auth')::float,
    sum(pg_table_size(c.oid)) filter (where n.nspname = 'realtime')::float,
    sum(pg_indexes_size(c.oid)) filter (where n.nspname = 'realtime')::float,
    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relkind = 'r' and (n.nspname in ('chat', 'chat_private', 'auth', 'realtime'))
"""


class Meter:
    """Measures what statements leave behind."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.rest = Bytes()
        self.events = Bytes()

    @contextmanager
    def measuring(self, count: int) -> Iterator[None]:
        """``rest`` and ``events`` are then of one of ``count``; all the WAL is of the rest."""
        before = self._sizes()
        yield
        after = self._sizes()
        table, index, event_table, event_index, wal = (
            (late - early) / count for late, early in zip(after, before, strict=True)
        )
        self.rest = Bytes(table, index, wal)
        self.events = Bytes(event_table, event_index)

    def _sizes(self) -> tuple[float, ...]:
        row = self.connection.execute(_SIZE).fetchone()
        assert row is not None
        return row


def texts(letters: int, count: int) -> list[str]:
    """Words as often as in a language: few often, many seldom. The same in every run."""
    chance = random.Random(letters)  # noqa: S311 - nothing secret
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 9))) for _ in range(20000)]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    made = []
    for _ in range(count):
        text = " ".join(chance.choices(words, weights, k=letters // 3))
        made.append(text[:letters].ljust(letters, "."))
    return made


def measure(stack: Stack) -> Calibration:
    """About a minute."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        return _Measurement(connection).run()


class _Measurement:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._meter = Meter(connection)
        self._ids = [str(uuid.uuid4()) for _ in range(PEOPLE)]
        self._rooms: list[str] = []

    def run(self) -> Calibration:
        person, conversation = self._people(), self._conversations()
        short, event = self._sends(SHORT)
        long, _ = self._sends(LONG)
        letter = Bytes(
            (long.table - short.table) / (LONG - SHORT),
            (long.index - short.index) / (LONG - SHORT),
            (long.wal - short.wal) / (LONG - SHORT),
        )
        receipt, reaction = self._receipts(), self._reactions()
        aside, marked = self._marks()
        version = self._connection.execute("show server_version").fetchone()
        assert version is not None
        return Calibration(
            person=person,
            conversation=conversation,
            message=short + letter * -SHORT,
            letter=letter,
            receipt=receipt,
            reaction=reaction,
            event=event,
            aside=aside + Bytes(table=-letter.table * (SHORT + LONG) / 2),
            marked=marked,
            purged=self._purges(),
            about=f"measured on PostgreSQL {version[0].split()[0]}",
        )

    @contextmanager
    def _as(self, user_id: str) -> Iterator[None]:
        act_as(self._connection, user_id, role="authenticated")
        try:
            yield
        finally:
            self._connection.execute("reset role")

    def _people(self) -> Bytes:
        with self._meter.measuring(PEOPLE):
            for number, user_id in enumerate(self._ids):
                self._connection.execute(
                    "insert into auth.users (id, instance_id, aud, role, email,"
                    " raw_user_meta_data) values (%s, '00000000-0000-0000-0000-000000000000',"
                    " 'authenticated', 'authenticated', %s, %s)",
                    (user_id, f"measured{number}@example.com",
                     json.dumps({"username": f"measured{number}"})),
                )  # fmt: skip
        return self._meter.rest

    def _conversations(self) -> Bytes:
        with self._meter.measuring(PEOPLE - 1), self._as(self._ids[0]):
            for number in range(1, PEOPLE):
                row = self._connection.execute(
                    "select (chat.start_direct(%s)).id", (self._ids[number],)
                ).fetchone()
                assert row is not None
                self._rooms.append(str(row[0]))
        return self._meter.rest

    def _sends(self, letters: int) -> tuple[Bytes, Bytes]:
        made = texts(letters, MESSAGES)
        with self._meter.measuring(MESSAGES), self._as(self._ids[0]):
            for number, body in enumerate(made):
                self._connection.execute(
                    "select chat.send_message(%s, %s)", (self._rooms[number % ROOMS], body)
                )
        return self._meter.rest, self._meter.events

    def _receipts(self) -> Bytes:
        return self._each("select chat.mark_read(%s, %s * 5)")

    def _reactions(self) -> Bytes:
        return self._each("select chat.react(%s, %s, '+')")

    def _each(self, statement: str) -> Bytes:
        """What one of 1,500 leaves, each in a transaction of its own."""
        times = 50
        with self._meter.measuring(times * ROOMS):
            for number in range(ROOMS):
                with self._as(self._ids[number + 1]):
                    for seq in range(1, times + 1):
                        self._connection.execute(statement.encode(), (self._rooms[number], seq))
        return self._meter.rest

    def _marks(self) -> tuple[Bytes, Bytes]:
        aside = "select pg_table_size(%s::regclass), pg_indexes_size(%s::regclass)"
        name = "chat_private.deleted_messages"
        with self._meter.measuring(2 * MESSAGES):
            self._sweep(days=31)
        row = self._connection.execute(aside, (name, name)).fetchone()
        assert row is not None
        return Bytes(row[0], row[1]) * (0.5 / MESSAGES), Bytes(wal=self._meter.rest.wal)

    def _purges(self) -> Bytes:
        with self._meter.measuring(2 * MESSAGES):
            self._sweep(days=62)
        return Bytes(wal=self._meter.rest.wal)

    def _sweep(self, *, days: int) -> None:
        self._connection.execute(
            "create or replace function chat_private.now() returns timestamptz language sql stable"
            f" set search_path = '' return pg_catalog.now() + interval '{days} days'"
        )
        cursor = None
        while True:
            row = self._connection.execute(
                "select chat.sweep_messages(200, %s)", (cursor and json.dumps(cursor),)
            ).fetchone()
            assert row is not None
            if not row[0]["has_more"]:
                return
            cursor = row[0]["cursor"]
