"""A call that waits while its caller is removed is refused, and one without a user at once."""

from __future__ import annotations

import threading

import psycopg
import pytest

from support.stacks import eventually

# Calls of bob, who takes part in the room, to whom message 1 is somebody's and 2 is his own.
CALLS = {
    "send_message": "select chat.send_message(%(room)s, 'hello')",
    "edit_message": "select chat.edit_message(%(room)s, 2, 'changed')",
    "delete_message": "select chat.delete_message(%(room)s, 2)",
    "react": "select chat.react(%(room)s, 1, '👍')",
    "mark_read": "select chat.mark_read(%(room)s, 1)",
    "mark_delivered": "select chat.mark_delivered(%(room)s, 1)",
    "mark_unread": "select chat.mark_unread(%(room)s, 1)",
    "follow_thread": "select chat.follow_thread(%(room)s, 1)",
    "schedule_message": "select chat.schedule_message(%(room)s, now() + interval '1 day', 'x')",
    "vote": "select chat.vote(%(room)s, 1, array['a'])",
    "update_conversation": "select chat.update_conversation(%(room)s, title => 'Mine')",
    "add_participants": "select chat.add_participants(%(room)s, array[%(carol)s]::uuid[])",
    "remove_participant": "select chat.remove_participant(%(room)s, %(alice)s)",
    "set_slow_mode": "select chat.set_slow_mode(%(room)s, 5)",
    "silence_participant": "select chat.silence_participant(%(room)s, %(alice)s, 'infinity')",
}

# Each with arguments that a user could give, but here there is no user.
WITHOUT_A_USER = {
    **CALLS,
    "accept_contact": "select chat.accept_contact(%(alice)s)",
    "ban_user": "select chat.ban_user(%(alice)s)",
    "cancel_scheduled_message": "select chat.cancel_scheduled_message(gen_random_uuid())",
    "close_poll": "select chat.close_poll(%(room)s, 1)",
    "decline_contact": "select chat.decline_contact(%(alice)s)",
    "hide_message": "select chat.hide_message(%(room)s, 1)",
    "leave": "select chat.leave(%(room)s)",
    "mark_notifications_read": "select chat.mark_notifications_read(up_to_id => 1)",
    "mark_thread_read": "select chat.mark_thread_read(%(room)s, 1)",
    "open_subject": "select chat.open_subject('order', '1')",
    "pin_message": "select chat.pin_message(%(room)s, 1)",
    "read_audit_log": "select chat.read_audit_log()",
    "register_device": "select chat.register_device(gen_random_uuid())",
    "remove_contact": "select chat.remove_contact(%(alice)s)",
    "report_message": "select chat.report_message(%(room)s, 1, 'spam')",
    "report_user": "select chat.report_user(%(alice)s, 'spam')",
    "request_contact": "select chat.request_contact(%(alice)s)",
    "resolve_report": "select chat.resolve_report(gen_random_uuid(), 'resolved')",
    "return_after_ban": "select chat.return_after_ban()",
    "revoke_device": "select chat.revoke_device(gen_random_uuid())",
    "set_role": "select chat.set_role(%(room)s, %(alice)s, 'member')",
    "set_status": "select chat.set_status('online')",
    "start_direct": "select chat.start_direct(%(alice)s)",
    "start_group": "select chat.start_group('Group')",
    "sync": "select chat.sync()",
    "unban_user": "select chat.unban_user(%(alice)s)",
    "update_scheduled_message": "select chat.update_scheduled_message(gen_random_uuid())",
    "verify_audit_log": "select chat.verify_audit_log()",
}
WAITING = (
    "select exists (select from pg_stat_activity"
    " where datname = current_database() and wait_event_type = 'Lock')"
)
POLL = '{"question": "?", "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]}'


@pytest.fixture
def room(database):
    """alice and bob own a group; bob is about to be removed. carol is in the tenant."""
    names = {name: database.user(name) for name in ("alice", "bob", "carol")}
    with database.acting(names["alice"]) as alice:
        (made,) = alice.execute(
            "select (chat.start_group('Group', array[%(bob)s]::uuid[])).id::text", names
        ).fetchone()
        alice.execute(
            "select chat.send_message(%s, 'one', kind => 'poll', metadata => %s)", (made, POLL)
        )
        alice.execute("select chat.set_role(%s, %s, 'owner')", (made, names["bob"]))
    with database.acting(names["bob"]) as bob:
        bob.execute("select chat.send_message(%s, 'two')", (made,))
    return database, {**names, "room": made}


