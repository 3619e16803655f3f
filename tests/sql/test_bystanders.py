"""Who is meant, and nobody beside: other pairs, tenants and conversations stay as they are.

Every test has rows of others that a look-up by half of a key would find.
"""

from __future__ import annotations

import itertools

import pytest

from support.databases import Database
from support.town import ALPHA, BETA, Town, make_town

REQUEST = "select chat.request_contact(%s)"
ACCEPT = "select chat.accept_contact(%s)"
DECLINE = "select chat.decline_contact(%s)"
REMOVE = "select chat.remove_contact(%s)"
GROUP = "select (chat.start_group('Group', %s::uuid[], tenant_id => %s)).id::text"
DIRECT = "select (chat.start_direct(user_id => %s, tenant_id => %s)).id::text"
SEND = "select (chat.send_message(%s, 'hello')).seq"


@pytest.fixture
def town(database: Database) -> Town:
    """Of its own for each test."""
    return make_town(database)


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

    def test_accepting_again_changes_nothing(self, asked):
        asked.call("c", ACCEPT, "a")
        before = asked.owner("select k::text from chat.contacts as k order by 1")
        for name, other in (("c", "a"), ("a", "c")):
            assert asked.call(name, "select (chat.accept_contact(%s)).state", other) == "accepted"
        assert asked.owner("select k::text from chat.contacts as k order by 1") == before

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
    group = town.call("a", GROUP, [town.ids["b"]], ALPHA)
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
    # No topic is left but that of the two.
    assert town.owner("select epoch from chat.conversations") == [(1,), (1,)]
    pair = town.call("a", DIRECT, "mona", ALPHA)
    town.call("mona", "insert into chat.blocks (blocked_id) values (%s) returning 1", "a")
    epochs = dict(town.owner("select id::text, epoch from chat.conversations"))
    assert epochs == {room: 1, group: 1, pair: 2}


def test_who_blocked_the_caller_is_taken_nowhere(town):
    room = town.call("a", GROUP, [town.ids["b"]], ALPHA)
    town.owner("update chat.settings set who_may_open_subjects = 'members'")
    town.owner("insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", "d", "a")
    for query, *arguments in taking_along(town, room, "d"):
        assert town.refused("a", query, *arguments) == "blocked", query
    assert town.owner("select count(*) from chat.participants") == [(2,)]


def taking_along(town: Town, room: object, name: str) -> list[tuple]:
    """Every way to have somebody in a conversation of one's own."""
    subject = (
        "select chat.open_subject('order', '1', jsonb_build_array("
        "jsonb_build_object('user_id', %s::text)), tenant_id => %s)"
    )
    return [
        (DIRECT, name, ALPHA),
        (GROUP, [town.ids[name]], ALPHA),
        ("select chat.add_participants(%s, array[%s]::uuid[])", room, name),
        (subject, name, ALPHA),
    ]


class TestDirect:
    """Everybody talks with everybody in both tenants: twelve conversations, of two each."""

    PAIRS = tuple(
        (caller, other, tenant)
        for tenant in (ALPHA, BETA)
        for caller, other in itertools.permutations("abcd", 2)
    )

    @pytest.fixture
    def rooms(self, town: Town) -> dict[tuple, object]:
        found = {(caller, *more): town.call(caller, DIRECT, *more) for caller, *more in self.PAIRS}
        assert len(set(found.values())) == 12
        return found

    def who_takes_part(self, town: Town) -> set[tuple]:
        found = town.owner(
            "select p.conversation_id::text, p.user_id::text from chat.participants as p"
            " where p.left_at is null"
        )
        return {(room, name) for room, user in found for name in "abcd" if town.ids[name] == user}

    def test_each_pair_has_its_own_and_keeps_it(self, town, rooms):
        for (caller, *more), room in rooms.items():
            assert town.call(caller, DIRECT, *more) == room
        assert self.who_takes_part(town) == {(room, pair[0]) for pair, room in rooms.items()}

    def test_who_comes_back_comes_back_to_that_one(self, town, rooms):
        left = "2020-01-01"
        for pair, room in rooms.items():
            town.owner("update chat.participants set left_at = %s", left)
            assert town.call(pair[0], DIRECT, *pair[1:]) == room
            assert self.who_takes_part(town) == {(room, pair[0])}

    def test_nobody_comes_back_twice(self, town, rooms):
        """The other has left and waits: the caller, who is there, stays as they are."""
        room = rooms["a", "b", ALPHA]
        town.owner("update chat.participants set left_at = now() where user_id = %s", "b")
        before = town.owner("select p::text from chat.participants as p order by 1")
        assert town.call("a", DIRECT, "b", ALPHA) == room
        assert town.owner("select p::text from chat.participants as p order by 1") == before
        assert town.call("b", DIRECT, "a", ALPHA) == room
        assert {name for known, name in self.who_takes_part(town) if known == room} == {"a", "b"}

    def test_not_with_who_is_no_member_any_more(self, town, rooms):
        town.owner(
            "update chat.tenant_members set removed_at = now()"
            " where user_id = %s and tenant_id = %s",
            "d",
            ALPHA,
        )
        assert town.refused("a", DIRECT, "d", ALPHA) == "user_not_found"
        assert town.call("a", DIRECT, "d", BETA) == rooms["a", "d", BETA]


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
    if who != "nobody":
        # Not even a block of theirs is told.
        town.owner("insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", "d", "a")
    before = town.owner("select id from chat.conversations")
    for query, *arguments in taking_along(town, room, "d"):
        assert town.refused("a", query, *arguments) == "user_not_found", query
    assert town.owner("select id from chat.conversations") == before
    assert town.owner("select count(*) from chat.participants") == [(2,)]


