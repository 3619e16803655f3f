"""Notifications: who is told of what, and what they can still see of it."""

from __future__ import annotations

import psycopg
import pytest
from psycopg.types.json import Jsonb


@pytest.fixture
def group(database):
    """Alice's group with bob and charlie, nothing in their feeds."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    database.owner.execute("delete from chat.notifications; delete from realtime.messages")
    return database, users, room


def send(connection, room, body="x", **more):
    named = "".join(f", {name} => %({name})s" for name in more)
    return connection.execute(
        f"select (chat.send_message(%(room)s, %(body)s{named})).seq",
        {"room": room, "body": body, **more},
    ).fetchone()[0]


def call(connection, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return connection.execute(f"select chat.{function}({marks})", arguments).fetchone()[0]


def feed(database, user):
    """What the user sees, newest first; the count of unread ones agrees with it."""
    with database.acting(user) as connection:
        rows = connection.execute(
            "select to_jsonb(f) from chat.notification_feed as f order by id desc"
        ).fetchall()
        unread = call(connection, "count_unread_notifications")
    rows = [row[0] for row in rows]
    assert unread == len([row for row in rows if row["read_at"] is None])
    return rows


def told(database, user):
    return [(row["type"], row["message_seq"]) for row in feed(database, user)]


def written(database):
    return database.owner.execute("select count(*) from chat.notifications").fetchone()[0]


def events(database, user, *names):
    rows = database.owner.execute(
        "select event, payload from realtime.messages where topic = 'user:' || %s "
        "and event = any (%s) order by inserted_at, id",
        (user, list(names)),
    ).fetchall()
    return [(event, payload) for event, payload in rows]


def set_preferences(database, user, **values):
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    with database.acting(user) as connection:
        connection.execute(
            f"insert into chat.notification_preferences ({names}) values ({marks})",
            list(values.values()),
        )


class TestMessages:
    def test_a_mention(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room, "hello @bob", mentions=[bob])
        (row,) = feed(database, bob)
        assert (row["type"], row["actor_id"], row["conversation_id"], row["message_seq"]) == (
            "mention",
            alice,
            str(room),
            1,
        )
        assert (row["title"], row["body"], row["read_at"]) == ("alice", "hello @bob", None)
        assert [feed(database, user) for user in (alice, charlie)] == [[], []]

    def test_a_reply_and_a_thread(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room, "root")
        with database.acting(bob) as connection:
            send(connection, room, "in the thread", thread_root_seq=1)
        with database.acting(charlie) as connection:
            send(connection, room, "to both", thread_root_seq=1, reply_to_seq=2)
        assert told(database, alice) == [("reply", 3), ("reply", 2)]
        assert told(database, bob) == [("reply", 3)]
        assert told(database, charlie) == []

    def test_of_one_message_once(self, group):
        """A reply that mentions whom it answers, edited to mention them again."""
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room)
        with database.acting(bob) as connection:
            send(connection, room, reply_to_seq=1, thread_root_seq=1, mentions=[alice, alice])
            call(connection, "edit_message", room, 2, "y", None, [])
            call(connection, "edit_message", room, 2, "z", None, [alice])
        assert told(database, alice) == [("reply", 2)]

    def test_an_edit_adds_a_mention_and_takes_it_back(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room, mentions=[bob])
            call(connection, "edit_message", room, 1, "y", None, [charlie])
        assert (told(database, bob), told(database, charlie)) == ([], [("mention", 1)])

    def test_a_reaction_until_it_is_taken_back(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room)
            call(connection, "react", room, 1, "👍")
        assert feed(database, alice) == []
        with database.acting(bob) as connection:
            call(connection, "react", room, 1, "👍")
            call(connection, "react", room, 1, "🎉")
        with database.acting(charlie) as connection:
            call(connection, "react", room, 1, "👍")
            call(connection, "unreact", room, 1, "👍")
        assert [(row["type"], row["title"]) for row in feed(database, alice)] == [
            ("reaction", "bob")
        ]
        with database.acting(bob) as connection:
            call(connection, "unreact", room, 1, "👍")
            assert len(feed(database, alice)) == 1
            call(connection, "unreact", room, 1, "🎉")
        assert feed(database, alice) == []

    def test_a_retried_send_tells_nothing_more(self, group):
        database, (alice, bob, _), room = group
        message_id = "11111111-1111-4111-8111-111111111111"
        with database.acting(alice) as connection:
            for _ in range(2):
                send(connection, room, id=message_id, mentions=[bob])
        assert told(database, bob) == [("mention", 1)]
        assert len(events(database, bob, "notification_created")) == 1


def test_a_message_writes_nothing_for_the_rest_of_the_group(database):
    """Two hundred people, a message to all of them, and one that mentions everybody."""
    alice, *others = (database.user(f"user_{number}") for number in range(201))
    with database.acting(alice) as connection:
        room = connection.execute(
            "select (chat.start_group('Crowd', %s::uuid[])).id", (others,)
        ).fetchone()[0]
        assert written(database) == 0, "more than the fan-out limit joined at once"
        send(connection, room)
        send(connection, room, metadata=Jsonb({"mention_all": True}))
        assert written(database) == 0
        send(connection, room, mentions=others[:50])
    assert written(database) == 50


class TestPeople:
    def test_whoever_is_added(self, group):
        database, (alice, bob, charlie), room = group
        dave = database.user("dave")
        with database.acting(alice) as connection:
            call(connection, "add_participants", room, [dave])
        assert [(row["type"], row["title"], row["body"]) for row in feed(database, dave)] == [
            ("added_to_conversation", "alice", "Group")
        ]
        assert [feed(database, user) for user in (alice, bob, charlie)] == [[], [], []]

    def test_added_again_is_told_once_and_unread(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            for _ in range(3):
                send(connection, room)
                call(connection, "remove_participant", room, bob)
                call(connection, "add_participants", room, [bob])
        (row,) = feed(database, bob)
        assert (row["type"], row["read_at"]) == ("added_to_conversation", None)
        assert written(database) == 1

    def test_whoever_is_removed_again_sees_it_no_more(self, group):
        database, (alice, *_), room = group
        dave = database.user("dave")
        with database.acting(alice) as connection:
            call(connection, "add_participants", room, [dave])
            call(connection, "remove_participant", room, dave)
        assert feed(database, dave) == []
        assert written(database) == 1

    def test_not_of_a_direct_conversation(self, group):
        database, (alice, bob, _), _ = group
        with database.acting(alice) as connection:
            room = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()[0]
            send(connection, room)
        assert written(database) == 0

    def test_a_contact_request_until_it_is_answered(self, group):
        database, (alice, bob, charlie), _ = group
        with database.acting(alice) as connection:
            call(connection, "request_contact", bob)
            call(connection, "request_contact", bob)
            call(connection, "request_contact", charlie)
        assert [(row["type"], row["title"]) for row in feed(database, bob)] == [
            ("contact_request", "alice")
        ]
        with database.acting(bob) as connection:
            call(connection, "accept_contact", alice)
        with database.acting(charlie) as connection:
            call(connection, "decline_contact", alice)
        assert [feed(database, user) for user in (bob, charlie)] == [[], []]
        assert [(row["type"], row["title"]) for row in feed(database, alice)] == [
            ("contact_accepted", "bob")
        ]

    def test_a_closed_report(self, group):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            send(connection, room)
        with database.acting(bob) as connection:
            (report,) = connection.execute(
                "select (chat.report_message(%s, 1, 'spam')).id", (room,)
            ).fetchone()
        database.owner.execute(
            "update chat.tenant_members set role = 'moderator' where user_id = %s", (charlie,)
        )
        with database.acting(charlie) as connection:
            call(connection, "resolve_report", report, "dismissed")
        (row,) = feed(database, bob)
        assert (row["type"], row["metadata"]) == ("report_closed", {"report_id": str(report)})
        assert (row["actor_id"], row["title"], row["body"]) == (None, None, None)
        assert feed(database, alice) == []


class TestOfTheApp:
    """chat.send_notification, for the service role."""

    def test_it_comes_as_it_was_written(self, group):
        database, (_, bob, _), _ = group
        with database.acting(None, role="service_role") as connection:
            connection.execute(
                "select chat.send_notification(%s, 'Order shipped', 'On its way', %s)",
                (bob, Jsonb({"order": 7})),
            )
        (row,) = feed(database, bob)
        assert (row["type"], row["title"], row["body"], row["metadata"]) == (
            "custom",
            "Order shipped",
            "On its way",
            {"order": 7},
        )
        (event,) = events(database, bob, "notification_created")
        assert "Order" not in str(event)

    def test_a_key_sends_it_once(self, group):
        database, (_, bob, charlie), _ = group
        with database.acting(None, role="service_role") as connection:
            ids = [
                connection.execute(
                    "select (chat.send_notification(%s, 'Shipped', key => 'order:7')).id", (user,)
                ).fetchone()[0]
                for user in (bob, bob, charlie)
            ]
        assert ids[0] == ids[1] != ids[2]
        assert len(events(database, bob, "notification_created")) == 1

    def test_not_to_who_does_not_want_it(self, group):
        database, (_, bob, _), _ = group
        set_preferences(database, bob, types_off=["custom"])
        with database.acting(None, role="service_role") as connection:
            (made,) = connection.execute(
                "select (chat.send_notification(%s, 'Shipped')).id", (bob,)
            ).fetchone()
        assert made is None
        assert written(database) == 0


class TestWanted:
    def test_not_a_type_that_is_off(self, group):
        database, (alice, bob, _), room = group
        set_preferences(database, bob, types_off=["mention"])
        with database.acting(bob) as connection:
            send(connection, room)
        with database.acting(alice) as connection:
            send(connection, room, mentions=[bob])
            send(connection, room, reply_to_seq=1)
        assert told(database, bob) == [("reply", 3)]

    @pytest.mark.parametrize(
        ("until", "count"), [("infinity", 0), ("2999-01-01", 0), ("2020-01-01", 1)]
    )
    def test_not_in_a_muted_conversation(self, group, until, count):
        """The inbox counts the mention all the same."""
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            connection.execute(
                "insert into chat.participant_settings (conversation_id, user_id, muted_until) "
                "values (%s, %s, %s)",
                (room, bob, until),
            )
        with database.acting(alice) as connection:
            send(connection, room, mentions=[bob])
        assert written(database) == count
        with database.acting(bob) as connection:
            assert connection.execute("select unread_mention_count from chat.inbox").fetchone() == (
                1,
            )

    @pytest.mark.parametrize("blocker", ["sender", "receiver"])
    def test_not_between_two_who_are_blocked(self, group, blocker):
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            send(connection, room)
        pair = (alice, bob) if blocker == "sender" else (bob, alice)
        database.owner.execute(
            "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", pair
        )
        with database.acting(alice) as connection:
            send(connection, room, reply_to_seq=1, mentions=[bob])
            call(connection, "react", room, 1, "👍")
        assert written(database) == 0
        assert events(database, bob, "notification_created") == []

    def test_not_who_left_or_joined_later(self, group):
        database, (alice, bob, charlie), room = group
        for user in (bob, charlie):
            with database.acting(user) as connection:
                send(connection, room)
        with database.acting(alice) as connection:
            call(connection, "remove_participant", room, bob)
            call(connection, "remove_participant", room, charlie)
            call(connection, "add_participants", room, [charlie], None, False)
            database.owner.execute("delete from chat.notifications")
            send(connection, room, reply_to_seq=1)
            call(connection, "react", room, 2, "👍")
        assert written(database) == 0


class TestWhatCanStillBeSeen:
    """Nothing is kept of what one can no longer read."""

    @pytest.fixture
    def mentioned(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room, "the secret", mentions=[bob])
            # The first message of another conversation, which can be read as long as it lasts.
            (other,) = connection.execute(
                "select (chat.start_group('Other', %s::uuid[])).id", ([bob],)
            )
            send(connection, other[0], "no secret")
            send(connection, room, "no secret either")
            database.owner.execute("delete from chat.notifications where message_seq is null")
        return group

    def test_an_edit_shows(self, mentioned):
        database, (alice, bob, _), room = mentioned
        with database.acting(alice) as connection:
            call(connection, "edit_message", room, 1, "said otherwise")
        assert [row["body"] for row in feed(database, bob)] == ["said otherwise"]

    @pytest.mark.parametrize("reason", ["deleted", "hidden", "expired", "removed", "blocked"])
    def test_gone_with_its_message(self, mentioned, reason):
        database, (alice, bob, _), room = mentioned
        assert "the secret" in str(feed(database, bob))
        if reason == "expired":
            database.owner.execute("update chat.messages set expires_at = now()")
        elif reason == "blocked":
            with database.acting(bob) as connection:
                connection.execute("insert into chat.blocks (blocked_id) values (%s)", (alice,))
        else:
            actor, function, argument = {
                "deleted": (alice, "delete_message", 1),
                "hidden": (bob, "hide_message", 1),
                "removed": (alice, "remove_participant", bob),
            }[reason]
            with database.acting(actor) as connection:
                call(connection, function, room, argument)
        assert feed(database, bob) == []
        with database.acting(bob) as connection:
            assert connection.execute("select * from chat.notifications").fetchall() == []

    def test_who_comes_back_without_history_does_not_see_it_again(self, mentioned):
        database, (alice, bob, _), room = mentioned
        with database.acting(alice) as connection:
            call(connection, "remove_participant", room, bob)
            call(connection, "add_participants", room, [bob], None, False)
        assert told(database, bob) == [("added_to_conversation", None)]

    def test_being_blocked_shows_in_nothing(self, mentioned):
        database, (alice, bob, _), _ = mentioned
        before = feed(database, bob)
        with database.acting(alice) as connection:
            connection.execute("insert into chat.blocks (blocked_id) values (%s)", (bob,))
        assert feed(database, bob) == before

    def test_no_event_and_no_row_has_a_copy(self, mentioned):
        database, (_, bob, _), room = mentioned
        payload = next(
            told
            for _, told in events(database, bob, "notification_created")
            if told["type"] == "mention"
        )
        assert {**payload, "id": 0, "created_at": ""} == {
            "id": 0,
            "created_at": "",
            "type": "mention",
            "actor_id": mentioned[1][0],
            "conversation_id": str(room),
            "message_seq": 1,
        }
        rows = database.owner.execute("select n::text from chat.notifications as n").fetchall()
        assert "secret" not in str(rows)

    def test_a_row_about_a_message_cannot_hold_text(self, mentioned):
        database, *_ = mentioned
        for column in ("title", "body"):
            with pytest.raises(psycopg.errors.CheckViolation) as error:
                database.owner.execute(f"update chat.notifications set {column} = 'copied'")
            assert error.value.diag.constraint_name == "notifications_text_check"

    def test_a_deleted_account_leaves_no_name(self, mentioned):
        database, (alice, bob, _), _ = mentioned
        database.owner.execute("delete from auth.users where id = %s", (alice,))
        assert [(row["actor_id"], row["title"]) for row in feed(database, bob)] == [(None, None)]


class TestReading:
    @pytest.fixture
    def told_thrice(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            for _ in range(3):
                send(connection, room, mentions=[bob])
        return database, alice, bob, room, [row["id"] for row in feed(database, bob)]

    def unread(self, database, user):
        return [row["message_seq"] for row in feed(database, user) if row["read_at"] is None]

    def test_by_id(self, told_thrice):
        database, _, bob, _, (third, _, first) = told_thrice
        with database.acting(bob) as connection:
            assert call(connection, "mark_notifications_read", [third, first]) == 2
            assert call(connection, "mark_notifications_read", [third, first]) == 0
        assert self.unread(database, bob) == [2]
        assert events(database, bob, "notifications_read") == [
            ("notifications_read", {"ids": [third, first]})
        ]

    def test_up_to_one(self, told_thrice):
        database, _, bob, _, (_, second, _) = told_thrice
        with database.acting(bob) as connection:
            assert call(connection, "mark_notifications_read", None, second) == 2
        assert self.unread(database, bob) == [3]
        assert events(database, bob, "notifications_read") == [
            ("notifications_read", {"up_to_id": second})
        ]

    def test_with_the_conversation(self, told_thrice):
        database, alice, bob, room, _ = told_thrice
        with database.acting(bob) as connection:
            send(connection, room)
        with database.acting(alice) as connection:
            call(connection, "react", room, 4, "👍")
        with database.acting(bob) as connection:
            call(connection, "mark_read", room, 2)
            assert self.unread(database, bob) == [4, 3]
            call(connection, "mark_read", room)
        # The reaction is news of one's own message.
        assert self.unread(database, bob) == [4]
        assert [payload for _, payload in events(database, bob, "notifications_read")] == [
            {"conversation_id": str(room), "up_to_seq": 2},
            {"conversation_id": str(room), "up_to_seq": 4},
        ]

    def test_with_the_thread(self, group):
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            send(connection, room)
        with database.acting(alice) as connection:
            send(connection, room, thread_root_seq=1)
            send(connection, room, mentions=[bob])
        with database.acting(bob) as connection:
            call(connection, "mark_thread_read", room, 1)
        assert self.unread(database, bob) == [3]

    def test_reading_nothing_new_tells_nothing(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            send(connection, room)
        with database.acting(bob) as connection:
            call(connection, "mark_read", room)
        assert events(database, bob, "notifications_read") == []

    @pytest.mark.parametrize(
        "arguments",
        [(None, None), ([1], 1), (list(range(1001)), None)],
        ids=["none", "both", "too many"],
    )
    def test_exactly_one_of_ids_and_up_to_id(self, told_thrice, arguments):
        database, _, bob, _, _ = told_thrice
        with database.acting(bob) as connection, pytest.raises(psycopg.Error) as error:
            call(connection, "mark_notifications_read", *arguments)
        assert error.value.diag.message_detail == "notifications_required"
        assert self.unread(database, bob) == [3, 2, 1]

    def test_dropping_one(self, told_thrice):
        database, _, bob, _, (third, *_) = told_thrice
        with database.acting(bob) as connection:
            connection.execute("delete from chat.notifications where id = %s", (third,))
        assert told(database, bob) == [("mention", 2), ("mention", 1)]
