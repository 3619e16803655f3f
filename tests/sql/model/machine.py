"""Runs programs, lists of operations, on the database and on the model side by side."""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any, NamedTuple

import psycopg

from . import membership, messages, private, replica, ruling
from .calls import DECK, OPERATIONS, Call, Draw
from .looking import SCHEMA
from .messages import POLL
from .replica import Replica
from .sight import KEYS, RARE_KEYS, differences, see
from .state import Event, Member, Notice, Refused, Room, Tenant, iso
from .world import World

# Importing them fills the deck of operations.
NOUNS = (membership, messages, private, ruling)
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
USERS = tuple(f"00000000-0000-4000-a000-00000000000{n}" for n in range(1, 7))
# The first is the one that everybody joins who signs up.
TENANTS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
ROLES = (
    dict(zip(USERS, ("owner", "admin", "moderator", "member", "member", "member"), strict=True)),
    {USERS[0]: "member", USERS[1]: "owner", USERS[4]: "member"},
)
START = 1_800_000_000
# After each so many steps everybody looks at everything; in between, one of those whom a step
# concerns at the conversation. After each, somebody's client syncs, in pages of one of these sizes.
ALL_LOOK = 20
PAGE_SIZES = (500, 1, 3, 500)


class Step(NamedTuple):
    """Which operation, and the numbers it is made of. The first operation is to do nothing."""

    operation: int
    who: int
    where: int
    what: int
    which: int
    fate: int


# Upper ends of the numbers of a step; one of this fate is rolled back.
ENDS = Step(len(DECK), 15, 7, 15, 15, 31)
UNDONE = 31
# What there is before a program begins, so that it does not begin with nothing.
PROLOGUE = (
    ("start_direct", 0, 0, 1, 0),
    ("start_group", 0, 0, 0, 0b0111),
    ("open_subject", 1, 0, 0, 3),
    ("start_group", 1, 1, 0, 0b0100),
    *(
        ("send_message", who, where, 0, POLL if who else 0)
        for who in range(2)
        for where in range(4)
    ),
    *(("send_message", who, where, who, 0b0101) for who in range(2) for where in range(4)),
)


class DivergedError(AssertionError):
    """The database and the model do not agree; says what was done and where they differ."""


