"""Joining, leaving, adding, removing, promoting, and conversations about business objects."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest


@pytest.fixture
def group(database):
    """alice owns a group with bob; charlie and dora are in the tenant."""
    users = {name: database.user(name) for name in ("alice", "bob", "charlie", "dora")}
    with database.acting(users["alice"]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', array[%s]::uuid[])).id", (users["bob"],)
        ).fetchone()
        connection.execute("select chat.send_message(%s, 'before')", (room,))
    return database, users, room


def call(database, user, query, *arguments):
    with database.acting(user) as connection:
        row = connection.execute(query, arguments).fetchone()
        return row[0] if row else None


def people(database, room):
    """Roles of those who take part, by user id."""
    return dict(
        database.owner.execute(
            "select user_id::text, role from chat.participants "
            "where conversation_id = %s and left_at is null",
            (room,),
        ).fetchall()
    )


def refused(database, user, room, query, *arguments):
    """The code of a call that must be refused, and that changed nobody's part."""
    before = people(database, room)
    with database.acting(user) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(query, arguments)
    assert people(database, room) == before
    return error.value.diag.message_detail


ADD = "select count(*) from chat.add_participants(%s, array[%s]::uuid[])"
REMOVE = "select chat.remove_participant(%s, %s)"
SET_ROLE = "select chat.set_role(%s, %s, %s)"


def test_added_people_read_the_history_and_it_is_not_unread(group):
    database, users, room = group
    assert call(database, users["alice"], ADD, room, users["charlie"]) == 1
    assert call(database, users["charlie"], "select body from chat.messages") == "before"
    assert call(database, users["charlie"], "select unread_count from chat.inbox") == 0
    # Adding again adds nobody.
    assert call(database, users["alice"], ADD, room, users["charlie"]) == 0


def test_added_without_history_they_read_from_the_next_message_on(group):
    database, users, room = group
    call(
        database,
        users["alice"],
        "select chat.add_participants(%s, array[%s]::uuid[], see_history => false)",
        room,
        users["charlie"],
    )
    call(database, users["alice"], "select chat.send_message(%s, 'after')", room)
    assert call(database, users["charlie"], "select array_agg(body) from chat.messages") == [
        "after"
    ]
    quote = "select chat.send_message(%s, 'what?', reply_to_seq => 1)"
    assert refused(database, users["charlie"], room, quote, room) == "message_not_found"


def test_members_neither_add_nor_remove_nor_promote(group):
    database, users, room = group
    bob = users["bob"]
    assert refused(database, bob, room, ADD, room, users["charlie"]) == "not_an_admin"
    assert refused(database, bob, room, REMOVE, room, users["alice"]) == "not_an_admin"
    assert refused(database, bob, room, SET_ROLE, room, bob, "owner") == "not_an_admin"
    update = "select chat.update_conversation(%s, 'Mine')"
    assert refused(database, bob, room, update, room) == "not_an_admin"


def test_strangers_find_no_conversation(group):
    database, users, room = group
    dora = users["dora"]
    for query, arguments in (
        (ADD, (room, dora)),
        (REMOVE, (room, users["bob"])),
        (SET_ROLE, (room, dora, "owner")),
        ("select chat.leave(%s)", (room,)),
        ("select chat.update_conversation(%s, 'Mine')", (room,)),
        ("select chat.mark_delivered(%s)", (room,)),
        ("select chat.mark_unread(%s, 1)", (room,)),
        ("select chat.edit_message(%s, 1, 'x')", (room,)),
        ("select chat.delete_message(%s, 1)", (room,)),
        ("select chat.hide_message(%s, 1)", (room,)),
    ):
        assert refused(database, dora, room, query, *arguments) == "conversation_not_found"


def test_an_admin_removes_members_and_only_an_owner_admins(group):
    database, users, room = group
    for name in ("charlie", "dora"):
        call(database, users["alice"], ADD, room, users[name])
    for name in ("bob", "charlie"):
        call(database, users["alice"], SET_ROLE, room, users[name], "admin")
    assert refused(database, users["bob"], room, REMOVE, room, users["charlie"]) == "not_the_owner"
    assert refused(database, users["bob"], room, REMOVE, room, users["alice"]) == "not_the_owner"
    assert (
        refused(database, users["bob"], room, SET_ROLE, room, users["dora"], "admin")
        == "not_the_owner"
    )
    call(database, users["bob"], REMOVE, room, users["dora"])
    assert users["dora"] not in people(database, room)
    assert call(database, users["dora"], "select count(*) from chat.messages") == 0


