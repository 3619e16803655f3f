"""Writers that wait for each other: what they find when it is their turn; that none deadlock."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from parley_stack.testing.databases import act_as
from support.at_once import is_waiting, together
from support.stacks import eventually

GONE = {"conversation_not_found"}
# What the owner of the group does, and what a member hears who waited for it.
REVOCATIONS = {
    "removed": ("chat.remove_participant(%(room)s, %(user)s)", GONE),
    "banned": ("chat.ban_user(%(user)s)", {"banned", *GONE}),
    "silenced": ("chat.silence_participant(%(room)s, %(user)s, 'infinity')", {"silenced"}),
    "closed": ("chat.update_conversation(%(room)s, status => 'closed')", {"conversation_closed"}),
}
WRITES = {
    "send": "chat.send_message(%(room)s, 'late')",
    "edit": "chat.edit_message(%(room)s, 2, 'late')",
    "react": "chat.react(%(room)s, 1, 'x')",
    "pin": "chat.pin_message(%(room)s, 1)",
}


@pytest.fixture
def group(database):
    """A moderator of the tenant, who owns a group, and four admins of it."""
    people = [database.user(f"person_{number}") for number in range(5)]
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = %s", (people[0],)
    )
    with database.acting(people[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (people[1:],)
        ).fetchone()
        for user in people[1:]:
            connection.execute("select chat.set_role(%s, %s, 'admin')", (room, user))
    return database, people, str(room)


def state(database):
    """All that the writes above change."""
    return database.owner.execute(
        "select array_agg(m order by m.seq), (select count(*) from chat.reactions),"
        " (select count(*) from chat.pins) from chat.messages as m"
    ).fetchone()


class TestWhoWaitedFinds:
    """The other's change, not what they saw before they waited."""

    @pytest.mark.parametrize("write", WRITES)
    @pytest.mark.parametrize("revocation", REVOCATIONS)
    def test_that_they_may_not_any_more(self, group, revocation, write):
        database, (owner, user, *_), room = group
        revoke, codes = REVOCATIONS[revocation]
        values = {"room": room, "user": user}
        with (
            database.acting(owner) as revoking,
            database.acting(user) as writing,
            ThreadPoolExecutor(1) as pool,
        ):
            for connection in (revoking, writing):
                connection.execute("select chat.send_message(%s, 'before')", (room,))
            before = state(database)
            with revoking.transaction():
                revoking.execute(f"select {revoke}", values)
                late = pool.submit(writing.execute, f"select {WRITES[write]}", values)
                eventually(lambda: is_waiting(database, writing), what="the write waits")
            refused = late.exception(10)
        assert isinstance(refused, psycopg.Error)
        assert refused.diag.message_detail in codes
        assert state(database) == before

    def test_that_they_are_blocked(self, database):
        alice, bob = database.user("alice"), database.user("bob")
        with (
            database.acting(alice) as writing,
            database.acting(bob) as blocking,
            ThreadPoolExecutor(1) as pool,
        ):
            (room,) = writing.execute("select (chat.start_direct(username => 'bob')).id").fetchone()
            with blocking.transaction():
                blocking.execute(
                    "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)",
                    (bob, alice),
                )
                late = pool.submit(writing.execute, "select chat.send_message(%s, 'x')", (room,))
                eventually(lambda: is_waiting(database, writing), what="the write waits")
            refused = late.exception(10)
        assert isinstance(refused, psycopg.Error)
        assert refused.diag.message_detail == "blocked"
        assert database.owner.execute("select count(*) from chat.messages").fetchone() == (0,)


def test_nothing_is_sent_after_a_removal(group):
    database, (owner, user, *_), room = group
    is_sending = threading.Event()

    def send():
        with database.acting(user) as connection:
            while True:
                try:
                    connection.execute("select chat.send_message(%s, 'hello')", (room,))
                    is_sending.set()
                except psycopg.Error as error:
                    return error.diag.message_detail

    count = "select count(*) from chat.messages where sender_id = %s"
    with ThreadPoolExecutor(4) as pool, database.acting(owner) as connection:
        senders = [pool.submit(send) for _ in range(4)]
        assert is_sending.wait(10)
        connection.execute("select chat.remove_participant(%s, %s)", (room, user))
        at_removal = database.owner.execute(count, (user,)).fetchone()
        refused = [sender.result(10) for sender in senders]
    assert refused == ["conversation_not_found"] * 4
    assert database.owner.execute(count, (user,)).fetchone() == at_removal
    assert database.owner.execute("select * from chat.check_counters()").fetchall() == []


