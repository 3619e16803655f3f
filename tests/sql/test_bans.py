"""Bans and silence are of one user in one place, and end when they end."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from support.databases import Database
from support.town import ALPHA, BETA, Town, make_town

GROUP = "select (chat.start_group('Group', %s::uuid[], tenant_id => %s)).id::text"
SEND = "select (chat.send_message(%s, 'hello')).seq"
BAN = "select (chat.ban_user(%s, %s, tenant_id => %s)).id::text"
UNBAN = "select (chat.unban_user(%s, %s)).id::text"
SILENCE = "select (chat.silence_participant(%s, %s, 'infinity')).silenced_until::text"


@pytest.fixture
def town(database: Database) -> Town:
    """Of its own for each test."""
    return make_town(database)


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
        gone = "update chat.tenant_members set removed_at = now() where user_id = %s"
        town.owner(gone, "c")
        town.owner(back, "c")
        town.owner(gone, "d")
        town.owner(f"{back} and tenant_id = %s", "d", BETA)
        assert self.members(town, ALPHA) == {"a", "b", "c", "mona"}
        assert self.members(town, BETA) == {"a", "b", "c", "d", "mona"}

    def test_a_ban_ends_later_than_it_begins(self, town):
        ban = "select chat.ban_user(%s, 'spam', now() - interval '1 ms', %s)"
        assert town.refused("mona", ban, "d", ALPHA) == "expiry_in_past"
        assert town.owner("select * from chat.bans") == []

    def test_nobody_is_banned_from_where_they_are_not(self, town):
        town.owner(
            "delete from chat.tenant_members where user_id = %s and tenant_id = %s", "d", ALPHA
        )
        for user in ("d", str(uuid.uuid4())):
            assert town.refused("mona", BAN, user, "spam", ALPHA) == "user_not_found"
        assert town.owner("select * from chat.bans") == []

    def test_banning_again_changes_that_ban_alone(self, town):
        town.rank("a", BETA, "owner")
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

    @pytest.mark.parametrize("role", ["moderator", "admin", "owner"])
    def test_only_who_is_below_is_banned(self, town, role):
        town.rank("d", ALPHA, role)
        assert town.refused("mona", BAN, "d", "spam", ALPHA) == "outranked"
        assert "d" in self.members(town, ALPHA)
        assert town.owner("select * from chat.bans") == []

    def test_a_ban_of_before_binds_nobody(self, town):
        town.rank("a", ALPHA, "owner")
        town.call("a", BAN, "d", "by a", ALPHA)
        assert town.refused("mona", BAN, "d", "by mona", ALPHA) == "outranked"
        town.call("a", UNBAN, "d", ALPHA)
        town.call("mona", BAN, "d", "by mona", ALPHA)
        town.call("mona", UNBAN, "d", ALPHA)
        assert "d" in self.members(town, ALPHA)

    def test_a_moderator_of_before_sees_none(self, town):
        town.call("mona", BAN, "d", "spam", ALPHA)
        seen = "select count(*) from chat.bans"
        assert town.call("mona", seen) == 1
        town.owner("update chat.tenant_members set removed_at = now() where user_id = %s", "mona")
        assert town.call("mona", seen) == 0

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
