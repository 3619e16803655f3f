"""Saved messages and drafts: one's own, and only of what one can read."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def pair(database):
    """alice, bob, a stranger, and a direct conversation of the first two with one message."""
    users = {name: database.user(name) for name in ("alice", "bob", "stranger")}
    with database.acting(users["alice"]) as connection:
        (room,) = connection.execute("select (chat.start_direct(username => 'bob')).id").fetchone()
        connection.execute("select chat.send_message(%s, 'worth keeping')", (room,))
    return database, users, room


WRITES = {
    "saved_messages": (
        "insert into chat.saved_messages (conversation_id, message_seq, user_id) "
        "values (%(room)s, 1, %(user)s)"
    ),
    "drafts": (
        "insert into chat.drafts (conversation_id, user_id, body) "
        "values (%(room)s, %(user)s, 'half a sen')"
    ),
}


def count(database, user, table):
    with database.acting(user) as connection:
        return connection.execute(f"select count(*) from chat.{table}").fetchone()[0]


def test_saving_another_s_message_and_another_s_name(pair):
    database, users, room = pair
    for table, write in WRITES.items():
        with database.acting(users["bob"]) as connection:
            connection.execute(write, {"room": room, "user": users["bob"]})
        assert count(database, users["bob"], table) == 1
        assert count(database, users["alice"], table) == 0
        for writer, name in (("stranger", "stranger"), ("alice", "bob"), ("stranger", "bob")):
            with database.acting(users[writer]) as connection, pytest.raises(psycopg.Error):
                connection.execute(write, {"room": room, "user": users[name]})
        for query in (f"delete from chat.{table} returning 1",):
            with database.acting(users["alice"]) as connection:
                assert connection.execute(query).fetchall() == []
        assert database.owner.execute(f"select count(*) from chat.{table}").fetchone() == (1,)


def test_what_can_no_longer_be_read_is_not_saved_either(pair):
    database, users, room = pair
    with database.acting(users["bob"]) as connection:
        connection.execute(WRITES["saved_messages"], {"room": room, "user": users["bob"]})
    database.owner.execute("update chat.messages set expires_at = now() - interval '1 ms'")
    assert count(database, users["bob"], "saved_messages") == 0


def test_a_draft_counts_as_a_private_change(pair):
    database, users, room = pair
    with database.acting(users["bob"]) as connection:
        connection.execute(WRITES["drafts"], {"room": room, "user": users["bob"]})
        state = "select s.rev, d.updated_at from chat.participant_settings as s, chat.drafts as d"
        rev, written_at = connection.execute(state).fetchone()
        connection.execute("update chat.drafts set body = 'half a sentence'")
        new_rev, changed_at = connection.execute(state).fetchone()
    assert rev >= 1
    assert new_rev == rev + 1
    assert changed_at > written_at
    assert count(database, users["alice"], "participant_settings") == 0
