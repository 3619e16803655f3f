"""Ways in that were tried by hand, each of which once succeeded."""

from __future__ import annotations

import json
import threading

import psycopg
import pytest

ADD = "select count(*) from chat.add_participants(%s, %s::uuid[], see_history => %s)"
SEND = "select (chat.send_message(%s, %s)).seq"
TENANT = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def room(database):
    """alice owns a group with bob, an admin; charlie and mallory are in the tenant."""
    users = {name: database.user(name) for name in ("alice", "bob", "charlie", "mallory")}
    room = call(
        database,
        users["alice"],
        "select (chat.start_group('Plans', array[%s]::uuid[])).id",
        users["bob"],
    )
    call(database, users["alice"], "select chat.set_role(%s, %s, 'admin')", room, users["bob"])
    return database, users, room


def call(database, user, query, *arguments):
    with database.acting(user) as connection:
        row = connection.execute(query, arguments).fetchone()
        return row[0] if row else None


def refused(database, user, query, *arguments):
    """The code of a refusal."""
    with database.acting(user) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(query, arguments)
    return error.value.diag.message_detail or error.value.sqlstate


def set_tenant_role(database, user, role):
    database.owner.execute(
        "update chat.tenant_members set role = %s where user_id = %s", (role, user)
    )


def test_the_maker_of_a_group_who_was_removed_does_not_read_it_by_making_it_again(room):
    database, users, room = room
    call(database, users["alice"], "select chat.set_role(%s, %s, 'owner')", room, users["bob"])
    call(database, users["bob"], "select chat.remove_participant(%s, %s)", room, users["alice"])
    again = "select (chat.start_group('Plans', '{}', %s)).title"
    assert refused(database, users["alice"], again, room) == "conversation_not_found"


def test_a_moderator_does_not_take_over_the_ban_of_an_owner(room):
    database, users, _ = room
    set_tenant_role(database, users["alice"], "owner")
    set_tenant_role(database, users["mallory"], "moderator")
    call(database, users["alice"], "select chat.ban_user(%s)", users["charlie"])
    bans = "select jsonb_agg(b) from chat.bans as b"
    before = database.owner.execute(bans).fetchone()
    again = "select chat.ban_user(%s, expires_at => now() + interval '1 second')"
    assert refused(database, users["mallory"], again, users["charlie"]) == "outranked"
    lift = "select chat.unban_user(%s)"
    assert refused(database, users["mallory"], lift, users["charlie"]) == "outranked"
    assert database.owner.execute(bans).fetchone() == before
    # Of one that is gone, everybody who moderates takes over.
    database.owner.execute("update chat.tenant_members set removed_at = now() where role = 'owner'")
    call(database, users["mallory"], "select chat.unban_user(%s)", users["charlie"])


@pytest.mark.parametrize("meanwhile", ["remove_participant(%s, %s)", "set_role(%s, %s, 'member')"])
def test_an_admin_deletes_nothing_once_they_are_none(room, meanwhile):
    database, users, room = room
    call(database, users["alice"], SEND, room, "keep")
    outcome = []

    def delete():
        outcome.append(refused(database, users["bob"], "select chat.delete_message(%s, 1)", room))

    with database.acting(users["alice"]) as connection, connection.transaction():
        connection.execute(f"select chat.{meanwhile}".encode(), (room, users["bob"]))
        thread = threading.Thread(target=delete)
        thread.start()
        _wait_for_a_lock(database)
    thread.join(30)
    assert outcome in (["conversation_not_found"], ["not_allowed_to_delete"])
    assert database.owner.execute("select body from chat.messages").fetchone() == ("keep",)


def _wait_for_a_lock(database):
    event = threading.Event()
    while not database.owner.execute(
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock'"
        " and datname = current_database())"
    ).fetchone()[0]:
        event.wait(0.01)


def test_a_stranger_waits_for_no_lock_and_holds_none(room):
    database, users, room = room
    with database.acting(users["alice"]) as connection, connection.transaction():
        connection.execute(SEND, (room, "busy"))
        for attempt in ("set_slow_mode(%s, 5)", "silence_participant(%s, %s)", "leave(%s)"):
            arguments = (room, users["bob"])[: attempt.count("%s")]
            with database.acting(users["mallory"]) as stranger:
                stranger.execute("set statement_timeout = '5s'")
                with pytest.raises(psycopg.Error) as error:
                    stranger.execute(f"select chat.{attempt}".encode(), arguments)
            assert error.value.diag.message_detail == "conversation_not_found"


