"""Who is meant, and nobody beside: other pairs, tenants and conversations stay as they are.

Every test has rows of others that a look-up by half of a key would find.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
import pytest

from support.databases import Database

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


REQUEST = "select chat.request_contact(%s)"
ACCEPT = "select chat.accept_contact(%s)"
DECLINE = "select chat.decline_contact(%s)"
REMOVE = "select chat.remove_contact(%s)"
GROUP = "select (chat.start_group('Group', %s::uuid[], tenant_id => %s)).id::text"
DIRECT = "select (chat.start_direct(user_id => %s, tenant_id => %s)).id::text"
SEND = "select (chat.send_message(%s, 'hello')).seq"
BAN = "select (chat.ban_user(%s, %s, tenant_id => %s)).id::text"
UNBAN = "select (chat.unban_user(%s, %s)).id::text"
SILENCE = "select (chat.silence_participant(%s, %s, 'infinity')).silenced_until::text"


@pytest.fixture
def town(database: Database) -> Town:
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


class TestContacts:
    """Between b and c there is nothing yet; a and c, b and d have theirs."""

    @pytest.fixture
    def asked(self, town: Town) -> Town:
        town.call("a", REQUEST, "c")
        town.call("d", REQUEST, "b")
        return town

    def test_asking_is_of_the_two(self, asked):
        asked.call("b", REQUEST, "c")
        assert asked.contacts() == {"ac": "pending", "bd": "pending", "bc": "pending"}

    def test_accepting_is_of_the_two(self, asked):
        assert asked.refused("c", ACCEPT, "b") == "contact_not_found"
        asked.call("b", REQUEST, "c")
        asked.call("c", ACCEPT, "b")
        assert asked.contacts() == {"ac": "pending", "bd": "pending", "bc": "accepted"}

    def test_declining_is_of_the_two(self, asked):
        assert asked.refused("c", DECLINE, "b") == "contact_not_found"
        assert asked.refused("b", DECLINE, "c") == "contact_not_found"
        asked.call("b", REQUEST, "c")
        asked.call("c", DECLINE, "b")
        assert asked.contacts() == {"ac": "pending", "bd": "pending"}

    def test_only_a_request_is_declined(self, asked):
        asked.call("c", ACCEPT, "a")
        assert asked.refused("c", DECLINE, "a") == "contact_not_found"
        assert asked.contacts()["ac"] == "accepted"

    def test_one_s_own_request_is_not_declined(self, asked):
        assert asked.refused("a", DECLINE, "c") == "contact_not_found"
        assert asked.contacts()["ac"] == "pending"

    def test_ending_is_of_the_two(self, asked):
        assert asked.refused("c", REMOVE, "b") == "contact_not_found"
        asked.call("b", REQUEST, "c")
        asked.call("b", REMOVE, "c")
        assert asked.contacts() == {"ac": "pending", "bd": "pending"}

    def test_where_contacts_start_others_do_not(self, asked):
        asked.call("c", ACCEPT, "a")
        asked.call("b", ACCEPT, "d")
        asked.owner("update chat.settings set who_may_start = 'contacts'")
        assert asked.refused("b", DIRECT, "c", ALPHA) == "start_not_allowed"
        assert asked.call("a", DIRECT, "c", ALPHA)

    def test_a_request_is_no_contact_yet(self, asked):
        asked.owner("update chat.settings set who_may_start = 'contacts'")
        assert asked.refused("c", DIRECT, "a", ALPHA) == "start_not_allowed"

    def test_leaving_the_last_shared_tenant_ends_one_s_own(self, asked):
        asked.call("b", REQUEST, "c")
        for tenant in (ALPHA, BETA):
            left = len(asked.contacts())
            asked.owner(
                "update chat.tenant_members set removed_at = now()"
                " where user_id = %s and tenant_id = %s",
                "d",
                tenant,
            )
            assert left == 3
        assert asked.contacts() == {"ac": "pending", "bc": "pending"}


def test_a_block_is_between_two(town):
    room = town.call("b", DIRECT, "c", ALPHA)
    for blocker, blocked in (
        ("b", "a"),
        ("c", "a"),
        ("a", "b"),
        ("a", "c"),
        ("c", "d"),
        ("d", "b"),
    ):
        town.call(
            blocker,
            "insert into chat.blocks (blocked_id) values (%s) returning blocked_id::text",
            blocked,
        )
    assert town.call("b", SEND, room) == 1
    assert town.call("c", SEND, room) == 2


@pytest.mark.parametrize("who", ["nobody", "removed", "elsewhere"])
def test_only_members_of_the_tenant_are_taken_along(town, who):
    town.owner(
        {
            "nobody": "delete from auth.users where id = %s",
            "removed": "update chat.tenant_members set removed_at = now() where user_id = %s"
            f" and tenant_id = '{ALPHA}'",
            "elsewhere": f"delete from chat.tenant_members where user_id = %s"
            f" and tenant_id = '{ALPHA}'",
        }[who],
        "d",
    )
    room = town.call("a", GROUP, [town.ids["b"]], ALPHA)
    town.owner("update chat.settings set who_may_open_subjects = 'members'")
    before = town.owner("select id from chat.conversations")
    subject = (
        "select chat.open_subject('order', '1', jsonb_build_array("
        "jsonb_build_object('user_id', %s::text)), tenant_id => %s)"
    )
    for query, *arguments in (
        (DIRECT, "d", ALPHA),
        (GROUP, [town.ids["d"]], ALPHA),
        ("select chat.add_participants(%s, array[%s]::uuid[])", room, "d"),
        (subject, "d", ALPHA),
    ):
        assert town.refused("a", query, *arguments) == "user_not_found", query
    assert town.owner("select id from chat.conversations") == before
    assert town.owner("select count(*) from chat.participants") == [(2,)]


class TestBans:
    """mona moderates alpha; beta has nothing to do with it."""

    @pytest.fixture
    def rooms(self, town: Town) -> dict[str, object]:
        return {
            tenant: town.call("a", GROUP, [town.ids["c"], town.ids["d"]], tenant)
            for tenant in (ALPHA, BETA)
        }

    def members(self, town: Town, tenant: str) -> set[str]:
        names = {user_id: name for name, user_id in town.ids.items()}
        found = town.owner(
            "select user_id::text from chat.tenant_members"
            " where tenant_id = %s and removed_at is null",
            tenant,
        )
        return {names[user_id] for (user_id,) in found}

    def test_a_ban_is_of_one_user_in_one_tenant(self, town, rooms):
        town.call("mona", BAN, "d", "spam", ALPHA)
        assert self.members(town, ALPHA) == {"a", "b", "c", "mona"}
        assert self.members(town, BETA) == {"a", "b", "c", "d", "mona"}
        assert town.call("d", SEND, rooms[BETA]) == 1
        assert town.call("c", SEND, rooms[ALPHA]) == 1
        assert town.refused("d", SEND, rooms[ALPHA]) == "conversation_not_found"

    def test_it_bites_where_the_membership_is_still_there(self, town, rooms):
        town.owner(
            "insert into chat.bans (tenant_id, user_id, was_member) values (%s, %s, true)",
            ALPHA,
            "d",
        )
        assert town.refused("d", SEND, rooms[ALPHA]) == "banned"
        assert town.call("d", SEND, rooms[BETA]) == 1

    def test_one_that_was_lifted_or_is_over_does_not(self, town, rooms):
        town.owner(
            "insert into chat.bans (tenant_id, user_id, was_member, lifted_at)"
            " values (%s, %s, true, now())",
            ALPHA,
            "d",
        )
        town.owner(
            "insert into chat.bans (tenant_id, user_id, was_member, expires_at)"
            " values (%s, %s, true, now() - interval '1 ms')",
            ALPHA,
            "d",
        )
        assert town.call("d", SEND, rooms[ALPHA]) == 1
        leave = "update chat.tenant_members set removed_at = now() where user_id = %s"
        town.owner(leave, "d")
        town.owner("update chat.tenant_members set removed_at = null where user_id = %s", "d")
        assert "d" in self.members(town, ALPHA)

    def test_nobody_makes_a_banned_user_a_member(self, town):
        town.call("mona", BAN, "d", "spam", ALPHA)
        back = "update chat.tenant_members set removed_at = null where user_id = %s"
        with pytest.raises(psycopg.Error) as refused:
            town.owner(back, "d")
        assert refused.value.diag.message_detail == "banned"
        town.owner("update chat.tenant_members set removed_at = now() where user_id = %s", "c")
        town.owner(back, "c")
        assert "c" in self.members(town, ALPHA)
        assert "d" not in self.members(town, ALPHA)

    def test_banning_again_changes_that_ban_alone(self, town):
        town.rank("a", BETA, "moderator")
        town.call("a", BAN, "d", "beta's", BETA)
        town.call("mona", BAN, "c", "of c", ALPHA)
        town.call("mona", BAN, "d", "first", ALPHA)
        town.call("mona", UNBAN, "d", ALPHA)
        town.call("mona", BAN, "d", "second", ALPHA)
        town.call("mona", BAN, "d", "third", ALPHA)
        found = town.owner("select reason from chat.bans order by reason")
        assert [reason for (reason,) in found] == ["beta's", "first", "of c", "third"]

    def test_lifting_is_of_one_ban_in_one_tenant(self, town):
        town.rank("a", BETA, "moderator")
        town.call("a", BAN, "d", "beta's", BETA)
        town.call("mona", BAN, "c", "of c", ALPHA)
        assert town.refused("mona", UNBAN, "d", ALPHA) == "ban_not_found"
        town.call("mona", BAN, "d", "alpha's", ALPHA)
        town.call("mona", UNBAN, "d", ALPHA)
        assert town.refused("mona", UNBAN, "d", ALPHA) == "ban_not_found"
        assert self.members(town, ALPHA) == {"a", "b", "d", "mona"}
        assert self.members(town, BETA) == {"a", "b", "c", "mona"}

    def test_who_was_no_member_is_none_afterwards(self, town):
        town.owner(
            "update chat.tenant_members set removed_at = '2020-01-01' where user_id = %s", "d"
        )
        town.call("mona", BAN, "d", "spam", ALPHA)
        town.call("mona", UNBAN, "d", ALPHA)
        assert "d" not in self.members(town, ALPHA)
        removed = (
            "select distinct removed_at::date::text from chat.tenant_members where user_id = %s"
        )
        assert town.owner(removed, "d") == [("2020-01-01",)]

    def test_only_who_banned_has_a_say_in_lifting(self, town):
        """Somebody above mona elsewhere, in general, or once: not somebody who banned and is."""
        town.rank("a", ALPHA, "owner")
        town.rank("b", ALPHA, "moderator")
        town.rank("b", BETA, "owner")
        town.call("b", BAN, "d", "by b", ALPHA)
        town.call("mona", UNBAN, "d", ALPHA)
        town.call("a", BAN, "d", "by a", ALPHA)
        assert town.refused("mona", UNBAN, "d", ALPHA) == "outranked"
        town.owner("update chat.tenant_members set removed_at = now() where user_id = %s", "a")
        town.call("mona", UNBAN, "d", ALPHA)

    def test_coming_back_is_for_oneself(self, town):
        for name in "cd":
            town.call("mona", BAN, name, "spam", ALPHA)
        town.owner("update chat.bans set expires_at = now() - interval '1 ms'")
        assert town.call("d", "select chat.return_after_ban()::text") == ALPHA
        assert self.members(town, ALPHA) == {"a", "b", "d", "mona"}
        assert town.refused("d", "select chat.return_after_ban()") == "ban_not_found"

    def test_bans_end_by_themselves_when_their_time_is_over(self, town):
        for name in "bcd":
            town.call("mona", BAN, name, "spam", ALPHA)
        town.call("mona", UNBAN, "b", ALPHA)
        town.owner("update chat.tenant_members set removed_at = now() where user_id = %s", "b")
        town.owner(
            "update chat.bans set expires_at = now() - interval '1 ms' where user_id in (%s, %s)",
            "b",
            "d",
        )
        assert town.owner("select chat_private.lift_expired_bans()") == [(1,)]
        assert self.members(town, ALPHA) == {"a", "d", "mona"}


class TestSilence:
    """In alpha's group a is the owner and c an admin."""

    @pytest.fixture
    def room(self, town: Town) -> object:
        room = town.call("a", GROUP, [town.ids["c"], town.ids["d"]], ALPHA)
        town.call("a", "select chat.set_role(%s, %s, 'admin')", room, "c")
        return room

    def test_an_admin_silences_members_alone(self, town, room):
        assert town.refused("c", SILENCE, room, "a") == "outranked"
        assert town.call("c", SILENCE, room, "d") == "infinity"

    def test_a_rank_in_another_tenant_is_none_here(self, town, room):
        town.rank("c", BETA, "owner")
        assert town.refused("c", SILENCE, room, "a") == "outranked"

    def test_a_moderator_silences_whom_they_outrank(self, town, room):
        town.rank("d", ALPHA, "owner")
        assert town.refused("mona", SILENCE, room, "d") == "outranked"
        assert town.call("mona", SILENCE, room, "a") == "infinity"

    def test_a_rank_of_before_is_none(self, town, room):
        town.rank("d", ALPHA, "owner")
        town.call(
            "a", "select count(*) from chat.add_participants(%s, array[%s]::uuid[])", room, "mona"
        )
        town.call("a", "select chat.set_role(%s, %s, 'owner')", room, "mona")
        town.call("mona", "select chat.leave(%s)", room)
        assert town.refused("mona", SILENCE, room, "d") == "outranked"

    @pytest.mark.parametrize(
        "query",
        [
            SILENCE,
            "select chat.set_role(%s, %s, 'admin')",
            "select chat.remove_participant(%s, %s)",
        ],
    )
    @pytest.mark.parametrize("who", ["left", "elsewhere"])
    def test_only_who_takes_part_can_be_meant(self, town, room, query, who):
        target = "d" if who == "left" else "b"
        town.call("d", "select chat.leave(%s)", room)
        town.call("a", GROUP, [town.ids["b"]], ALPHA)
        before = town.owner("select p::text from chat.participants as p order by 1")
        assert town.refused("a", query, room, target) == "participant_not_found"
        assert town.owner("select p::text from chat.participants as p order by 1") == before