def test_the_last_owner_stays_owner_and_leaving_passes_it_on(group):
    database, users, room = group
    alice, bob = users["alice"], users["bob"]
    call(database, alice, ADD, room, users["charlie"])
    call(database, alice, SET_ROLE, room, users["charlie"], "admin")
    assert refused(database, alice, room, SET_ROLE, room, alice, "member") == "last_owner"
    # An owner who has left is none.
    database.owner.execute(
        "insert into chat.participants (conversation_id, user_id, tenant_id, role, left_at)"
        " select id, %s, tenant_id, 'owner', now() from chat.conversations where id = %s",
        (users["dora"], room),
    )
    assert refused(database, alice, room, SET_ROLE, room, alice, "member") == "last_owner"

    call(database, alice, "select chat.leave(%s)", room)
    # The admin, though bob has been there longer.
    assert people(database, room) == {bob: "member", users["charlie"]: "owner"}
    database.owner.execute("delete from auth.users where id = %s", (users["charlie"],))
    assert people(database, room) == {bob: "owner"}
    rows = database.owner.execute("select * from chat_private.check_counters(null)").fetchall()
    assert rows == []


def test_coming_back_is_being_added(group):
    database, users, room = group
    call(database, users["bob"], "select chat.leave(%s)", room)
    call(database, users["alice"], "select chat.send_message(%s, 'while away')", room)
    call(database, users["alice"], ADD, room, users["bob"])
    assert people(database, room)[users["bob"]] == "member"
    assert call(database, users["bob"], "select unread_count from chat.inbox") == 0


def test_a_direct_conversation_is_between_two(database):
    alice, bob, charlie = (database.user(name) for name in ("alice", "bob", "charlie"))
    room = call(database, alice, "select (chat.start_direct(username => 'bob')).id")
    assert refused(database, alice, room, ADD, room, charlie) == "direct_is_fixed"
    assert refused(database, alice, room, REMOVE, room, bob) == "direct_is_fixed"
    assert refused(database, alice, room, "select chat.leave(%s)", room) == "direct_is_fixed"


def test_a_closed_conversation_takes_no_messages(group):
    database, users, room = group
    call(database, users["alice"], "select chat.update_conversation(%s, null, 'closed')", room)
    send = "select chat.send_message(%s, 'still?')"
    assert refused(database, users["bob"], room, send, room) == "conversation_closed"
    call(database, users["alice"], "select chat.update_conversation(%s, 'Renamed', 'open')", room)
    call(database, users["bob"], send, room)
    assert call(database, users["bob"], "select title from chat.conversations") == "Renamed"


class TestSubjects:
    """One conversation for each business object."""

    OPEN = "select (chat.open_subject('order', '42', %s)).id"

    def test_who_may_open_one(self, group):
        database, users, room = group
        for setting, role, code in (
            ("moderators", "member", "start_not_allowed"),
            ("nobody", "owner", "start_not_allowed"),
        ):
            database.owner.execute(
                "update chat.settings set who_may_open_subjects = %s", (setting,)
            )
            database.owner.execute(
                "update chat.tenant_members set role = %s where user_id = %s",
                (role, users["bob"]),
            )
            assert refused(database, users["bob"], room, self.OPEN, "[]") == code
        assert database.owner.execute(
            "select count(*) from chat.conversations where kind = 'subject'"
        ).fetchone() == (0,)

    def test_the_service_role_opens_for_others_and_outsiders_find_nothing(self, group):
        database, users, room = group
        parties = [
            {"user_id": users["alice"], "party": "agent"},
            {"user_id": users["bob"], "party": "client"},
        ]
        with database.connect(role="service_role") as connection:
            subject, seen = connection.execute(
                "select (s).id, (s).participant_count from chat.open_subject('order', '42', %s, "
                "tenant_id => '00000000-0000-4000-8000-000000000001') as s",
                (json.dumps(parties),),
            ).fetchone()
        assert seen == 2
        assert people(database, subject) == {users["alice"]: "owner", users["bob"]: "member"}
        call(database, users["alice"], "select chat.send_message(%s, 'about 42')", subject)
        with database.acting(users["bob"]) as connection:
            assert connection.execute(
                "select party, unread_count from chat.unread_by_party order by 1"
            ).fetchall() == [("agent", 0), ("client", 1)]
        assert call(database, users["bob"], self.OPEN, "[]") == subject
        assert refused(database, users["dora"], room, self.OPEN, "[]") == "start_not_allowed"

    def test_many_clients_open_one(self, group):
        database, users, _ = group
        database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
        both = json.dumps([{"user_id": users["alice"]}, {"user_id": users["bob"]}])
        barrier = threading.Barrier(20)

        def open_it(number):
            with database.acting(users[("alice", "bob")[number % 2]]) as connection:
                barrier.wait(30)
                return connection.execute(self.OPEN, (both,)).fetchone()[0]

        with ThreadPoolExecutor(20) as pool:
            assert len(set(pool.map(open_it, range(20)))) == 1
        assert database.owner.execute(
            "select count(*) from chat.conversations where kind = 'subject'"
        ).fetchone() == (1,)


