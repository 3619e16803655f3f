"""Writers that wait for each other: what they find when it is their turn; that none deadlock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from support.at_once import is_waiting
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