class TestMarks:
    """a and b talk; what the one hides or shows again is nothing to the other."""

    @pytest.fixture
    def room(self, town: Town) -> object:
        room = town.call("a", DIRECT, "b", ALPHA)
        town.call("a", SEND, room)
        return room

    def test_showing_again_is_told_to_oneself(self, town, room):
        cursor = {name: town.call(name, "select chat.sync() ->> 'cursor'") for name in "ab"}
        for name in "ab":
            town.call(name, "select chat.hide_message(%s, 1)", room)
            cursor[name] = town.call(name, "select chat.sync(%s) ->> 'cursor'", cursor[name])
        told = "select jsonb_path_query_array(chat.sync(%s), '$.conversations[*].messages[*].seq')"
        town.call("b", "select chat.unhide_message(%s, 1)", room)
        assert town.call("a", told, cursor["a"]) == []
        assert town.call("b", told, cursor["b"]) == [1]
        # And stays told when the other hides theirs once more.
        town.call("a", "select chat.unhide_message(%s, 1)", room)
        town.call("a", "select chat.hide_message(%s, 1)", room)
        assert town.call("a", told, cursor["a"]) == []
        assert town.call("b", told, cursor["b"]) == [1]
        # Nor is it to who never hid it.
        cursor["a"] = town.call("a", "select chat.sync() ->> 'cursor'")
        town.call("a", SEND, room)
        cursor["a"] = town.call("a", "select chat.sync(%s) ->> 'cursor'", cursor["a"])
        for _ in range(5):
            town.call("b", "select chat.hide_message(%s, 2)", room)
            town.call("b", "select chat.unhide_message(%s, 2)", room)
        town.call("a", "select chat.hide_message(%s, 1)", room)
        town.call("a", "select chat.unhide_message(%s, 1)", room)
        assert town.call("a", told, cursor["a"]) == [1]

    def test_a_text_that_is_called_a_poll_has_no_results(self, town, room):
        results = (
            'select chat.poll_results(jsonb_populate_record(m, \'{"kind": "poll"}\'))'
            " from chat.messages as m"
        )
        assert town.call("b", results) is None

    def test_a_direct_conversation_is_no_matter_for_the_log(self, town, room):
        added = "select count(*) from chat_private.audit_log where action = 'participants_added'"
        town.owner("update chat.participants set left_at = now()")
        assert town.call("a", DIRECT, "b", ALPHA) == room
        logged = "select count(*) from chat_private.audit_log where conversation_id is not null"
        assert town.owner(logged) == [(0,)]
        town.call("a", GROUP, [town.ids["b"]], ALPHA)
        assert town.owner(added) == [(1,)]


def test_whoever_is_written_in_as_gone_is_told_of_nothing(town):
    """By the owner of the tables, who moves a history here from elsewhere."""
    room = town.call("a", GROUP, [town.ids["b"]], ALPHA)
    log = "select count(*) from chat_private.audit_log where action = 'participants_added'"
    events = "select count(*) from realtime.messages"
    notified = "select count(*) from chat.notifications"
    before = [town.owner(query) for query in (log, events, notified)]
    town.owner(
        "insert into chat.participants (conversation_id, user_id, tenant_id, left_at)"
        " values (%s, %s, %s, '2020-01-01')",
        room,
        "c",
        ALPHA,
    )
    assert [town.owner(query) for query in (log, events, notified)] == before
    assert town.owner("select participant_count from chat.conversations") == [(2,)]


def test_who_left_hears_nothing_and_hides_nothing(town):
    """c joined late, so that an old message is not repeated to all; d never read it either."""
    room = town.call("a", GROUP, [town.ids["b"]], ALPHA)
    town.call("a", SEND, room)
    town.call(
        "a",
        "select chat.add_participants(%s, array[%s]::uuid[], see_history => false)",
        room,
        "c",
    )
    edit = "select chat.edit_message(%s, 1, %s)"
    told = (
        "select replace(topic, 'user:', ''), payload ? 'message' from realtime.messages"
        " where event = 'message_updated' and topic like 'user:%%'"
    )
    town.call("a", edit, room, "while c is there")
    assert dict(town.owner(told)) == dict.fromkeys((town.ids[name] for name in "abc"), False)
    town.call("c", "select chat.leave(%s)", room)
    town.owner("delete from realtime.messages")
    town.call("a", edit, room, "after")
    assert dict(town.owner(told)) == dict.fromkeys((town.ids[name] for name in "ab"), True)


def test_who_joins_is_announced_to_everybody_there(town):
    room = town.call("a", GROUP, [town.ids["b"]], ALPHA)
    town.owner("delete from realtime.messages")
    town.call("a", "select count(*) from chat.add_participants(%s, array[%s]::uuid[])", room, "c")
    told = town.owner(
        "select topic, payload -> 'participants' -> 0 ->> 'user_id' from realtime.messages"
        " where event = 'participant_joined'"
    )
    topics = [f"conversation:{room}:1", *(f"user:{town.ids[name]}" for name in "abc")]
    assert sorted(told) == sorted((topic, town.ids["c"]) for topic in topics)