class TestReceipts:
    """Delivered and read, with times, from moves of watermarks."""

    def test_times_come_from_the_moves(self, group):
        database, users, room = group
        call(database, users["bob"], "select chat.mark_delivered(%s)", room)
        state = (
            "select array[delivered_at is not null, read_at is not null] "
            "from chat.message_receipts where seq = 1"
        )
        assert call(database, users["alice"], state) == [True, False]
        call(database, users["bob"], "select chat.mark_read(%s)", room)
        assert call(database, users["alice"], state) == [True, True]
        # One row a move, however many messages; and nothing for a move that is none.
        call(database, users["bob"], "select chat.mark_read(%s)", room)
        assert database.owner.execute("select count(*) from chat.receipts").fetchone() == (2,)
        assert call(database, users["dora"], "select count(*) from chat.receipts") == 0

    def test_marking_unread_is_one_s_own_business(self, group):
        database, users, room = group
        for _ in range(3):
            call(database, users["alice"], "select chat.send_message(%s, 'more')", room)
        bob = users["bob"]
        unread = "select unread_count from chat.inbox"
        call(database, bob, "select chat.mark_read(%s)", room)
        call(database, bob, "select chat.mark_unread(%s, 3)", room)
        assert call(database, bob, unread) == 2
        read = "select count(read_at) from chat.message_receipts"
        assert call(database, users["alice"], read) == 4
        call(database, users["alice"], "select chat.delete_message(%s, 4)", room)
        assert call(database, bob, unread) == 1
        call(database, bob, "select chat.mark_read(%s, 3)", room)
        assert call(database, bob, unread) == 0
        rows = database.owner.execute("select * from chat_private.check_counters(null)").fetchall()
        assert rows == []


@pytest.mark.parametrize("who", ["contacts", "moderators"])
def test_who_may_start_a_conversation(database, who):
    alice, _ = database.user("alice"), database.user("bob")
    database.owner.execute("update chat.settings set who_may_start = %s", (who,))
    with database.acting(alice) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute("select chat.start_direct(username => 'bob')")
    assert error.value.diag.message_detail == "start_not_allowed"
    assert database.owner.execute("select count(*) from chat.conversations").fetchone() == (0,)


def test_settings_are_the_admins_to_change(database):
    alice, bob = database.user("alice"), database.user("bob")
    database.owner.execute(
        "update chat.tenant_members set role = 'admin' where user_id = %s", (alice,)
    )
    change = "update chat.settings set fan_out_limit = 7 returning fan_out_limit"
    assert call(database, bob, change) is None
    assert call(database, alice, change) == 7
    # Nor are they an admin's of before, who sees none of it; without looking, either.
    removed = "update chat.tenant_members set removed_at = %s where user_id = %s"
    database.owner.execute(removed, ("2020-01-01", alice))
    with database.acting(alice) as connection:
        assert connection.execute("update chat.settings set fan_out_limit = 8").rowcount == 0
    database.owner.execute(removed, (None, alice))
    for column, value in (("tenant_id", "gen_random_uuid()"),):
        with database.acting(alice) as connection, pytest.raises(psycopg.Error) as error:
            connection.execute(f"update chat.settings set {column} = {value}")
        assert error.value.sqlstate == "42501"
    with database.acting(bob) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute("insert into chat.tiers values ('mine', null)")
    assert error.value.sqlstate == "42501"
