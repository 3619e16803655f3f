"""Blocks, contacts, bans, silence, slow mode, reports and the audit log."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def town(database):
    """alice owns a group with bob and charlie; mona moderates the tenant; dora is a member."""
    users = {name: database.user(name) for name in ("alice", "bob", "charlie", "dora", "mona")}
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = %s", (users["mona"],)
    )
    room = call(
        database,
        users["alice"],
        "select (chat.start_group('Group', %s::uuid[])).id",
        [users["bob"], users["charlie"]],
    )
    return database, users, room


def call(database, user, query, *arguments):
    with database.acting(user) as connection:
        row = connection.execute(query, arguments).fetchone()
        return row[0] if row else None


def refused(database, user, query, *arguments):
    """SQLSTATE and code of what must be refused; messages, blocks, bans and contacts stay."""
    state = (
        "select (select jsonb_agg(to_jsonb(m)) from chat.messages as m), "
        "(select jsonb_agg(to_jsonb(b)) from chat.blocks as b), "
        "(select jsonb_agg(to_jsonb(b)) from chat.bans as b), "
        "(select jsonb_agg(to_jsonb(p) order by user_id) from chat.participants as p), "
        "(select jsonb_agg(to_jsonb(k)) from chat.contacts as k)"
    )
    before = database.owner.execute(state).fetchone()
    with database.acting(user) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(query, arguments)
    assert database.owner.execute(state).fetchone() == before
    return error.value.diag.message_detail or error.value.sqlstate


def block(database, blocker, blocked):
    with database.acting(blocker) as connection:
        connection.execute("insert into chat.blocks (blocked_id) values (%s)", (blocked,))


SEND = "select (chat.send_message(%s, 'hello')).seq"
TOPIC = "select chat_private.can_use_topic(%s, 'hear')"


def can_hear(database, user, topic):
    """What the policy of Realtime would answer: asked as its owner, in the user's name."""
    with database.owner.transaction():
        database.owner.execute(
            "select set_config('request.jwt.claims', %s, true)", (f'{{"sub": "{user}"}}',)
        )
        return database.owner.execute(TOPIC, (topic,)).fetchone()[0]


class TestBlocks:
    def test_neither_side_writes_or_hears_in_their_direct_conversation(self, town):
        database, users, _ = town
        alice, bob = users["alice"], users["bob"]
        room = call(database, alice, "select (chat.start_direct(username => 'bob')).id")
        call(database, alice, SEND, room)
        assert can_hear(database, bob, f"conversation:{room}:1")
        block(database, alice, bob)
        for user in (alice, bob):
            assert refused(database, user, SEND, room) == "blocked"
        epoch = database.owner.execute(
            "select epoch from chat.conversations where id = %s", (room,)
        ).fetchone()[0]
        assert epoch > 1
        for number in range(1, epoch + 1):
            assert not can_hear(database, bob, f"conversation:{room}:{number}")
        with database.acting(alice) as connection:
            connection.execute("delete from chat.blocks")
        assert call(database, bob, SEND, room) == 2

    def test_no_conversation_is_started_and_no_contact_made(self, town):
        database, users, _ = town
        block(database, users["alice"], users["dora"])
        for user, name in (("dora", "alice"), ("alice", "dora")):
            start = "select chat.start_direct(username => %s)"
            assert refused(database, users[user], start, name) == "blocked"
            ask = "select chat.request_contact(username => %s)"
            assert refused(database, users[user], ask, name) == "blocked"

    def test_nobody_sees_who_blocked_them_or_blocks_in_another_s_name(self, town):
        database, users, _ = town
        block(database, users["alice"], users["bob"])
        assert call(database, users["bob"], "select count(*) from chat.blocks") == 0
        forge = "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)"
        assert refused(database, users["bob"], forge, users["charlie"], users["alice"]) == "42501"
        undo = "delete from chat.blocks returning 1"
        assert call(database, users["bob"], undo) is None
        self_block = "insert into chat.blocks (blocked_id) values (%s)"
        assert refused(database, users["bob"], self_block, users["bob"])


class TestContacts:
    def test_a_request_is_accepted_by_the_other_alone(self, town):
        database, users, _ = town
        alice, dora = users["alice"], users["dora"]
        call(database, alice, "select chat.request_contact(username => 'dora')")
        accept = "select (chat.accept_contact(%s)).state"
        assert refused(database, alice, accept, dora) == "contact_not_found"
        assert refused(database, users["bob"], accept, alice) == "contact_not_found"
        assert call(database, users["bob"], "select count(*) from chat.contacts") == 0
        assert call(database, dora, accept, alice) == "accepted"
        call(database, dora, "select chat.remove_contact(%s)", alice)
        assert call(database, alice, "select count(*) from chat.contacts") == 0

    def test_both_asking_is_an_agreement_and_a_decline_removes(self, town):
        database, users, _ = town
        ask = "select (chat.request_contact(username => %s)).state"
        assert call(database, users["alice"], ask, "dora") == "pending"
        assert call(database, users["dora"], ask, "alice") == "accepted"
        assert call(database, users["bob"], ask, "dora") == "pending"
        call(database, users["dora"], "select chat.decline_contact(%s)", users["bob"])
        assert call(database, users["bob"], "select count(*) from chat.contacts") == 0
        assert refused(database, users["bob"], ask, "bob") == "contact_with_self"

    def test_contacts_may_start_where_only_contacts_may(self, town):
        database, users, _ = town
        database.owner.execute("update chat.settings set who_may_start = 'contacts'")
        start = "select (chat.start_direct(username => 'dora')).kind"
        assert refused(database, users["alice"], start) == "start_not_allowed"
        call(database, users["alice"], "select chat.request_contact(username => 'dora')")
        assert refused(database, users["alice"], start) == "start_not_allowed"
        call(database, users["dora"], "select chat.accept_contact(%s)", users["alice"])
        assert call(database, users["alice"], start) == "direct"


