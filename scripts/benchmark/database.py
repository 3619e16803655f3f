"""Each operation in the database: under policies, as the tables' owner, and in another schema."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import psycopg
from psycopg import pq

from . import bookconnect
from .laboratory import Laboratory
from .results import Results
from .scales import Scale
from .town import LARGE_ROOM, POWER_USER, Room, person, room
from .words import COMMON_RANKS, RARE_RANKS, vocabulary

PART = "database"
_WARM_UP = 8
_LEAST_ROUNDS = 12
_SHARE_OF_SECONDS = 2
_CHANGES = 1000

Values = Sequence[object]


@dataclass(frozen=True)
class Work:
    """A statement that clients send, and its values in each round."""

    name: str
    statement: str
    values: Callable[[], Values]
    designed: str | None = None
    """The same in BookConnect's schema, with the same values; None where it has nothing like it."""
    is_write: bool = False


class Runner:
    """One connection that runs prepared statements through libpq, which adds next to nothing."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.pgconn = connection.pgconn

    def prepare(self, name: str, statement: str) -> None:
        """Under a name."""
        self._check(self.pgconn.prepare(name.encode(), statement.encode()))

    def run(self, name: str, values: Values) -> float:
        """Milliseconds until the answer is here."""
        given = [str(value).encode() for value in values]
        began = time.perf_counter()
        result = self.pgconn.exec_prepared(name.encode(), given)
        taken = time.perf_counter() - began
        self._check(result)
        return taken * 1000

    def _check(self, result: pq.abc.PGresult) -> None:
        if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
            raise AssertionError(result.error_message.decode())


def measure(lab: Laboratory, results: Results) -> None:
    """All operations in each way, also in BookConnect's schema."""
    me = person(POWER_USER)
    with lab.connect("supabase_admin") as admin:
        bookconnect.install(admin)
        with lab.acting(me) as mine, lab.acting(me, "postgres") as owner, lab.acting(me) as theirs:
            theirs.execute("set search_path = bookconnect")
            ours = {"policies": Runner(mine), "table owner": Runner(owner)}
            for work in works(lab, admin, mine):
                found = _measure(work, ours, lab.scale)
                if work.designed is not None:
                    # By itself: it reads whole tables, and would leave others nothing in memory.
                    found |= _measure(work, {"BookConnect": Runner(theirs)}, lab.scale)
                for how, samples in found.items():
                    beside = {"policies": "table owner", "BookConnect": "policies"}.get(how)
                    results.add(PART, work.name, how, "ms", samples, beside=beside)
        bookconnect.remove(admin)


def under_policies(lab: Laboratory) -> dict[str, list[float]]:
    """The milliseconds of each operation as a user alone."""
    with lab.connect("supabase_admin") as admin, lab.acting(person(POWER_USER)) as mine:
        ways = {"policies": Runner(mine)}
        return {
            work.name: _measure(work, ways, lab.scale)["policies"]
            for work in works(lab, admin, mine)
        }


def _measure(work: Work, ways: dict[str, Runner], scale: Scale) -> dict[str, list[float]]:
    """Samples by way, each in turn, so that a busy machine is busy for all.

    Ends after the scale's rounds, or when they take too long.
    """
    samples: dict[str, list[float]] = {}
    for how, runner in ways.items():
        statement = work.designed if how == "BookConnect" else work.statement
        if statement is not None:
            samples[how] = []
            runner.prepare(work.name, statement)
    hows = list(samples)
    until = time.perf_counter() + _SHARE_OF_SECONDS * scale.seconds
    for number in range(_WARM_UP + scale.rounds):
        # Whoever comes first finds less in memory.
        turn = number % len(hows)
        # Reads ask for the same each way; a write cannot be done twice.
        shared = work.values()
        for how in hows[turn:] + hows[:turn]:
            taken = ways[how].run(work.name, work.values() if work.is_write else shared)
            if number >= _WARM_UP:
                samples[how].append(taken)
        if number >= _WARM_UP + _LEAST_ROUNDS and time.perf_counter() > until:
            break
    return samples


