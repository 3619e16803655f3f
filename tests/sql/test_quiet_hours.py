"""Who is pushed to, and when not: quiet hours, in the user's time zone."""

from __future__ import annotations

import uuid

import psycopg
import pytest
from psycopg.types.json import Jsonb


def set_preferences(database, user, **values):
    names = ", ".join(values)
    marks = ", ".join(["%s"] * len(values))
    with database.acting(user) as connection:
        connection.execute(
            f"insert into chat.notification_preferences ({names}) values ({marks})",
            list(values.values()),
        )


def clock_at(database, at):
    database.owner.execute(
        "create or replace function chat_private.now() returns timestamptz language plpgsql "
        f"stable as $$begin return '{at}'::timestamptz; end;$$"
    )


def is_quiet(database, at, quiet_from, quiet_until, timezone):
    return database.owner.execute(
        "select chat_private.is_quiet(f, %s) from jsonb_populate_record("
        "null::chat.notification_preferences, %s) as f",
        (at, Jsonb({"quiet_from": quiet_from, "quiet_until": quiet_until, "timezone": timezone})),
    ).fetchone()[0]


@pytest.mark.parametrize(
    ("at", "hours", "timezone", "quiet"),
    [
        # Within a day; the end does not belong to it.
        ("2026-06-01 12:59:59Z", ("13:00", "14:00"), "UTC", False),
        ("2026-06-01 13:00:00Z", ("13:00", "14:00"), "UTC", True),
        ("2026-06-01 13:59:59Z", ("13:00", "14:00"), "UTC", True),
        ("2026-06-01 14:00:00Z", ("13:00", "14:00"), "UTC", False),
        # Over midnight.
        ("2026-06-01 21:59:59Z", ("22:00", "07:00"), "UTC", False),
        ("2026-06-01 22:00:00Z", ("22:00", "07:00"), "UTC", True),
        ("2026-06-02 00:00:00Z", ("22:00", "07:00"), "UTC", True),
        ("2026-06-02 06:59:59Z", ("22:00", "07:00"), "UTC", True),
        ("2026-06-02 07:00:00Z", ("22:00", "07:00"), "UTC", False),
        # Where the user is, on the other side of the date line and off the hour.
        ("2026-06-01 11:59:00Z", ("00:00", "06:00"), "Pacific/Auckland", False),
        ("2026-06-01 12:00:00Z", ("00:00", "06:00"), "Pacific/Auckland", True),
        ("2026-06-01 16:14:00Z", ("22:00", "07:00"), "Asia/Kathmandu", False),
        ("2026-06-01 16:15:00Z", ("22:00", "07:00"), "Asia/Kathmandu", True),
        # Spring: at 01:00Z the clocks of Berlin go from 02:00 to 03:00; the night ends at 05:00Z.
        ("2026-03-29 04:59:59Z", ("22:00", "07:00"), "Europe/Berlin", True),
        ("2026-03-29 05:00:00Z", ("22:00", "07:00"), "Europe/Berlin", False),
        # 02:30 is skipped: as long after midnight as it would have been, 03:30.
        ("2026-03-29 01:29:00Z", ("02:30", "05:00"), "Europe/Berlin", False),
        ("2026-03-29 01:30:00Z", ("02:30", "05:00"), "Europe/Berlin", True),
        # Autumn: at 01:00Z they go from 03:00 to 02:00. 02:30 is the second, at 01:30Z.
        ("2026-10-25 00:30:00Z", ("02:30", "05:00"), "Europe/Berlin", False),
        ("2026-10-25 01:30:00Z", ("02:30", "05:00"), "Europe/Berlin", True),
        ("2026-10-25 01:29:59Z", ("22:00", "02:30"), "Europe/Berlin", True),
        ("2026-10-25 01:30:00Z", ("22:00", "02:30"), "Europe/Berlin", False),
        # None, and a time zone that the server has lost.
        ("2026-06-01 13:00:00Z", (None, None), "UTC", False),
        ("2026-06-01 13:00:00Z", ("13:00", "14:00"), "Atlantis/Center", False),
    ],
)
def test_when_it_is_quiet(database, at, hours, timezone, quiet):
    assert is_quiet(database, at, *hours, timezone) is quiet


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"timezone": "Atlantis/Center"}, "unknown_timezone"),
        # POSIX reads this as west of Greenwich; nobody means that.
        ({"timezone": "UTC+2"}, "unknown_timezone"),
        ({"quiet_from": "22:00"}, "notification_preferences_quiet_check"),
        (
            {"quiet_from": "22:00", "quiet_until": "22:00"},
            "notification_preferences_quiet_check",
        ),
        ({"push": "some"}, "notification_preferences_push_check"),
        ({"types_off": [None]}, "notification_preferences_types_off_check"),
    ],
)
def test_preferences_that_mean_nothing(database, values, reason):
    alice = database.user("alice")
    with pytest.raises(psycopg.Error) as error:
        set_preferences(database, alice, **values)
    assert reason in (error.value.diag.constraint_name, error.value.diag.message_detail)
    assert database.owner.execute("select * from chat.notification_preferences").fetchall() == []


