"""Scheduled messages: sent once, by whom may send at that time, whatever happens meanwhile."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

BAN = (
    "insert into chat.bans (tenant_id, user_id, was_member) "
    "select tenant_id, user_id, true from chat.tenant_members where user_id = %s"
)


@pytest.fixture
def group(database):
    """Three users, the first's group and one message of the first."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
        connection.execute("select chat.send_message(%s, 'first')", (room,))
    return database, users, room


def schedule(connection, room, body="later", minutes=5, **more):
    """The stored row, as a dict."""
    named = "".join(f", {name} => %({name})s" for name in more)
    return connection.execute(
        "select to_jsonb(s) from chat.schedule_message(%(room)s, "
        f"now() + make_interval(mins => %(minutes)s), %(body)s{named}) as s",
        {"room": room, "body": body, "minutes": minutes, **more},
    ).fetchone()[0]


def refused(action, *arguments, **more):
    with pytest.raises(psycopg.Error) as error:
        action(*arguments, **more)
    return error.value.diag.constraint_name or error.value.diag.message_detail


def call(connection, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return connection.execute(f"select chat.{function}({marks})", arguments).fetchone()[0]


def later(database, minutes):
    """Sets the clock; 0 sets it back."""
    database.owner.execute(
        "create or replace function chat_private.now() returns timestamptz language plpgsql stable "
        f"as $$begin return pg_catalog.now() + make_interval(mins => {minutes}); end;$$"
    )


def run(database, limit=100):
    """What one run did, as codes by id."""
    rows = database.owner.execute(
        "select id, error_code from chat_private.send_due_messages(%s)", (limit,)
    ).fetchall()
    return {str(row[0]): row[1] for row in rows}


def waiting(database, user):
    with database.acting(user) as connection:
        rows = connection.execute(
            "select id, error_code from chat.scheduled_messages order by send_at"
        ).fetchall()
    return {str(row[0]): row[1] for row in rows}


def bodies(database):
    rows = database.owner.execute("select body from chat.messages order by seq").fetchall()
    return [row[0] for row in rows]


def state(database):
    return database.owner.execute(
        "select (select jsonb_agg(s order by s) from chat.scheduled_messages as s), "
        "(select jsonb_agg(m order by m) from chat.messages as m), "
        "(select jsonb_agg(s order by s) from chat.participant_settings as s)"
    ).fetchone()


def test_it_is_sent_when_its_time_has_come(group):
    database, (alice, bob, _), room = group
    with database.acting(bob) as connection:
        made = schedule(
            connection,
            room,
            metadata=Jsonb({"a": 1}),
            reply_to_seq=1,
            thread_root_seq=1,
            mentions=[alice],
        )
    assert run(database) == {}
    later(database, 5)
    assert run(database) == {made["id"]: None}
    (message,) = database.owner.execute(
        "select to_jsonb(m) from chat.messages as m where seq = 2"
    ).fetchone()
    assert message["id"] == made["id"]
    assert (message["sender_id"], message["body"]) == (bob, "later")
    assert (message["reply_to_seq"], message["thread_root_seq"]) == (1, 1)
    assert message["metadata"] == {"a": 1}
    assert database.owner.execute("select user_id::text from chat.mentions").fetchone() == (alice,)
    assert waiting(database, bob) == {}
    assert run(database) == {}
    assert bodies(database) == ["first", "later"]


def test_each_conversation_hears_them_in_their_order(group):
    database, (_, bob, _), room = group
    with database.acting(bob) as connection:
        for minutes in (3, 1, 2):
            schedule(connection, room, f"at {minutes}", minutes)
    later(database, 2)
    assert len(run(database, 1)) == 1
    assert len(run(database)) == 1
    later(database, 9)
    assert len(run(database)) == 1
    assert bodies(database) == ["first", "at 1", "at 2", "at 3"]


def test_nobody_else_sees_it(group):
    database, (alice, bob, _), room = group
    with database.acting(bob) as connection:
        made = schedule(connection, room)
    before = state(database)
    with database.acting(alice) as connection:
        assert connection.execute("select * from chat.scheduled_messages").fetchall() == []
        for function in ("cancel_scheduled_message", "update_scheduled_message"):
            code = refused(call, connection, function, made["id"])
            assert code == "scheduled_message_not_found"
        for command in (
            "update chat.scheduled_messages set body = 'x'",
            "delete from chat.scheduled_messages",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(command)
    assert state(database) == before
    told = database.owner.execute(
        "select distinct topic from realtime.messages where event = 'private_changed'"
    ).fetchall()
    assert told == [(f"user:{bob}",)]


def test_the_same_id_again_changes_nothing(group):
    database, (alice, bob, _), room = group
    message_id = str(uuid.uuid4())
    with database.acting(bob) as connection:
        first = schedule(connection, room, id=message_id)
        before = state(database)
        assert schedule(connection, room, "other", 9, id=message_id) == first
        assert state(database) == before
    with database.acting(alice) as connection:
        assert refused(schedule, connection, room, id=message_id) == "message_id_taken"
    later(database, 5)
    run(database)
    with database.acting(bob) as connection:
        assert refused(schedule, connection, room, minutes=99, id=message_id) == "message_id_taken"


def test_it_can_be_changed_and_cancelled(group):
    database, (_, bob, _), room = group
    with database.acting(bob) as connection:
        made, other = schedule(connection, room), schedule(connection, room, "never")
        connection.execute(
            "select chat.update_scheduled_message(%s, now() + interval '1 hour', 'better')",
            (made["id"],),
        )
        connection.execute("select chat.cancel_scheduled_message(%s)", (other["id"],))
        code = refused(call, connection, "cancel_scheduled_message", other["id"])
        assert code == "scheduled_message_not_found"
    later(database, 59)
    assert run(database) == {}
    later(database, 60)
    assert run(database) == {made["id"]: None}
    assert bodies(database) == ["first", "better"]
    with database.acting(bob) as connection:
        code = refused(call, connection, "cancel_scheduled_message", made["id"])
    assert code == "scheduled_message_not_found"


class TestWhatCanBeScheduled:
    """As what can be sent, told at once."""

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ({"minutes": 0}, "send_at_out_of_range"),
            ({"minutes": -5}, "send_at_out_of_range"),
            ({"minutes": 60 * 24 * 367}, "send_at_out_of_range"),
            ({"body": " "}, "scheduled_messages_body_check"),
            ({"body": None}, "scheduled_messages_body_check"),
            ({"body": "x" * 10_001}, "message_too_long"),
            ({"kind": "system"}, "system_message"),
            ({"kind": "poll"}, "scheduled_messages_metadata_kind_check"),
            ({"metadata": Jsonb([])}, "scheduled_messages_metadata_check"),
            ({"reply_to_seq": 9}, "message_not_found"),
            ({"thread_root_seq": 9}, "message_not_found"),
        ],
    )
    def test_refused(self, group, arguments, code):
        database, (_, bob, _), room = group
        before = state(database)
        with database.acting(bob) as connection:
            assert refused(schedule, connection, room, **arguments) == code
        assert state(database) == before

    def test_fifty_mentions(self, group):
        database, (_, bob, _), room = group
        people = [str(uuid.uuid4()) for _ in range(51)]
        with database.acting(bob) as connection:
            assert refused(schedule, connection, room, mentions=people) == "too_many_mentions"
            schedule(connection, room, mentions=people[1:])

    def test_a_hundred(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            for _ in range(100):
                schedule(connection, room)
            assert refused(schedule, connection, room) == "too_many_scheduled"
        assert len(waiting(database, bob)) == 100

    def test_by_those_who_take_part(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            connection.execute("select chat.leave(%s)", (room,))
        before = state(database)
        for user in (bob, database.user("stranger")):
            with database.acting(user) as connection:
                assert refused(schedule, connection, room) == "conversation_not_found"
        assert state(database) == before


class TestWhatHappensMeanwhile:
    """Access is asked for again when it is sent."""

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ("update chat.participants set left_at = now()", "conversation_not_found"),
            ("update chat.participants set silenced_until = 'infinity'", "silenced"),
            ("update chat.conversations set status = 'closed'", "conversation_closed"),
            (
                "update chat.tenant_members set removed_at = now() where user_id = %s",
                "conversation_not_found",
            ),
            (
                BAN,
                ("banned", "conversation_not_found"),
            ),
            ("update chat.messages set expires_at = now()", "message_not_found"),
            ("update chat.settings set message_max_length = 1", "message_too_long"),
            ("update chat.scheduled_messages set mentions = mentions", None),
        ],
    )
    def test_refused_with_the_reason(self, group, change, code):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            made = schedule(connection, room, reply_to_seq=1)
        if change.startswith("update chat.participants"):
            change += " where user_id = %s"
        database.owner.execute(change, (bob,) if "%s" in change else None)
        later(database, 5)
        (got,) = run(database).values()
        assert got == code or got in (code or ())
        assert run(database) == {}
        assert bodies(database) == ["first", "later"][: 2 if got is None else 1]
        row = database.owner.execute(
            "select failed_at is not null, error_code from chat.scheduled_messages where id = %s",
            (made["id"],),
        ).fetchone()
        assert row == (None if got is None else (True, got))

    def test_one_refused_does_not_stop_the_others(self, group):
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            bad = schedule(connection, room, minutes=1)
        with database.acting(alice) as connection:
            good = schedule(connection, room, minutes=2)
        database.owner.execute(
            "update chat.participants set silenced_until = 'infinity' where user_id = %s", (bob,)
        )
        later(database, 5)
        assert run(database) == {bad["id"]: "silenced", good["id"]: None}
        assert waiting(database, bob) == {bad["id"]: "silenced"}

    def test_what_was_refused_can_be_scheduled_anew(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            made = schedule(connection, room)
        database.owner.execute("update chat.conversations set status = 'closed'")
        later(database, 5)
        run(database)
        database.owner.execute("update chat.conversations set status = 'open'")
        with database.acting(bob) as connection:
            code = refused(call, connection, "update_scheduled_message", made["id"], None, "better")
            assert code == "send_at_out_of_range"
            connection.execute(
                "select chat.update_scheduled_message(%s, now() + interval '9 min')", (made["id"],)
            )
        assert run(database) == {}
        later(database, 9)
        assert run(database) == {made["id"]: None}

    def test_slow_mode_makes_it_wait(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            first, second = schedule(connection, room, "one"), schedule(connection, room, "two")
        database.owner.execute("update chat.conversations set slow_mode_seconds = 90")
        later(database, 5)
        assert sorted(run(database).values(), key=str) == [None, "slow_mode"]
        assert run(database) == {}
        later(database, 6)
        assert list(run(database).values()) == ["slow_mode"]
        later(database, 7)
        assert list(run(database).values()) == [None]
        assert len(bodies(database)) == 3
        assert waiting(database, bob) == {}
        assert {first["id"], second["id"]} == {
            str(row[0])
            for row in database.owner.execute("select id from chat.messages where seq > 1")
        }

    def test_sent_by_hand_with_the_same_id(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            made = schedule(connection, room)
            connection.execute("select chat.send_message(%s, 'by hand', %s)", (room, made["id"]))
        later(database, 5)
        assert run(database) == {made["id"]: None}
        assert bodies(database) == ["first", "by hand"]
        assert waiting(database, bob) == {}


class TestRuns:
    """At once, killed, and in nobody's name."""

    def test_at_once(self, group):
        database, users, room = group
        for user in users:
            with database.acting(user) as connection:
                (other,) = connection.execute(
                    "select (chat.start_group('Other', %s::uuid[])).id", (users,)
                ).fetchone()
                for number in range(10):
                    schedule(connection, (room, other)[number % 2])
        later(database, 5)
        barrier = threading.Barrier(6)

        def work(_):
            with psycopg.connect(database.url, autocommit=True) as connection:
                barrier.wait(30)
                done = []
                while rows := connection.execute(
                    "select id, error_code from chat_private.send_due_messages(3)"
                ).fetchall():
                    done += rows
                return done

        with ThreadPoolExecutor(6) as pool:
            done = [row for rows in pool.map(work, range(6)) for row in rows]
        assert len({row[0] for row in done}) == len(done) == 30
        assert {row[1] for row in done} == {None}
        assert len(bodies(database)) == 31
        assert database.owner.execute(
            "select count(*) from chat.scheduled_messages"
        ).fetchone() == (0,)

    def test_killed_before_its_end(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            made = {schedule(connection, room)["id"] for _ in range(3)}
        later(database, 5)
        before = state(database)
        with psycopg.connect(database.url) as connection:
            rows = connection.execute("select id from chat_private.send_due_messages()").fetchall()
            assert {str(row[0]) for row in rows} == made
            # Meanwhile another run finds nothing and waits for nothing.
            assert run(database) == {}
            database.owner.execute(
                "select pg_terminate_backend(%s)", (connection.info.backend_pid,)
            )
            with pytest.raises(psycopg.OperationalError):
                connection.execute("select 1")
        assert state(database) == before
        assert run(database) == dict.fromkeys(made)
        assert bodies(database) == ["first", "later", "later", "later"]

    def test_a_busy_database_is_no_refusal(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            made = schedule(connection, room)
        later(database, 5)
        with psycopg.connect(database.url) as blocker:
            blocker.execute("select chat_private.lock_conversation(%s)", (room,))
            database.owner.execute("set lock_timeout = '50ms'")
            assert run(database) == {made["id"]: "55P03"}
            database.owner.execute("reset lock_timeout")
            blocker.rollback()
        assert waiting(database, bob) == {made["id"]: None}
        later(database, 6)
        assert run(database) == {made["id"]: None}

    def test_the_caller_is_who_they_were(self, group):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            schedule(connection, room)
        later(database, 5)
        with database.owner.transaction():
            run(database)
            assert database.owner.execute("select auth.uid()").fetchone() == (None,)

    @pytest.mark.parametrize("role", ["authenticated", "service_role", "anon"])
    def test_not_for_clients(self, group, role):
        database, (alice, _, _), _ = group
        with (
            database.acting(alice, role=role) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("select * from chat_private.send_due_messages()")