class TestModeration:
    BAN = "select chat.ban_user(%s, 'spam')"

    def test_a_banned_user_sees_and_sends_nothing_at_once(self, town):
        database, users, room = town
        bob = users["bob"]
        call(database, users["alice"], SEND, room)
        assert call(database, bob, "select count(*) from chat.messages") == 1
        call(database, users["mona"], self.BAN, bob)
        for table in ("messages", "conversations", "participants"):
            assert call(database, bob, f"select count(*) from chat.{table}") == 0
        assert refused(database, bob, SEND, room) in ("conversation_not_found", "banned")
        start = "select chat.start_direct(username => 'dora')"
        assert refused(database, bob, start) in ("tenant_required", "banned", "not_a_tenant_member")
        call(database, users["mona"], "select chat.unban_user(%s)", bob)
        assert call(database, bob, "select (chat.start_direct(username => 'dora')).kind") == (
            "direct"
        )

    @pytest.mark.parametrize("name", ["alice", "bob", "dora"])
    def test_only_moderators_ban(self, town, name):
        database, users, _ = town
        for query in (self.BAN, "select chat.unban_user(%s)"):
            assert refused(database, users[name], query, users["charlie"])

    def test_silenced_people_read_but_do_not_write(self, town):
        database, users, room = town
        silence = "select chat.silence_participant(%s, %s, now() + interval '1 hour')"
        assert refused(database, users["bob"], silence, room, users["charlie"]) == "not_an_admin"
        call(database, users["alice"], silence, room, users["bob"])
        assert refused(database, users["bob"], SEND, room) == "silenced"
        assert call(database, users["alice"], SEND, room) == 1
        assert call(database, users["bob"], "select count(*) from chat.messages") == 1
        call(
            database,
            users["alice"],
            "select chat.silence_participant(%s, %s, null)",
            room,
            users["bob"],
        )
        assert call(database, users["bob"], SEND, room) == 2

    def test_slow_mode_asks_members_to_wait_and_owners_not(self, town):
        database, users, room = town
        slow = "select chat.set_slow_mode(%s, 60)"
        assert refused(database, users["bob"], slow, room) == "not_an_admin"
        call(database, users["alice"], slow, room)
        assert call(database, users["bob"], SEND, room) == 1
        assert refused(database, users["bob"], SEND, room) == "slow_mode"
        for _ in range(2):
            call(database, users["alice"], SEND, room)
        # A retry is not another message, and an edit is none.
        call(database, users["bob"], "select chat.edit_message(%s, 1, 'edited')", room)

    def test_sends_a_minute(self, town):
        database, users, room = town
        database.owner.execute("update chat.settings set sends_per_minute = 3")
        for _ in range(3):
            call(database, users["bob"], SEND, room)
        assert refused(database, users["bob"], SEND, room) == "rate_limited"
        assert call(database, users["alice"], SEND, room) == 4

    def test_reports_are_for_the_reporter_and_moderators(self, town):
        database, users, room = town
        call(database, users["alice"], SEND, room)
        report = "select chat.report_message(%s, 1, 'spam')"
        call(database, users["bob"], report, room)
        assert refused(database, users["dora"], report, room) == "conversation_not_found"
        count = "select count(*) from chat.reports"
        seen = {name: call(database, user, count) for name, user in users.items()}
        assert seen == {"alice": 0, "bob": 1, "charlie": 0, "dora": 0, "mona": 1}


class TestAuditLog:
    def test_the_chain_verifies_and_nothing_in_it_changes(self, town):
        database, users, _ = town
        call(database, users["mona"], TestModeration.BAN, users["bob"])
        verify = "select problem from chat_private.verify_audit_log(%s)"
        tenant = "00000000-0000-4000-8000-000000000001"
        entries = "select count(*) from chat_private.audit_log"
        (before,) = database.owner.execute(entries).fetchone()
        assert before > 0
        assert database.owner.execute(verify, (tenant,)).fetchone() == (None,)
        for query in (
            "update chat_private.audit_log set actor_role = actor_role",
            "delete from chat_private.audit_log",
            "truncate chat_private.audit_log",
        ):
            with pytest.raises(psycopg.Error):
                database.owner.execute(query)
        assert database.owner.execute(entries).fetchone() == (before,)

    def test_members_do_not_read_it(self, town):
        database, users, _ = town
        read = "select count(*) from chat.read_audit_log()"
        assert refused(database, users["bob"], read)