def test_a_change_of_preferences_has_its_time(database):
    alice = database.user("alice")
    set_preferences(database, alice, push="all")
    with database.acting(alice) as connection:
        at = "select updated_at from chat.notification_preferences"
        (before,) = connection.execute(at).fetchone()
        connection.execute("update chat.notification_preferences set push = 'none'")
        assert connection.execute(at).fetchone()[0] > before


@pytest.fixture
def group(database):
    """Alice's group with bob and charlie, who have a device each."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    for name, user in zip(("alice", "bob", "charlie"), users, strict=True):
        with database.acting(user) as connection:
            connection.execute(
                "select chat.register_device(%s, 'fcm', %s)", (uuid.uuid4(), f"token of {name}")
            )
    return database, users, room


def send(connection, room, body="x", **more):
    named = "".join(f", {name} => %({name})s" for name in more)
    return connection.execute(
        f"select (chat.send_message(%(room)s, %(body)s{named})).seq",
        {"room": room, "body": body, **more},
    ).fetchone()[0]


def pushes(database, room, seq=1):
    """Reason, title and body, by token."""
    with database.acting(None, role="service_role") as connection:
        rows = connection.execute(
            "select token, reason, title, body from chat.list_message_pushes(%s, %s)", (room, seq)
        ).fetchall()
    return {row[0].removeprefix("token of "): row[1:] for row in rows}


def notification_pushes(database):
    with database.acting(None, role="service_role") as connection:
        return connection.execute(
            "select l.token, l.reason, l.title, l.body from chat.notifications as n "
            "cross join lateral chat.list_notification_pushes(n.id) as l order by n.id"
        ).fetchall()


def test_a_message_goes_to_those_who_have_not_read_it(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        send(connection, room, "hello")
    assert pushes(database, room) == dict.fromkeys(
        ("bob", "charlie"), ("message", "Group", "alice: hello")
    )
    with database.acting(bob) as connection:
        connection.execute("select chat.mark_read(%s)", (room,))
    assert set(pushes(database, room)) == {"charlie"}


def test_a_direct_one_is_titled_with_its_sender(group):
    database, (alice, bob, _), _ = group
    with database.acting(alice) as connection:
        room = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()[0]
        send(connection, room, "hello")
    assert pushes(database, room) == {"bob": ("message", "alice", "hello")}


def test_mentions_and_replies_come_once_with_their_message(group):
    database, (alice, bob, charlie), room = group
    with database.acting(bob) as connection:
        send(connection, room)
    with database.acting(alice) as connection:
        send(connection, room, reply_to_seq=1, mentions=[charlie])
        send(connection, room, metadata=Jsonb({"mention_all": True}))
    assert {name: push[0] for name, push in pushes(database, room, 2).items()} == {
        "bob": "reply",
        "charlie": "mention",
    }
    assert {push[0] for push in pushes(database, room, 3).values()} == {"mention"}
    # But that they were added.
    assert {row[1] for row in notification_pushes(database)} == {"added_to_conversation"}


def test_during_quiet_hours_the_feed_goes_on_and_devices_are_silent(group):
    database, (alice, bob, _), room = group
    set_preferences(
        database, bob, quiet_from="22:00", quiet_until="07:00", timezone="America/New_York"
    )
    with database.acting(alice) as connection:
        send(connection, room, mentions=[bob])
    # 22:00 to 07:00 there is 02:00 to 11:00 here.
    for hour, told in ((1, True), (3, False), (10, False), (11, True)):
        clock_at(database, f"2026-07-01 {hour:02}:30:00Z")
        assert ("bob" in pushes(database, room)) is told
        assert ("token of bob" in str(notification_pushes(database))) is told
        assert "charlie" in pushes(database, room)
    assert database.owner.execute(
        "select count(*) from chat.notifications where user_id = %s and type = 'mention'", (bob,)
    ).fetchone() == (1,)


@pytest.mark.parametrize(
    ("push", "told"),
    [
        ("all", {1: True, 2: True}),
        ("mentions", {1: False, 2: True}),
        ("none", {1: False, 2: False}),
    ],
)
def test_what_a_user_wants_on_their_devices(group, push, told):
    database, (alice, bob, _), room = group
    set_preferences(database, bob, push=push)
    with database.acting(alice) as connection:
        send(connection, room)
        send(connection, room, mentions=[bob])
        direct = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()[0]
        send(connection, direct)
    assert {seq: "bob" in pushes(database, room, seq) for seq in told} == told
    assert ("bob" in pushes(database, direct)) is (push != "none")


@pytest.mark.parametrize(
    "reason",
    ["muted", "deleted", "hidden", "expired", "read", "removed", "blocked", "signed out"],
)
def test_nothing_that_cannot_be_read_or_is_not_wanted_any_more(group, reason):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection, database.acting(bob) as reader:
        send(connection, room)
        database.owner.execute("delete from chat.notifications")
        send(reader, room)
        connection.execute("select chat.react(%s, 2, '👍')", (room,))
        assert "bob" in pushes(database, room)
        assert notification_pushes(database) == [("token of bob", "reaction", "alice", None)]
        if reason == "muted":
            reader.execute(
                "insert into chat.participant_settings (conversation_id, user_id, muted_until) "
                "values (%s, %s, 'infinity')",
                (room, bob),
            )
        elif reason == "deleted":
            for author, seq in ((connection, 1), (reader, 2)):
                author.execute("select chat.delete_message(%s, %s)", (room, seq))
        elif reason == "hidden":
            for seq in (1, 2):
                reader.execute("select chat.hide_message(%s, %s)", (room, seq))
        elif reason == "expired":
            database.owner.execute("update chat.messages set expires_at = now()")
        elif reason == "read":
            reader.execute("select chat.mark_read(%s)", (room,))
            reader.execute("select chat.mark_notifications_read(up_to_id => 1000)")
        elif reason == "removed":
            connection.execute("select chat.remove_participant(%s, %s)", (room, bob))
        elif reason == "blocked":
            connection.execute("insert into chat.blocks (blocked_id) values (%s)", (bob,))
        else:
            reader.execute("delete from chat.devices")
    assert "bob" not in pushes(database, room)
    assert notification_pushes(database) == []


def test_whoever_joined_later_is_not_told_of_before(group):
    database, (alice, *_), room = group
    dave = database.user("dave")
    with database.acting(dave) as connection:
        connection.execute(
            "select chat.register_device(%s, 'fcm', 'token of dave')", (uuid.uuid4(),)
        )
    with database.acting(alice) as connection:
        send(connection, room)
        connection.execute(
            "select chat.add_participants(%s, %s::uuid[], see_history => false)", (room, [dave])
        )
        send(connection, room)
    assert "dave" not in pushes(database, room, 1)
    assert "dave" in pushes(database, room, 2)


def test_what_the_system_says_goes_to_nobody(group):
    database, _, room = group
    database.owner.execute(
        "insert into chat.messages (conversation_id, kind, body) values (%s, 'system', 'x')",
        (room,),
    )
    assert pushes(database, room) == {}


def test_who_comes_back_without_history_is_told_of_nothing_before(group):
    database, (alice, bob, _), room = group
    with database.acting(bob) as connection:
        send(connection, room)
    with database.acting(alice) as connection:
        connection.execute("select chat.react(%s, 1, '👍')", (room,))
        connection.execute("select chat.remove_participant(%s, %s)", (room, bob))
        connection.execute(
            "select chat.add_participants(%s, %s::uuid[], see_history => false)", (room, [bob])
        )
    told = [reason for token, reason, *_ in notification_pushes(database) if "bob" in token]
    assert told == ["added_to_conversation"]