class Machine:
    """A database with a few people and conversations, and the model of it."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.steps = 0
        self.refused: Counter[tuple[str, str]] = Counter()
        self.done: Counter[str] = Counter()
        self.connection.execute("set timezone = 'UTC'")
        self.connection.execute("select set_config('model.now', %s, false)", (str(START),))
        self.connection.execute(SCHEMA)
        self.world = World(list(USERS), START)
        self._found_tenants()
        self._begin()
        for number, (name, *numbers) in enumerate(PROLOGUE, 1):
            self._step(name, Draw(self.world, *numbers, number))
        self.connection.commit()
        self.start = self.world

    def close(self) -> None:
        """Ends the connection."""
        self.connection.close()

    def run(self, program: list[Step]) -> None:
        """Does the steps, looks after each, and undoes them all."""
        self.world = copy.deepcopy(self.start)
        self._begin()
        try:
            for number, step in enumerate(program, 100):
                if step.operation:
                    draw = Draw(self.world, *step[1:5], number)
                    self._step(DECK[step.operation - 1], draw, is_undone=step.fate == UNDONE)
        finally:
            self.connection.rollback()

    def _begin(self) -> None:
        self.story: list[str] = []
        self.clients = {user: Replica() for user in USERS}

    def _found_tenants(self) -> None:
        for user, name in zip(USERS, NAMES, strict=True):
            self.connection.execute(
                "insert into auth.users (id, instance_id, aud, role, email, raw_user_meta_data) "
                "values (%s, '00000000-0000-0000-0000-000000000000', 'authenticated', "
                "'authenticated', %s, jsonb_build_object('username', %s::text))",
                (user, f"{name}@example.com", name),
            )
        self.connection.execute(
            "insert into chat.tenants (id, slug, name) values (%s, 'second', 'Second')",
            (TENANTS[1],),
        )
        self.connection.execute("update chat.settings set who_may_open_subjects = 'members'")
        for tenant, roles in zip(TENANTS, ROLES, strict=True):
            self.world.tenants[tenant] = Tenant({u: Member(role) for u, role in roles.items()})
            for user, role in roles.items():
                self.connection.execute(
                    "insert into chat.tenant_members (tenant_id, user_id, role) "
                    "values (%s, %s, %s) on conflict (tenant_id, user_id) "
                    "do update set role = excluded.role",
                    (tenant, user, role),
                )
        self.connection.execute("delete from realtime.messages")

    # One step ----------------------------------------------------------------------------------

    def _step(self, name: str, draw: Draw, *, is_undone: bool = False) -> None:
        before = copy.deepcopy(self.world) if is_undone else None
        self.world.events, self.world.notices = set(), set()
        doing = OPERATIONS[name](draw)
        call = next(doing)
        statement = psycopg.ClientCursor(self.connection).mogrify(call.sql, call.args)
        is_for_all = call.room is None or draw.number % ALL_LOOK == 0
        room = None if is_for_all else call.room
        viewers = self._viewers(call, room, draw.number)
        user = USERS[draw.number % len(USERS)]
        got = self.connection.execute(
            "select model.step(%s, %s, %s, %s, %s::uuid[], %s, %s, %s)",
            (
                call.actor,
                statement,
                is_undone,
                room and room.id,
                viewers,
                user,
                self.clients[user].cursor,
                PAGE_SIZES[draw.number % len(PAGE_SIZES)],
            ),
            prepare=True,
        ).fetchone()[0]
        self.steps += 1
        self.done[name] += 1
        self._tell(call, statement, got, is_undone=is_undone)
        try:
            doing.send(got["answer"])
        except StopIteration as end:
            found = self._judge(got, None, end.value)
        except Refused as refused:
            self.refused[name, refused.code] += 1
            found = self._judge(got, refused.code, None)
        if before is not None:
            before.events, before.notices = set(), set()
            self.world = before
            room = room and before.rooms[room.id]
        found += self._listen(got["told"])
        found += [f"counter: {row}" for row in got["drift"] or []]
        found += self._look(got["sights"], room)
        found += self._sync(user, got["sync"])
        self._check(found)

    def _viewers(self, call: Call, room: Room | None, number: int) -> list[str]:
        """Who looks after a step: everybody, or the actor and others in turn."""
        if number % ALL_LOOK == 0:
            return list(USERS)
        others = USERS if room is None else sorted(room.people) or USERS
        is_actor = call.actor is not None and number % 2 == 0
        return [call.actor if is_actor else others[number // 2 % len(others)]]

    def _judge(self, got: dict[str, Any], refusal: str | None, answer: Any) -> list[str]:
        """How the answer differs from what the model says."""
        if got["refusal"] != refusal:
            return [f"should be refused: {refusal}" if refusal else "should not be refused"]
        given = got["answer"]
        return [
            f"should answer {key} = {value!r}"
            for key, value in (answer or {}).items()
            if given[key] != value
        ]

    def _listen(self, told: list[dict[str, Any]]) -> list[str]:
        """How the events differ from what the model says."""
        events, notices = _heard(told)
        right = self.world.events | self.world.notices
        # A mark that changes nothing may be told.
        heard = events | {n for n in notices if n in right or n.name != "private_changed"}
        found = [f"should tell {event}" for event in right - heard]
        return found + [f"should not tell {event}" for event in heard - right]

    def _look(self, sights: dict[str, Any], room: Room | None) -> list[str]:
        """How what they see differs from what the model says."""
        parts = KEYS if room is not None else KEYS | RARE_KEYS
        return [
            f"{viewer} looks: {what}"
            for viewer, shown in sights.items()
            for what in differences(see(self.world, viewer, room), shown, parts)
        ]

    def _sync(self, user: str, told: dict[str, Any]) -> list[str]:
        """How what a client knows by sync differs from what the model says."""
        client, world = self.clients[user], self.world
        client.apply(told)
        said = see(world, user)
        # Those who left can still read their settings.
        here = {row["conversation_id"] for row in said["inbox"]}
        said["participant_settings"] = [
            row for row in said["participant_settings"] if row["conversation_id"] in here
        ]
        # What moves without a change that could be told: by the clock, or in blocks.
        untold = {"is_muted", "last_sent_at"}
        if world.blocks:
            untold.add("epoch")
        if any(world.is_expired(m) for room in world.rooms.values() for m in room.messages):
            untold |= {"unread_count", "last_message"}
        found = differences(said, client.sight(iso(world.now)), replica.PARTS, untold)
        return [f"{user} syncs: {what}" for what in found]

    # Telling -----------------------------------------------------------------------------------

    def _tell(self, call: Call, statement: str, got: dict[str, Any], *, is_undone: bool) -> None:
        who = "the owner" if call.actor is None else call.actor
        outcome = f"refused: {got['refusal']}" if got["refusal"] else "done"
        outcome += ", and rolled back" if is_undone else ""
        self.story.append(f"{who}: {re.sub(chr(92) + 's+', ' ', statement)}\n        -> {outcome}")

    def _check(self, found: list[str]) -> None:
        if not found:
            return
        labels = dict(zip(USERS, NAMES, strict=True))
        labels |= {r.id: f"{r.kind}-{n}" for n, r in enumerate(self.world.rooms.values(), 1)}
        labels |= dict(zip(TENANTS, ("tenant-1", "tenant-2"), strict=True))
        lines = [f"{number:4}. {line}" for number, line in enumerate(self.story, 1)]
        text = "\n".join(["what was done:", *lines, "where it differs:", *sorted(found)[:40]])
        for known, label in labels.items():
            text = text.replace(known, label)
        raise DivergedError(text)


def _heard(rows: list[dict[str, Any]]) -> tuple[set[Event], set[Notice]]:
    """What the rows for Realtime tell: of conversations, each rev once; and to one user alone."""
    events: dict[tuple[str, int], dict[str, Any]] = {}
    notices: set[Notice] = set()
    for row in rows:
        kind, _, target = row["topic"].partition(":")
        payload = row["payload"]
        if row["event"].startswith("notification"):
            continue  # not modelled
        if "rev" not in payload:
            notices.add(Notice(target, row["event"]))
            continue
        key = (payload["conversation_id"], payload["rev"])
        event = events.setdefault(
            key, {"name": row["event"], "epoch": payload["epoch"], "topic": None, "unread": set()}
        )
        if kind == "user":
            event["unread"].add((target, payload["unread_count"]))
        else:
            event["topic"] = target
    return {
        Event(
            room,
            rev,
            e["name"],
            e["epoch"],
            e["topic"] == f"{room}:{e['epoch']}",
            frozenset(e["unread"]),
        )
        for (room, rev), e in events.items()
    }, notices
