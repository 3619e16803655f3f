"""A group of three whose clock a test sets."""

from __future__ import annotations

import json
from dataclasses import dataclass

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

    def service(self, query: str, *values: object) -> list[tuple]:
        """As the service role."""
        with self.database.acting(None, role="service_role") as connection:
            return connection.execute(query.encode(), values).fetchall()

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
                "select chat.sweep_messages(%s, %s)",
                batch_size,
                json.dumps(cursor) if cursor else None,
            )
            for key in total:
                total[key] += done[key]
            if not done["has_more"]:
                return total
            cursor = done["cursor"]

    def check(self) -> None:
        assert self.owner("select * from chat.check_counters()") == []


def make_room(database: Database) -> Room:
    """On day 0."""
    made = Room(database, {name: database.user(name) for name in ("alice", "bob", "carol")})
    made.after(0)
    with database.acting(made.ids["alice"]) as connection:
        row = connection.execute(
            "select (chat.start_group('Room', %s)).id", ([made.ids["bob"], made.ids["carol"]],)
        ).fetchone()
    assert row
    made.id = str(row[0])
    return made