# Each with values of its own, so that some are refused: there is no such message, or right.
OPERATIONS = (
    "select chat.send_message(%(room)s, 'hello')",
    "select chat.send_message(%(room)s, 'hello', thread_root_seq => %(seq)s)",
    "select chat.send_message(%(room)s, 'hello', mentions => array[%(user)s]::uuid[])",
    "select chat.edit_message(%(room)s, %(seq)s, 'new')",
    "select chat.delete_message(%(room)s, %(seq)s)",
    "select chat.hide_message(%(room)s, %(seq)s)",
    "select chat.unhide_message(%(room)s, %(seq)s)",
    "select chat.react(%(room)s, %(seq)s, 'x')",
    "select chat.unreact(%(room)s, %(seq)s, 'x')",
    "select chat.pin_message(%(room)s, %(seq)s)",
    "select chat.unpin_message(%(room)s, %(seq)s)",
    "select chat.mark_read(%(room)s, %(seq)s)",
    "select chat.mark_delivered(%(room)s)",
    "select chat.mark_unread(%(room)s, %(seq)s)",
    "select chat.mark_thread_read(%(room)s, %(seq)s)",
    "select chat.start_direct(%(user)s)",
    "select chat.start_group('Another', array[%(user)s]::uuid[])",
    "select chat.add_participants(%(room)s, array[%(user)s]::uuid[])",
    "select chat.remove_participant(%(room)s, %(user)s)",
    "select chat.leave(%(room)s)",
    "select chat.set_role(%(room)s, %(user)s, 'admin')",
    "select chat.set_role(%(room)s, %(user)s, 'owner')",
    "select chat.update_conversation(%(room)s, title => 'T' || %(seq)s)",
    "select chat.silence_participant(%(room)s, %(user)s, now())",
    "select chat.set_slow_mode(%(room)s, 0)",
    "select chat.set_status('online')",
    "select chat.request_contact(%(user)s)",
    "select chat.accept_contact(%(user)s)",
    "select chat.remove_contact(%(user)s)",
    "select chat.report_message(%(room)s, %(seq)s, 'spam')",
    "select chat.ban_user(%(user)s)",
    "select chat.unban_user(%(user)s)",
    "insert into chat.blocks (blocker_id, blocked_id) values (auth.uid(), %(user)s)",
    "delete from chat.blocks where blocked_id = %(user)s",
    "insert into chat.drafts (conversation_id, body) values (%(room)s, 'half a')",
    "delete from chat.drafts where conversation_id = %(room)s",
    "insert into chat.saved_messages (conversation_id, message_seq) values (%(room)s, %(seq)s)",
    "update chat.participant_settings set is_pinned = not is_pinned",
    "select chat.sync()",
)
# By the project's own services, as the tables' owner.
SERVICES = (
    "update chat.tenant_members set removed_at = now() where user_id = %(user)s",
    "update chat.tenant_members set removed_at = null where user_id = %(user)s",
    "delete from auth.users where id = %(extra)s",
    "select chat_private.send_due_messages()",
)
# Refused with a code of ours, by a policy, a unique key, or for blocking oneself.
EXPECTED = re.compile("done|PT4..|42501|22023|23505|23514")


def test_whatever_many_do_at_once_none_deadlocks(database):
    people = [database.user(f"person_{number}") for number in range(8)]
    extras = [database.user(f"extra_{number}") for number in range(20)]
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = any(%s)", (people[:2],)
    )
    rooms = []
    for owner in people[:3]:
        others = [user for user in people + extras if user != owner]
        with database.acting(owner) as connection:
            (room,) = connection.execute(
                "select (chat.start_group('Group', %s::uuid[])).id", (others,)
            ).fetchone()
            for user in others[:7]:
                connection.execute("select chat.set_role(%s, %s, 'admin')", (room, user))
            for _ in range(10):
                connection.execute("select chat.send_message(%s, 'hello')", (room,))
        rooms.append(room)

    def use(number):
        """Of what was tried, how often it ended with which SQLSTATE; the first two are services."""
        chance = random.Random(number)
        ends = Counter()
        with psycopg.connect(database.url, autocommit=True) as connection:
            if number > 1:
                act_as(connection, chance.choice(people), role="authenticated")
            for _ in range(60):
                statement = chance.choice(OPERATIONS if number > 1 else SERVICES)
                values = {
                    "room": chance.choice(rooms),
                    "seq": chance.randint(1, 12),
                    "user": chance.choice(people),
                    "extra": chance.choice(extras),
                }
                try:
                    connection.execute(statement, values)
                    ends[statement, "done"] += 1
                except psycopg.Error as error:
                    ends[statement, error.sqlstate] += 1
        return ends

    ends = sum(together(14, use), Counter())
    assert {code for _, code in ends if not EXPECTED.fullmatch(code)} == set(), ends
    # Most of it was done, not only refused.
    assert len({statement for statement, code in ends if code == "done"}) > 15
    assert database.owner.execute("select * from chat.check_counters()").fetchall() == []