def test_an_admin_gives_no_history_that_they_have_not_got(room):
    database, users, room = room
    call(database, users["alice"], SEND, room, "before")
    call(database, users["alice"], ADD, room, [users["mallory"]], False)
    call(database, users["alice"], "select chat.set_role(%s, %s, 'admin')", room, users["mallory"])
    call(database, users["mallory"], ADD, room, [users["charlie"]], True)
    call(database, users["alice"], SEND, room, "after")
    for name in ("mallory", "charlie"):
        assert call(database, users[name], "select array_agg(body) from chat.messages") == ["after"]


def heard(database, topic):
    return database.owner.execute(
        "select coalesce(jsonb_agg(payload order by inserted_at, payload ->> 'rev'), '[]')"
        " from realtime.messages where topic = %s",
        (topic,),
    ).fetchone()[0]


def test_who_joined_late_hears_nothing_of_what_was_said_before(room):
    database, users, room = room
    call(database, users["alice"], SEND, room, "secret one")
    call(database, users["alice"], ADD, room, [users["mallory"]], False)
    call(database, users["alice"], "select chat.edit_message(%s, 1, 'secret two')", room)
    call(database, users["bob"], "select chat.react(%s, 1, 'secret_three')", room)
    call(database, users["alice"], SEND, room, "for all")
    epoch = database.owner.execute("select epoch from chat.conversations").fetchone()[0]
    topic, inbox = f"conversation:{room}:{epoch}", f"user:{users['mallory']}"
    for events in (heard(database, topic), heard(database, inbox)):
        assert "secret" not in json.dumps(events)
        assert [event.get("seq") for event in events if "seq" in event] == [1, 1, 2]
        assert events[-1]["message"]["body"] == "for all"
    # Coming back without what was said meanwhile is joining late, too.
    call(database, users["alice"], "select chat.remove_participant(%s, %s)", room, users["mallory"])
    call(database, users["alice"], SEND, room, "secret four")
    call(database, users["alice"], ADD, room, [users["mallory"]], False)
    moved = database.owner.execute("select epoch from chat.conversations").fetchone()[0]
    assert moved == epoch + 2
    assert heard(database, f"conversation:{room}:{moved}") == []


def test_of_people_elsewhere_nothing_is_told_not_even_their_blocks(room):
    database, users, room = room
    database.owner.execute("insert into chat.tenants (slug, name) values ('other', 'Other')")
    for name in ("charlie",):
        database.owner.execute(
            "insert into chat.tenant_members (tenant_id, user_id)"
            " select id, %s from chat.tenants where slug = 'other'",
            (users[name],),
        )
        database.owner.execute(
            "delete from chat.tenant_members where user_id = %s and tenant_id = %s",
            (users[name], TENANT),
        )
        with database.acting(users[name]) as connection:
            connection.execute(
                "insert into chat.blocks (blocked_id) values (%s)", (users["alice"],)
            )
    start = "select chat.start_group('G', array[%s]::uuid[])"
    assert refused(database, users["alice"], start, users["charlie"]) == "user_not_found"
    add = "select chat.add_participants(%s, array[%s]::uuid[])"
    assert refused(database, users["alice"], add, room, users["charlie"]) == "user_not_found"


def test_who_left_a_subject_does_not_open_it_again(room):
    database, users, _ = room
    database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
    opened = "select chat.open_subject('order', '1', %s)"
    both = json.dumps([{"user_id": users[name]} for name in ("alice", "bob")])
    call(database, users["alice"], opened, both)
    leave = "update chat.participants set left_at = '2020-01-01' where user_id = %s"
    database.owner.execute(leave, (users["bob"],))
    assert refused(database, users["bob"], opened, both) == "conversation_not_found"
    # Nor does anybody when nobody is left in it.
    database.owner.execute(leave, (users["alice"],))
    for name in ("alice", "bob", "mallory"):
        assert refused(database, users[name], opened, both) == "conversation_not_found"


def test_who_may_open_no_subject_does_not_learn_which_there_are(room):
    database, users, _ = room
    with database.connect(role="service_role") as connection:
        connection.execute(
            "select chat.open_subject('order', '42', %s, tenant_id => %s)",
            (json.dumps([{"user_id": users["alice"]}]), TENANT),
        )
    for subject in ("42", "43"):
        ask = "select chat.open_subject('order', %s)"
        assert refused(database, users["mallory"], ask, subject) == "start_not_allowed"


