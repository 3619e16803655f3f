"""How long messages live: tiers that change, and what the sweep does with what has expired."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from parley_stack.testing import Database

TENANT = "00000000-0000-4000-8000-000000000001"


@dataclass
class Room:
    """A group of alice, bob and carol, in a database whose clock can be set."""

    database: Database
    ids: dict[str, str]
    id: str = ""

    def owner(self, query: str, *values: object) -> list[tuple]:
        found = self.database.owner.execute(query.encode(), values)
        return found.fetchall() if found.description else []

    def call(self, name: str, query: str, *values: object) -> object:
        with self.database.acting(self.ids[name]) as connection:
            return connection.execute(query.encode(), values).fetchone()[0]

    def after(self, days: float) -> None:
        """Sets the clock, counted from the beginning."""
        self.owner(
            f"create or replace function chat_private.now() returns timestamptz language sql stable"
            f" set search_path = '' return timestamptz '2027-01-01 12:00Z' + interval '{days} days'"
        )

    def send(self, name: str, body: str = "hello", **more: object) -> int:
        names = "".join(f", {key} => %s" for key in more)
        return self.call(
            name, f"select (chat.send_message(%s, %s{names})).seq", self.id, body, *more.values()
        )

    def seen(self, name: str) -> list[int]:
        """The messages that somebody can read."""
        with self.database.acting(self.ids[name]) as connection:
            return [s for (s,) in connection.execute("select seq from chat.messages order by seq")]

    def tier(self, name: str, tier: str) -> None:
        self.owner(
            "update chat.tenant_members set tier = %s where user_id = %s", tier, self.ids[name]
        )

    def expires(self, seq: int) -> float | None:
        """The day on which a message expires."""
        ((day,),) = self.owner(
            "select extract(epoch from expires_at - '2027-01-01 12:00Z') / 86400"
            " from chat.messages where seq = %s",
            seq,
        )
        return None if day is None else float(day)

    def sweep(self, batch_size: int = 500) -> dict[str, int]:
        total = {"rewritten": 0, "marked": 0, "purged": 0}
        cursor = None
        while True:
            ((done,),) = self.owner(
                "select chat.sweep(%s, %s)", batch_size, json.dumps(cursor) if cursor else None
            )
            for key in total:
                total[key] += done[key]
            if not done["has_more"]:
                return total
            cursor = done["cursor"]

    def check(self) -> None:
        assert self.owner("select * from chat.check_counters()") == []


@pytest.fixture
def room(database):
    made = Room(database, {name: database.user(name) for name in ("alice", "bob", "carol")})
    made.after(0)
    with database.acting(made.ids["alice"]) as connection:
        (room_id,) = connection.execute(
            "select (chat.start_group('Room', %s)).id", ([made.ids["bob"], made.ids["carol"]],)
        ).fetchone()
    made.id = str(room_id)
    return made


def test_a_message_expires_is_marked_and_is_purged(room):
    room.send("alice")
    room.after(10)
    room.send("bob")
    assert room.expires(1) == 30
    room.after(30)
    assert room.seen("carol") == [2]
    assert room.sweep() == {"rewritten": 0, "marked": 1, "purged": 0}
    assert room.owner("select body, deleted_at is not null from chat.messages where seq = 1") == [
        (None, True)
    ]
    room.check()
    room.after(60)
    assert room.sweep() == {"rewritten": 0, "marked": 1, "purged": 1}
    assert room.owner("select seq from chat.messages") == [(2,)]
    room.check()
    ((details,),) = room.owner(
        "select details from chat_private.audit_log where action = 'messages_purged'"
    )
    assert details["tiers"] == {"free": {"messages": 1, "bytes": 7, "files": 0, "file_bytes": 0}}
    assert room.owner("select broken_seq from chat_private.verify_audit_log(%s)", TENANT) == [
        (None,)
    ]


def test_an_upgrade_extends_what_was_sent(room):
    room.send("alice")
    room.after(29)
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    room.after(30)
    assert room.seen("bob") == [1]


def test_a_downgrade_applies_after_the_grace(room):
    room.tier("alice", "privileged")
    room.send("alice")
    room.after(50)
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    room.send("alice")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [130, 130, 130]
    room.after(115)
    room.tier("alice", "privileged")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [180, 230, 280]


def test_an_upgrade_brings_back_what_expired(room):
    room.send("alice")
    room.send("bob")
    room.after(31)
    room.sweep()
    assert room.seen("bob") == []
    room.tier("alice", "privileged")
    assert room.seen("bob") == [1]
    room.check()
    assert room.owner("select body from chat.messages where seq = 1") == [("hello",)]
