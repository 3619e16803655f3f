"""Runs programs, lists of operations, on the database and on the model side by side."""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any, NamedTuple

import psycopg

from . import (
    conversations,
    membership,
    messages,
    moderation,
    personal,
    reading,
    responses,
    surroundings,
)
from .calls import DECK, OPERATIONS, Call, Draw
from .looking import SCHEMA
from .sight import differences, see
from .things import Event, Member, Notice, Refused, Tenant
from .world import World

# Importing them fills the deck of operations.
NOUNS = (
    conversations,
    membership,
    messages,
    moderation,
    personal,
    reading,
    responses,
    surroundings,
)
NAMES = ("alice", "bob", "carol", "dave", "erin", "frank")
USERS = tuple(f"00000000-0000-4000-a000-00000000000{n}" for n in range(1, 7))
# The first is the one that everybody joins who signs up.
TENANTS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")
ROLES = (
    dict(zip(USERS, ("owner", "admin", "moderator", "member", "member", "member"), strict=True)),
    {USERS[0]: "member", USERS[1]: "owner", USERS[4]: "member"},
)
START = 1_800_000_000
# After each so many steps everybody looks at everything; in between, those whom a step concerns.
ALL_LOOK = 10


class Step(NamedTuple):
    """Which operation, and the numbers it is made of. The first operation is to do nothing."""

    operation: int
    who: int
    where: int
    what: int
    which: int


# Upper ends of the numbers of a step.
ENDS = Step(len(DECK), 11, 7, 15, 15)
# What there is before a program begins, so that it does not begin with nothing.
PROLOGUE = (
    ("start_direct", 0, 0, 1, 0),
    ("start_group", 0, 0, 0, 0b0111),
    ("open_subject", 1, 0, 0, 3),
    ("start_group", 1, 1, 0, 0b0100),
)


class DivergedError(AssertionError):
    """The database and the model do not agree; says what was done and where they differ."""


class Machine:
    """A database with a few people and conversations, and the model of it."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg.connect(url)
        self.steps = 0
        self.refusals = 0
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
                    name = DECK[step.operation - 1]
                    self._step(name, Draw(self.world, *step[1:], number))
            self._look_all()
        finally:
            self.connection.rollback()

    def _begin(self) -> None:
        self.story: list[str] = []
        self.rooms: dict[str, str] = {}

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

    def _step(self, name: str, draw: Draw) -> None:
        world = self.world
        world.events, world.notices = [], []
        call = OPERATIONS[name](draw)
        statement = psycopg.ClientCursor(self.connection).mogrify(call.sql, call.args)
        is_for_all = call.room is None or draw.number % ALL_LOOK == 0
        room = None if is_for_all else call.room
        viewers = {u for u in USERS if room is None or u in room.people or u in statement}
        if call.actor is not None:
            viewers.add(call.actor)
        got = self.connection.execute(
            "select model.step(%s, %s, %s, %s::uuid[])",
            (call.actor, statement, room and room.id, sorted(viewers)),
            prepare=True,
        ).fetchone()[0]
        self.steps += 1
        self.done[name] += 1
        self._tell(call, statement, got)
        found = self._judge(call, got)
        found += [f"counter: {row}" for row in got["drift"] or []]
        # A conversation that the step began has no model to look through before now.
        for viewer in viewers:
            sight = see(world, viewer, room)
            found += [
                f"{viewer} looks: {what}" for what in differences(sight, got["sights"][viewer])
            ]
        self._check(found)

    def _judge(self, call: Call, got: dict[str, Any]) -> list[str]:
        """How the answer and the events differ from what the model says."""
        try:
            answer = call.apply(got["answer"])
        except Refused as refused:
            self.refusals += 1
            if got["state"] is None:
                return [f"should be refused: {refused.answer}"]
            if (got["state"], got["code"]) != refused.answer:
                return [f"should be refused with {refused.answer}"]
            return [f"refused, and yet told: {got['events']}"] if got["events"] else []
        if got["state"] is not None:
            return ["should not be refused"]
        found = []
        if answer is not None and str(answer) != got["answer"]:
            found.append(f"should answer {answer}")
        events, notices = _heard(got["events"] or [])
        if events != sorted(self.world.events, key=lambda e: (e.room, e.rev)):
            found += [f"should tell {e}" for e in self.world.events if e not in events]
            found += [f"should not tell {e}" for e in events if e not in self.world.events]
        wanted = Counter(set(self.world.notices))
        found += [f"should tell {n}" for n in (wanted - notices)]
        found += [f"should not tell {n}" for n in (notices - wanted) if n.name != "private_changed"]
        return found

    def _look_all(self) -> None:
        found = []
        for user in USERS:
            shown = self.connection.execute(
                "select model.see(%s, null)", (user,), prepare=True
            ).fetchone()[0]
            sight = see(self.world, user)
            found += [f"{user} looks: {what}" for what in differences(sight, shown)]
        self._check(found)

    # Telling -----------------------------------------------------------------------------------

    def _tell(self, call: Call, statement: str, got: dict[str, Any]) -> None:
        who = "the owner" if call.actor is None else call.actor
        outcome = (
            f"refused: {got['state']} {got['code']}" if got["state"] else got["answer"] or "done"
        )
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


def _heard(rows: list[dict[str, Any]]) -> tuple[list[Event], Counter[Notice]]:
    """What the rows for Realtime tell: of conversations, in the order of their revs, and alone."""
    events: dict[tuple[str, int], dict[str, Any]] = {}
    notices: Counter[Notice] = Counter()
    for row in rows:
        kind, _, target = row["topic"].partition(":")
        payload = row["payload"]
        if "rev" not in payload:
            notices[Notice(target, row["event"])] = 1
            continue
        key = (payload["conversation_id"], payload["rev"])
        event = events.setdefault(
            key, {"name": row["event"], "epoch": payload["epoch"], "topic": None, "unread": {}}
        )
        if kind == "user":
            event["unread"][target] = payload["unread_count"]
        else:
            event["topic"] = target
    told = [
        Event(room, rev, e["name"], e["epoch"], e["topic"] == f"{room}:{e['epoch']}", e["unread"])
        for (room, rev), e in events.items()
    ]
    return sorted(told, key=lambda e: (e.room, e.rev)), notices
