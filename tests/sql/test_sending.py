"""Sending: one order without gaps, and a retry that never makes a second message."""

from __future__ import annotations

import uuid

import psycopg
import pytest


@pytest.fixture
def pair(database):
    """Two users and their direct conversation."""
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        (room,) = connection.execute("select (chat.start_direct(username => 'bob')).id").fetchone()
    return database, alice, bob, str(room)


def send(connection, room, body, message_id=None, **more):
    """The stored row of a message, as a dict."""
    arguments = {"conversation_id": room, "body": body, "id": message_id, **more}
    named = ", ".join(f"{name} => %({name})s" for name in arguments)
    row = connection.execute(
        f"select to_jsonb(m) from chat.send_message({named}) as m", arguments
    ).fetchone()
    return row[0]


def counters(database, room):
    """last_seq, message_count and rev of a conversation."""
    return database.owner.execute(
        "select last_seq, message_count, rev from chat.conversations where id = %s", (room,)
    ).fetchone()


def test_the_server_sets_what_is_not_the_client_s(pair):
    database, alice, _, room = pair
    with database.acting(alice) as connection:
        message = send(connection, room, "hello")
    assert (message["seq"], message["sender_id"], message["kind"]) == (1, alice, "text")
    assert message["deleted_at"] is None
    assert message["edited_at"] is None


