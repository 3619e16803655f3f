"""Random sends, tier changes, holds, deletions, sweeps and restores, on the database and a model.

After each step both must agree on what can be read, when it expires and what is left; a preview
must say what the sweep after it does.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from math import inf

import pytest

from support.databases import clone
from support.retention import TENANT, Room, make_room

SEEDS, SEEDS_OF_A_LONG_RUN = 4, 100
STEPS = 60
NAMES = ("alice", "bob", "carol")
LASTS = {"free": 30, "privileged": 180, "privileged_plus": 365, "forever": inf}
GRACE = WINDOW = 30


@dataclass
class Sent:
    """A message: ``state`` is living, expired, deleted, emptied or gone."""

    seq: int
    sender: str
    at: float
    reply_to: int | None
    state: str = "living"
    removed_at: float = 0
    kept_until: float = -inf


@dataclass
class Model:
    """Who sent what, by which tiers it lives, and what is held."""

    day: float = 0
    sent: list[Sent] = field(default_factory=list)
    tiers: dict[str, list[tuple[float, str]]] = field(
        default_factory=lambda: {name: [(-inf, "free")] for name in NAMES}
    )
    held: set[str] = field(default_factory=set)

    def expiry(self, message: Sent) -> float:
        """On which day it can no longer be read."""
        ends = [max(message.at + LASTS[tier], start) for start, tier in self.tiers[message.sender]]
        return max(min(ends), message.kept_until)

    def is_readable(self, message: Sent) -> bool:
        """A tombstone can be, as such."""
        return message.state != "gone" and self.expiry(message) > self.day

    def set_tier(self, name: str, tier: str) -> None:
        """A higher one counts at once; a lower one after the grace, or when a lower one would."""
        steps = self.tiers[name]
        if tier == steps[-1][1]:
            return
        current = [step for step in steps if step[0] <= self.day][-1]
        if LASTS[tier] >= LASTS[current[1]]:
            self.tiers[name] = [(-inf, tier)]
        else:
            replaced = [s for s in steps if s[0] > self.day and LASTS[tier] >= LASTS[s[1]]]
            self.tiers[name] = [step for step in steps if step not in replaced]
            start = min((start for start, _ in replaced), default=self.day + GRACE)
            self.tiers[name].append((start, tier))
        self.revive()

    def revive(self) -> None:
        """What was removed as expired lives again, when it does by the policy."""
        for message in self.sent:
            if message.state == "expired" and self.expiry(message) > self.day:
                message.state = "living"

    def due(self) -> tuple[list[Sent], list[Sent]]:
        """What a sweep removes, and what it purges."""
        free = [m for m in self.sent if m.sender not in self.held]
        return (
            [m for m in free if m.state == "living" and self.expiry(m) <= self.day],
            [
                m
                for m in free
                if m.state in ("expired", "deleted") and m.removed_at + WINDOW <= self.day
            ],
        )

    def sweep(self) -> None:
        """Removes, purges, and drops tombstones that nothing needs."""
        removed, purged = self.due()
        for message in removed:
            message.state, message.removed_at = "expired", self.day
        for message in purged:
            message.state = "emptied"

    def restore(self, message: Sent) -> bool:
        """What is not purged."""
        if message.state not in ("expired", "deleted"):
            return False
        if self.expiry(message) <= self.day:
            message.kept_until = self.day + WINDOW
        message.state = "living"
        return True


class Play:
    """One run of random steps."""

    def __init__(self, room: Room, seed: int) -> None:
        self.room, self.model, self.random = room, Model(), random.Random(seed)
        self.done: Counter[str] = Counter()
        room.owner("insert into chat.tiers (name) values ('forever')")

    def step(self) -> None:
        """Something, and then a look at everything."""
        steps = {
            "send": 8,
            "set_tier": 3,
            "delete": 2,
            "wait": 6,
            "sweep": 4,
            "hold": 1,
            "restore": 2,
        }
        name = self.random.choices([*steps], [*steps.values()])[0]
        self.done[name] += 1
        getattr(self, name)()
        self.look()

    def send(self) -> None:
        """A message, or a reply to one."""
        model, name = self.model, self.random.choice(NAMES)
        readable = [m.seq for m in model.sent if m.state == "living" and model.is_readable(m)]
        reply_to = self.random.choice(readable) if readable and self.random.random() < 0.3 else None
        seq = self.room.send(name, "hello", **({"reply_to_seq": reply_to} if reply_to else {}))
        model.sent.append(Sent(seq, name, model.day, reply_to))

    def set_tier(self) -> None:
        """Of anybody, to any."""
        name, tier = self.random.choice(NAMES), self.random.choice([*LASTS])
        self.room.tier(name, tier)
        self.model.set_tier(name, tier)

    def delete(self) -> None:
        """By who sent it."""
        living = [m for m in self.model.sent if m.state == "living" and self.model.is_readable(m)]
        if living:
            message = self.random.choice(living)
            self.room.call(
                message.sender,
                "select (chat.delete_message(%s, %s)).seq", self.room.id, message.seq,
            )  # fmt: skip
            message.state, message.removed_at = "deleted", self.model.day

    def wait(self) -> None:
        """Some days, or until something expires."""
        ends = [self.model.expiry(m) for m in self.model.sent]
        ends = [end for end in ends if self.model.day < end < inf]
        days = self.random.choice((1, 15, 30, 61))
        self.model.day = self.random.choice([self.model.day + days, *ends])
        self.room.after(self.model.day)

    def sweep(self) -> None:
        """As the preview said."""
        removed, purged = self.model.due()
        preview = self.room.service(
            "select coalesce(sum(messages) filter (where step = 'expire'), 0)::int,"
            " coalesce(sum(messages) filter (where step = 'purge'), 0)::int"
            " from chat.preview_retention(%s)", TENANT,
        )  # fmt: skip
        assert preview == [(len(removed), len(purged))]
        assert self.room.sweep(self.random.choice((1, 3, 500)))["marked"] == len(removed)
        self.model.sweep()

    def hold(self) -> None:
        """On somebody, or no more."""
        name = self.random.choice(NAMES)
        if name in self.model.held:
            self.room.owner("delete from chat.legal_holds where user_id = %s", self.room.ids[name])
        else:
            self.room.service(
                "select chat.place_hold('a case', user_id => %s, tenant_id => %s)",
                self.room.ids[name], TENANT,
            )  # fmt: skip
        self.model.held ^= {name}

    def restore(self) -> None:
        """Any message, if it can be."""
        if self.model.sent:
            message = self.random.choice(self.model.sent)
            number = self.room.service(
                "select chat.restore_messages(%s, array[%s::bigint])", self.room.id, message.seq
            )[0][0]
            assert number == self.model.restore(message)

    def look(self) -> None:
        """Both agree."""
        model, room = self.model, self.room
        seen = [m.seq for m in model.sent if m.state != "gone" and model.is_readable(m)]
        assert room.seen("bob") == seen
        there = {
            seq: (state, None if end is None else float(end))
            for seq, state, end in room.owner(
                "select m.seq, case when d.purged_at is not null then 'emptied'"
                " when d.is_expired then 'expired' when m.deleted_at is not null then 'deleted'"
                " when m.body = 'hello' then 'living' end,"
                " extract(epoch from m.expires_at - '2027-01-01 12:00Z') / 86400"
                " from chat.messages as m left join chat_private.deleted_messages as d"
                " on m.conversation_id = d.conversation_id and m.seq = d.message_seq"
            )
        }
        for message in model.sent:
            end = model.expiry(message)
            if message.seq in there:
                assert there[message.seq] == (message.state, None if end == inf else end)
            elif message.state != "gone":
                assert message.state == "emptied"
                assert end <= model.day
                message.state = "gone"
                # Nothing that is there refers to it.
                assert not any(m.reply_to == message.seq and m.seq in there for m in model.sent)
        room.check()


@pytest.mark.parametrize("shard", range(2))
def test_the_database_and_the_model_agree(shard, stack, database_template, long_run):
    for seed in range(shard, SEEDS_OF_A_LONG_RUN if long_run else SEEDS, 2):
        with clone(stack, database_template) as database:
            play = Play(make_room(database), seed)
            for _ in range(STEPS):
                play.step()
            assert play.room.owner(
                "select broken_seq from chat_private.verify_audit_log(%s)", TENANT
            ) == [(None,)]
