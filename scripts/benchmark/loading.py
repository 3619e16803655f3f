"""Loads a town by COPY, triggers off and counters set right, which ``check_counters`` proves."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg import sql

from .town import POWER_USER, Room, Town, person
from .words import sentences, vocabulary

TENANT = "00000000-0000-4000-8000-000000000001"
_BLOCK = 2000
# Of how many of a member's newest messages some may be unread.
_TAIL = 50
_DAYS = 25
_RETENTION = timedelta(days=30)

_PEOPLE = """
insert into auth.users (id, instance_id, aud, role, email)
select p.id, '00000000-0000-0000-0000-000000000000', 'authenticated', 'authenticated',
    p.name || '@example.com'
from bench_people as p;
insert into chat.profiles (id, username) select p.id, p.name from bench_people as p;
insert into chat.tenant_members (tenant_id, user_id) select %s, p.id from bench_people as p;
"""


def load(admin: psycopg.Connection, town: Town) -> None:
    """Fills an empty database. ``admin`` is a superuser's connection, in autocommit."""
    admin.execute("set session_replication_role = replica")
    admin.execute("set maintenance_work_mem = '512MB'")
    admin.execute("set synchronous_commit = off")
    admin.execute(
        "create temporary table bench_people as select"
        " ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid as id,"
        " 'person_' || n as name from generate_series(1, %s) as n",
        (town.scale.users,),
    )
    for statement in _PEOPLE.strip().split(";\n"):
        admin.execute(statement.encode(), (TENANT,) if "%s" in statement else ())
    dropped = _drop_indexes(admin)
    now = datetime.now(UTC)
    writer = _Writer(admin, town, now)
    writer.messages()
    writer.conversations()
    writer.participants()
    for statement in dropped:
        admin.execute(statement.encode())
    admin.execute("set session_replication_role = origin")
    admin.execute("vacuum (analyze)")
    admin.execute("checkpoint")


def wrong_counters(admin: psycopg.Connection) -> int:
    """How many counters are not what the messages say."""
    row = admin.execute("select count(*) from chat_private.check_counters(null)").fetchone()
    assert row is not None
    return int(row[0])


def _drop_indexes(admin: psycopg.Connection) -> list[str]:
    """Drops what is quicker to build at the end; returns the statements that do."""
    found = admin.execute(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)"
        " from pg_index as i left join pg_constraint as c on c.conindid = i.indexrelid"
        " where i.indrelid = 'chat.messages'::regclass and c.oid is null"
    ).fetchall()
    for name, _ in found:
        admin.execute(f"drop index {name}".encode())
    return [definition for _, definition in found]


class _Writer:
    """Streams rows. Messages first: they decide what everybody has unread."""

    def __init__(self, admin: psycopg.Connection, town: Town, now: datetime) -> None:
        self.admin = admin
        self.town = town
        self.now = now
        self.draw = random.Random(town.scale.messages)  # noqa: S311 - data
        self.total = sum(room.size for room in town.rooms)
        self.step = timedelta(days=_DAYS) / self.total
        self.last_at: dict[int, datetime] = {}
        self.reactions: list[str] = []
        self.mentions: list[str] = []

    def copy(self, table: str, columns: str, lines: Iterable[str]) -> None:
        """COPY of rows in text format."""
        statement = sql.SQL("copy {} ({}) from stdin").format(
            sql.Identifier("chat", table),
            sql.SQL(columns),
        )
        with self.admin.cursor() as cursor, cursor.copy(statement) as copy:
            block = []
            for line in lines:
                block.append(line)
                if len(block) == _BLOCK:
                    copy.write("".join(block))
                    block = []
            copy.write("".join(block))

    def messages(self) -> None:
        """All messages by time, as they would have come: those of a conversation lie far apart."""
        self.copy(
            "messages",
            "conversation_id, id, sender_id, seq, rev, created_at, expires_at, is_changed, body,"
            " reply_to_seq",
            self._messages(),
        )
        self.copy("reactions", "conversation_id, message_seq, user_id, emoji", self.reactions)
        self.copy("mentions", "conversation_id, message_seq, user_id", self.mentions)

    def _messages(self) -> Iterator[str]:
        draw = self.draw
        order = array(
            "i", (place for place, room in enumerate(self.town.rooms) for _ in range(room.size))
        )
        draw.shuffle(order)
        at = self.now - timedelta(days=_DAYS)
        texts = sentences(draw, vocabulary())
        for place in order:
            room = self.town.rooms[place]
            room.sent += 1
            seq = room.sent
            at += self.step
            sender = int(draw.random() * len(room.members))
            if seq > room.size - _TAIL:
                room.tail.append(sender)
            self.last_at[room.number] = at
            chance = draw.random()
            if chance < 0.03:
                self.reactions.append(f"{room.id}\t{seq}\t{person(room.members[sender])}\t👍\n")
            elif chance > 0.99 and not room.is_direct:
                mentioned = person(room.members[sender - 1])
                self.mentions.append(f"{room.id}\t{seq}\t{mentioned}\n")
                room.last_mention = seq
            reply = str(seq - 1) if seq > 1 and 0.5 < chance < 0.55 else "\\N"
            yield (
                f"{room.id}\t{draw.getrandbits(128):032x}\t{person(room.members[sender])}\t{seq}"
                f"\t{seq}\t{at}\t{at + _RETENTION}\t{'t' if chance < 0.03 else 'f'}"
                f"\t{next(texts)}\t{reply}\n"
            )

    def conversations(self) -> None:
        """With their counters."""
        self.copy(
            "conversations",
            "id, tenant_id, kind, title, user_low_id, user_high_id, last_seq, message_count, rev,"
            " participant_count, last_mention_seq, last_activity_at, expires_from",
            (self._conversation(room) for room in self.town.rooms),
        )

    def _conversation(self, room: Room) -> str:
        low, high = map(person, sorted(room.members)) if room.is_direct else ("\\N", "\\N")
        kind, title = ("direct", "\\N") if room.is_direct else ("group", f"Room {room.number}")
        # When its first message expires is not kept: it is after the beginning of all.
        expires = self.now - timedelta(days=_DAYS) + _RETENTION
        return (
            f"{room.id}\t{TENANT}\t{kind}\t{title}\t{low}\t{high}\t{room.size}\t{room.size}"
            f"\t{room.size}\t{len(room.members)}\t{room.last_mention}"
            f"\t{self.last_at[room.number]}\t{expires}\n"
        )

    def participants(self) -> None:
        """Six in ten have read all; the others lack some of the newest messages."""
        self.copy(
            "participants",
            "conversation_id, user_id, tenant_id, role, last_read_seq, last_delivered_seq,"
            " read_count, rev",
            (line for room in self.town.rooms for line in self._members(room)),
        )
        self.copy(
            "participant_settings",
            "conversation_id, user_id, is_pinned",
            (
                f"{room.id}\t{person(POWER_USER)}\t{'t' if room.number % 7 == 0 else 'f'}\n"
                for room in self.town.own_rooms
                if room.number % 3 == 0
            ),
        )

    def _members(self, room: Room) -> Iterator[str]:
        for place, number in enumerate(room.members):
            behind = 0
            if self.draw.random() > 0.6:
                behind = self.draw.randint(1, len(room.tail))
            unread = sum(sender != place for sender in room.tail[len(room.tail) - behind :])
            yield (
                f"{room.id}\t{person(number)}\t{TENANT}\t{'member' if place else 'owner'}"
                f"\t{room.size - behind}\t{room.size}\t{room.size - unread}\t{room.size}\n"
            )