def everything(database):
    """What a call could have changed."""
    return [
        database.owner.execute(f"select t::text from chat.{table} as t order by 1").fetchall()
        for table in ("messages", "reactions", "receipts", "participants", "participant_settings",
                      "thread_reads", "scheduled_messages", "poll_votes", "conversations",
                      "contacts", "bans", "reports", "profiles")
    ]  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_it_is_refused_when_its_turn_comes(room, name):
    database, names = room
    refused: list[psycopg.Error] = []

    def call():
        with database.acting(names["bob"]) as bob:
            try:
                bob.execute(CALLS[name], names)
            except psycopg.Error as error:
                refused.append(error)

    with database.acting(names["alice"]) as alice:
        with alice.transaction():
            alice.execute("select chat.remove_participant(%(room)s, %(bob)s)", names)
            thread = threading.Thread(target=call)
            thread.start()
            eventually(lambda: database.owner.execute(WAITING).fetchone() == (True,))
            before = everything(database)
        thread.join()
    assert [error.diag.message_detail for error in refused] == ["conversation_not_found"]
    # The removal alone shows: bob's row, the conversation's counters, its event.
    after = everything(database)
    changed = [tuple(b) for b, a in zip(before, after, strict=True) if b != a]
    assert len(changed) == 2


@pytest.mark.parametrize("name", WITHOUT_A_USER)
def test_a_token_without_a_user_is_asked_to_sign_in(room, name):
    database, names = room
    before = everything(database)
    with database.acting(None) as nobody, pytest.raises(psycopg.Error) as refused:
        nobody.execute(WITHOUT_A_USER[name], names)
    assert refused.value.diag.message_detail == "sign_in_required"
    assert everything(database) == before


def test_who_opens_a_subject_second_must_be_among_those_of_the_first(room):
    """carol's call waits for alice's, finds nothing before it, and alice's people after."""
    database, names = room
    database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
    refused: list[psycopg.Error] = []

    def open_as_carol():
        with database.acting(names["carol"]) as carol:
            try:
                carol.execute("select chat.open_subject('order', '1')")
            except psycopg.Error as error:
                refused.append(error)

    with database.acting(names["alice"]) as alice:
        with alice.transaction():
            alice.execute("select chat.open_subject('order', '1')")
            thread = threading.Thread(target=open_as_carol)
            thread.start()
            eventually(lambda: database.owner.execute(WAITING).fetchone() == (True,))
        thread.join()
    assert [error.diag.message_detail for error in refused] == ["conversation_not_found"]
    assert database.owner.execute(
        "select user_id::text from chat.participants as p inner join chat.conversations as c"
        " on p.conversation_id = c.id where c.kind = 'subject'"
    ).fetchall() == [(names["alice"],)]


def test_a_moderator_who_is_demoted_meanwhile_bans_nobody(room):
    database, names = room
    role = "update chat.tenant_members set role = %s where user_id = %s"
    database.owner.execute(role, ("moderator", names["bob"]))
    refused: list[psycopg.Error] = []

    def ban():
        with database.acting(names["bob"]) as bob:
            try:
                bob.execute("select chat.ban_user(%s)", (names["carol"],))
            except psycopg.Error as error:
                refused.append(error)

    with psycopg.connect(database.url) as owner:
        owner.execute(
            "select from chat.tenant_members where user_id = %s for update", (names["carol"],)
        )
        thread = threading.Thread(target=ban)
        thread.start()
        eventually(lambda: database.owner.execute(WAITING).fetchone() == (True,))
        owner.execute(role, ("member", names["bob"]))
    thread.join()
    assert [error.diag.message_detail for error in refused] == ["not_a_moderator"]
    assert database.owner.execute("select * from chat.bans").fetchall() == []


def test_who_leaves_while_they_are_removed_left_when_they_were_removed(room):
    database, names = room

    def leave():
        with database.acting(names["bob"]) as bob:
            bob.execute("select chat.leave(%(room)s)", names)

    with database.acting(names["alice"]) as alice:
        with alice.transaction():
            alice.execute("select chat.remove_participant(%(room)s, %(bob)s)", names)
            thread = threading.Thread(target=leave)
            thread.start()
            eventually(lambda: database.owner.execute(WAITING).fetchone() == (True,))
            before = alice.execute("select p::text from chat.participants as p").fetchall()
        thread.join()
    after = database.owner.execute("select p::text from chat.participants as p").fetchall()
    assert sorted(after) == sorted(before)
