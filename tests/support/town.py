"""Two tenants and people in both, who call functions by name."""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from .databases import Database

ALPHA = "00000000-0000-4000-8000-000000000001"
BETA = "00000000-0000-4000-8000-000000000002"


@dataclass(frozen=True)
class Town:
    """a, b, c and d, in the order of their ids, and mona, who moderates the tenant alpha. All are
    members of beta too, where mona is a member like them.
    """

    database: Database
    ids: dict[str, str]

    def call(self, name: str, query: str, *arguments: object) -> object:
        """What a statement of somebody's gives. Names in arguments stand for users."""
        values = [self.ids.get(str(value), value) for value in arguments]
        with self.database.acting(self.ids[name]) as connection:
            row = connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None

    def refused(self, name: str, query: str, *arguments: object) -> str | None:
        """The code of what must be refused."""
        with pytest.raises(psycopg.Error) as error:
            self.call(name, query, *arguments)
        return error.value.diag.message_detail

    def owner(self, query: str, *arguments: object) -> list[tuple]:
        """What the owner of the tables finds or does."""
        values = [self.ids.get(str(value), value) for value in arguments]
        found = self.database.owner.execute(query.encode(), values)
        return found.fetchall() if found.description else []

    def contacts(self) -> dict[str, str]:
        """The state of each contact, by the two."""
        names = {user_id: name for name, user_id in self.ids.items()}
        return {
            names[low] + names[high]: state
            for low, high, state in self.owner(
                "select user_low_id::text, user_high_id::text, state::text from chat.contacts"
            )
        }

    def rank(self, name: str, tenant: str, role: str) -> None:
        """Gives somebody a role in a tenant."""
        self.owner(
            "update chat.tenant_members set role = %s where user_id = %s and tenant_id = %s",
            role,
            name,
            tenant,
        )


def make_town(database: Database) -> Town:
    """The people of the story, without any conversation yet."""
    ids = sorted(database.user(f"user{number}") for number in range(4))
    people = {**dict(zip("abcd", ids, strict=True)), "mona": database.user("mona")}
    database.owner.execute(
        "insert into chat.tenants (id, slug, name) values (%s, 'beta', 'Beta')", (BETA,)
    )
    database.owner.execute(
        "insert into chat.tenant_members (tenant_id, user_id) select %s, id from chat.profiles"
        " on conflict do nothing",
        (BETA,),
    )
    made = Town(database, people)
    made.rank("mona", ALPHA, "moderator")
    return made