def test_a_cursor_names_a_conversation_once(room):
    database, users, room = room
    cursor = call(database, users["alice"], "select chat.sync() ->> 'cursor'")
    entry = cursor.removeprefix("v1.")
    # The same id has several spellings: the last character has bits to spare.
    other = entry[:21] + chr(ord(entry[21]) + 1) + entry[22:]
    for forged in (f"v1.{entry}.{entry}", f"v1.{entry}.{other}"):
        ask = "select chat.sync(%s)"
        assert refused(database, users["alice"], ask, forged) == "sync_cursor_invalid"
    assert call(database, users["alice"], "select chat.sync(%s) ->> 'cursor'", cursor) == cursor


def test_who_is_silenced_does_not_write_by_typing(room):
    database, users, room = room
    topic = f"conversation:{room}:1:typing"

    def may(purpose):
        with database.owner.transaction():
            database.owner.execute(
                "select set_config('request.jwt.claims', %s, true)",
                (json.dumps({"sub": users["bob"]}),),
            )
            return database.owner.execute(
                "select chat_private.can_use_topic(%s, %s)", (topic, purpose)
            ).fetchone()[0]

    assert (may("hear"), may("write")) == (True, True)
    silence = "select chat.silence_participant(%s, %s, now() + interval '1 hour')"
    call(database, users["alice"], silence, room, users["bob"])
    assert (may("hear"), may("write")) == (True, False)
    call(database, users["alice"], "select chat.silence_participant(%s, %s)", room, users["bob"])
    call(database, users["alice"], "select chat.update_conversation(%s, status => 'closed')", room)
    assert (may("hear"), may("write")) == (True, False)


def test_sending_again_does_not_show_what_has_expired(room):
    database, users, room = room
    send = "select (chat.send_message(%s, 'secret', id => %s)).body"
    message_id = "5f6b3c1e-0000-4000-8000-000000000001"
    assert call(database, users["alice"], send, room, message_id) == "secret"
    assert call(database, users["alice"], send, room, message_id) == "secret"
    database.owner.execute("update chat.messages set expires_at = now()")
    assert call(database, users["alice"], send, room, message_id) is None


class TestWaysThatStayShut:
    """PostgreSQL and the policies hold; these say so of what is here."""

    def test_a_function_that_tells_what_it_is_given_is_given_nothing(self, room):
        database, users, room = room
        call(database, users["alice"], SEND, room, "secret")
        with database.acting(users["mallory"]) as stranger:
            told = []
            stranger.add_notice_handler(lambda notice: told.append(notice.message_primary))
            stranger.execute(
                "create function pg_temp.tell(said text) returns boolean language plpgsql"
                " cost 0.0001 as $$ begin raise notice '%', said; return true; end $$"
            )
            for table in ("chat.messages as m", "chat.message_receipts as r, chat.messages as m"):
                stranger.execute(f"select from {table} where pg_temp.tell(m.body)".encode())
            # An error tells as much as a notice.
            stranger.execute("select from chat.messages where 1 / (length(body) - 6) = 1")
        assert told == []

    def test_what_a_view_counts_is_told_to_those_who_take_part(self, room):
        """A stranger who finds a way into chat_private."""
        database, users, room = room
        database.owner.execute("grant usage on schema chat_private to authenticated")
        for user in (None, users["bob"]):
            count = "select chat_private.expired_unread(%s, %s)"
            assert refused(database, users["mallory"], count, room, user) == (
                "conversation_not_found"
            )

    def test_statistics_show_no_values(self, room):
        database, users, room = room
        for number in range(20):
            call(database, users["alice"], SEND, room, f"secret {number % 2}")
        database.owner.execute("analyze chat.messages")
        assert database.owner.execute(
            "select count(*) > 0 from pg_stats where schemaname = 'chat'"
        ).fetchone() == (True,)
        seen = "select count(*) from pg_stats where schemaname in ('chat', 'chat_private')"
        assert call(database, users["mallory"], seen) == 0

    def test_on_conflict_does_not_tell_what_is_there(self, room):
        database, users, room = room
        with database.acting(users["alice"]) as connection:
            connection.execute("insert into chat.blocks (blocked_id) values (%s)", (users["bob"],))
        ask = (
            "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)"
            " on conflict do nothing"
        )
        for blocked in (users["bob"], users["charlie"]):
            assert refused(database, users["mallory"], ask, users["alice"], blocked) == "42501"

    @pytest.mark.parametrize("participants", ['{"user_id": 1}', '"x"', "[1]", '[{"user_id": "x"}]'])
    def test_people_of_another_shape_open_nothing(self, room, participants):
        database, users, _ = room
        database.owner.execute("update chat.settings set who_may_open_subjects = 'members'")
        ask = "select chat.open_subject('order', '1', %s)"
        assert refused(database, users["alice"], ask, participants) in ("22023", "22P02")
        assert database.owner.execute("select count(*) from chat.conversations").fetchone() == (1,)