class TestRetries:
    """The retry matrix of docs/reference/idempotency.md, case by case."""

    def test_same_id_returns_the_stored_message(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            first = send(connection, room, "hello", message_id)
            before = counters(database, room)
            again = send(connection, room, "hello", message_id)
        assert again == first
        assert counters(database, room) == before

    def test_same_id_and_another_body_returns_the_first(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            send(connection, room, "first", message_id)
            assert send(connection, room, "second", message_id)["body"] == "first"

    def test_same_id_by_another_sender_is_refused(self, pair):
        database, alice, bob, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            send(connection, room, "hello", message_id)
        before = counters(database, room)
        with database.acting(bob) as connection, pytest.raises(psycopg.Error) as refused:
            send(connection, room, "mine", message_id)
        assert refused.value.sqlstate == "PT409"
        assert refused.value.diag.message_detail == "message_id_taken"
        assert counters(database, room) == before

    def test_same_id_in_another_conversation_is_refused(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            send(connection, room, "hello", message_id)
            (group,) = connection.execute("select (chat.start_group('Group')).id").fetchone()
            with pytest.raises(psycopg.Error) as refused:
                send(connection, group, "hello", message_id)
        assert refused.value.diag.message_detail == "message_id_taken"

    def test_the_first_attempt_rolled_back(self, pair):
        database, alice, _, room = pair
        message_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            with connection.transaction(force_rollback=True):
                send(connection, room, "lost", message_id)
            assert send(connection, room, "hello", message_id)["seq"] == 1

    def test_without_an_id_each_call_is_a_message(self, pair):
        database, alice, _, room = pair
        with database.acting(alice) as connection:
            assert [send(connection, room, "hello")["seq"] for _ in range(2)] == [1, 2]

    def test_start_group_with_the_same_id_makes_one(self, pair):
        database, alice, bob, _ = pair
        group_id = str(uuid.uuid4())
        with database.acting(alice) as connection:
            made = [
                connection.execute(
                    "select (chat.start_group('Group', array[%s]::uuid[], %s)).id",
                    (bob, group_id),
                ).fetchone()
                for _ in range(2)
            ]
        assert {str(row[0]) for row in made} == {group_id}
        with database.acting(bob) as connection, pytest.raises(psycopg.Error) as refused:
            connection.execute("select chat.start_group('Mine', id => %s)", (group_id,))
        assert refused.value.diag.message_detail == "conversation_id_taken"


@pytest.mark.parametrize(
    ("arguments", "constraint"),
    [
        ({"body": ""}, "messages_body_check"),
        ({"body": " \n\t"}, "messages_body_check"),
        ({"body": None}, "messages_body_check"),
        ({"body": "x", "metadata": "[]"}, "messages_metadata_check"),
        ({"body": "x", "metadata": '{"a": "' + "x" * 17_000 + '"}'}, "messages_metadata_check"),
    ],
)
def test_what_a_message_may_hold(pair, arguments, constraint):
    database, alice, _, room = pair
    before = counters(database, room)
    with database.acting(alice) as connection, pytest.raises(psycopg.Error) as refused:
        send(connection, room, **arguments)
    assert refused.value.sqlstate == "23514"
    assert refused.value.diag.constraint_name == constraint
    assert counters(database, room) == before


def test_ten_thousand_characters_fit_and_a_tenant_may_allow_less(pair):
    database, alice, _, room = pair
    with database.acting(alice) as connection:
        assert len(send(connection, room, "ü" * 10_000)["body"]) == 10_000
        with pytest.raises(psycopg.Error) as refused:
            send(connection, room, "x" * 10_001)
        assert refused.value.diag.message_detail == "message_too_long"
        database.owner.execute("update chat.settings set message_max_length = 5")
        with pytest.raises(psycopg.Error) as refused:
            send(connection, room, "123456")
    assert refused.value.diag.message_detail == "message_too_long"
    assert counters(database, room)[0] == 1


def test_a_reply_answers_a_message_of_the_same_conversation(pair):
    database, alice, _, room = pair
    with database.acting(alice) as connection:
        send(connection, room, "question")
        assert send(connection, room, "answer", reply_to_seq=1)["reply_to_seq"] == 1
        with pytest.raises(psycopg.Error) as refused:
            send(connection, room, "to nothing", reply_to_seq=99)
    assert refused.value.sqlstate == "PT404"
    assert refused.value.diag.message_detail == "message_not_found"


def test_even_the_owner_of_the_tables_cannot_forge_an_order(pair):
    database, alice, bob, room = pair
    (message,) = database.owner.execute(
        "insert into chat.messages (conversation_id, sender_id, body, seq, rev, created_at) "
        "values (%s, %s, 'direct', 77, 99, '2020-01-01') returning to_jsonb(messages)",
        (room, alice),
    ).fetchone()
    assert message["seq"] == 1
    assert not message["created_at"].startswith("2020")
    for change in ("seq = 5", "sender_id = %(bob)s", "created_at = now()"):
        with pytest.raises(psycopg.Error) as refused:
            database.owner.execute(f"update chat.messages set {change}", {"bob": bob})
        assert refused.value.diag.message_detail == "immutable_column"
    with pytest.raises(psycopg.Error) as refused:
        database.owner.execute(
            "insert into chat.messages (conversation_id, body) values (gen_random_uuid(), 'x')"
        )
    assert refused.value.diag.message_detail == "conversation_not_found"


def test_a_sender_must_be_a_participant(pair):
    database, _, _, room = pair
    stranger = database.user("stranger")
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
        database.owner.execute(
            "insert into chat.messages (conversation_id, sender_id, body, seq, rev, created_at) "
            "values (%s, %s, 'x', 0, 0, now())",
            (room, stranger),
        )
    assert refused.value.diag.constraint_name == "messages_sender_id_fkey"


def test_a_participant_is_a_member_of_the_conversation_s_tenant(pair):
    database, _, _, room = pair
    outsider = database.user("outsider")
    database.owner.execute("delete from chat.tenant_members where user_id = %s", (outsider,))
    (other,) = database.owner.execute(
        "insert into chat.tenants (slug, name) values ('other', 'Other') returning id"
    ).fetchone()
    database.owner.execute(
        "insert into chat.tenant_members (tenant_id, user_id) values (%s, %s)", (other, outsider)
    )
    for tenant_id in ("00000000-0000-4000-8000-000000000001", other):
        with pytest.raises(psycopg.Error):
            database.owner.execute(
                "insert into chat.participants (conversation_id, user_id, tenant_id) "
                "values (%s, %s, %s)",
                (room, outsider, tenant_id),
            )
    assert database.owner.execute("select count(*) from chat.participants").fetchone() == (2,)