def works(lab: Laboratory, admin: psycopg.Connection, me: psycopg.Connection) -> list[Work]:
    """Every operation, as the power user does it."""
    draw = random.Random(2)  # noqa: S311 - which rooms and words
    own = lab.town.own_rooms
    large = lab.town.rooms[LARGE_ROOM - 1]
    groups = [made for made in own if not made.is_direct and made is not lab.town.big_group]
    words = vocabulary()
    cursor = _synced(me)
    _change(admin, own, draw)
    read, send, add = _Reading(admin, own), cycle(own), _Adding(admin, groups, lab.scale.users)
    # As autovacuum would have done a little later.
    admin.execute("vacuum (analyze) chat.participants, chat.conversations")
    newest = iter(range(large.size, 0, -1))
    return [
        Work(
            "inbox of 30",
            "select * from chat.inbox"
            " order by last_activity_at desc, conversation_id desc limit 30",
            tuple,
            bookconnect.INBOX,
        ),
        Work(
            "newest 50",
            "select * from chat.messages where conversation_id = $1 order by seq desc limit 50",
            lambda: (draw.choice(own).id,),
            bookconnect.NEWEST,
        ),
        Work(
            "newest 50 of the large room",
            "select * from chat.messages where conversation_id = $1 order by seq desc limit 50",
            lambda: (large.id,),
            bookconnect.NEWEST,
        ),
        Work(
            "older page of the large room",
            "select * from chat.messages where conversation_id = $1 and seq < $2"
            " order by seq desc limit 50",
            lambda: (large.id, draw.randrange(100, large.size)),
            bookconnect.OLDER,
        ),
        Work("unread total", "select * from chat.unread_totals", tuple, bookconnect.UNREAD),
        Work(
            "search, common word",
            "select * from chat.search_messages($1)",
            lambda: (words[draw.choice(COMMON_RANKS)],),
        ),
        Work(
            "search, rare word",
            "select * from chat.search_messages($1)",
            lambda: (words[draw.choice(RARE_RANKS)],),
        ),
        Work(
            f"sync of {_CHANGES:,} changes",
            "select chat.sync($1, null, 2000)",
            lambda: (cursor,),
        ),
        Work(
            "send",
            "select chat.send_message($1, $2)",
            lambda: (next(send).id, "so this is what people say to each other all day long"),
            bookconnect.SEND,
            is_write=True,
        ),
        Work("mark_read", "select chat.mark_read($1)", read, bookconnect.MARK_READ, is_write=True),
        Work(
            "react",
            "select chat.react($1, $2, '🎉')",
            lambda: (large.id, next(newest)),
            is_write=True,
        ),
        Work(
            "add participant",
            "select chat.add_participants($1, array[$2]::uuid[])",
            add,
            is_write=True,
        ),
    ]


def _synced(me: psycopg.Connection) -> str:
    """The cursor of a client that has seen everything."""
    page: dict[str, Any] = {"cursor": None, "has_more": True}
    while page["has_more"]:
        row = me.execute("select chat.sync(%s, null, 2000)", (page["cursor"],)).fetchone()
        assert row is not None
        page = row[0]
    return str(page["cursor"])


def _change(admin: psycopg.Connection, rooms: Sequence[Room], draw: random.Random) -> None:
    """News for the power user: messages of others in their rooms."""
    for _ in range(_CHANGES):
        _send_as_other(admin, draw.choice(rooms))


def _send_as_other(admin: psycopg.Connection, made: Room) -> None:
    """By the trigger's rules, without a caller: as the service of somebody else's."""
    sender = next(number for number in made.members if number != POWER_USER)
    admin.execute(
        "insert into chat.messages (conversation_id, id, sender_id, body) values (%s, %s, %s, %s)",
        (made.id, uuid.uuid4(), person(sender), "some news for you"),
        prepare=True,
    )


class _Reading:
    """Conversations with something unread, one after the other."""

    def __init__(self, admin: psycopg.Connection, rooms: Sequence[Room]) -> None:
        self.admin = admin
        self.rooms = cycle(rooms)

    def __call__(self) -> Values:
        made = next(self.rooms)
        _send_as_other(self.admin, made)
        return (made.id,)


class _Adding:
    """A group and somebody who is not in it."""

    def __init__(self, admin: psycopg.Connection, rooms: Sequence[Room], users: int) -> None:
        # Only who administers a group adds people.
        admin.execute(
            "update chat.participants set role = 'owner' where user_id = %s",
            (person(POWER_USER),),
        )
        self.rooms = cycle(rooms)
        self.users = users
        self.members = {made.number: set(made.members) for made in rooms}

    def __call__(self) -> Values:
        made = next(self.rooms)
        members = self.members[made.number]
        number = next(n for n in range(self.users, 0, -1) if n not in members)
        members.add(number)
        return (room(made.number), person(number))
