"""Polls: typed metadata, one vote or several, counts, and an end."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb

OPTIONS = [{"id": "a", "text": "Apples"}, {"id": "b", "text": "Pears"}, {"id": "c", "text": "Figs"}]
POLL = {"question": "What fruit?", "options": OPTIONS}


def send(connection, room, kind="poll", **metadata):
    return connection.execute(
        "select (chat.send_message(%s, 'x', kind => %s, metadata => %s)).seq",
        (room, kind, Jsonb(metadata)),
    ).fetchone()[0]


def call(connection, function, *arguments):
    marks = ", ".join(["%s"] * len(arguments))
    return connection.execute(f"select chat.{function}({marks})", arguments).fetchone()[0]


def refused(connection, function, *arguments):
    with pytest.raises(psycopg.Error) as error:
        call(connection, function, *arguments)
    return error.value.diag.constraint_name or error.value.diag.message_detail


def counts(results):
    return {option["id"]: option["count"] for option in results["options"]}


def state(database):
    return database.owner.execute(
        "select (select jsonb_agg(v order by v) from chat.poll_votes as v), "
        "(select jsonb_agg(m order by m) from chat.messages as m), "
        "(select jsonb_agg(c order by c) from chat.conversations as c)"
    ).fetchone()


def later(database, interval):
    database.owner.execute(
        "create or replace function chat_private.now() returns timestamptz language plpgsql "
        f"stable as $$begin return pg_catalog.now() + interval '{interval}'; end;$$"
    )


@pytest.fixture
def group(database):
    """Three users and their group, with a poll of the second."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    with database.acting(users[1]) as connection:
        send(connection, room, **POLL)
    return database, users, room


class TestMetadata:
    """What messages_metadata_kind_check lets in."""

    @pytest.mark.parametrize(
        ("kind", "metadata"),
        [
            ("text", {"anything": [1]}),
            ("text", {"mention_all": False}),
            ("custom", {"anything": {"deep": None}}),
            ("image", {}),
            ("image", {"name": "a.png", "width": 10, "height": 20, "size_bytes": 0, "more": 1}),
            ("audio", {"duration_seconds": 1.5, "mime_type": "audio/ogg"}),
            ("video", {"alt": "a cat"}),
            ("file", {"size_bytes": 10485760}),
            ("location", {"lat": -90, "lon": 180}),
            ("location", {"lat": 0.5, "lon": 1e-3, "name": "Home", "accuracy_meters": 3}),
            ("contact", {"name": "Dana"}),
            ("contact", {"user_id": "00000000-0000-4000-8000-000000000001"}),
            ("poll", POLL),
            ("poll", {**POLL, "multiple": True, "closes_at": "2030-01-01T00:00:00Z"}),
            ("poll", {**POLL, "closes_at": "2030-01-01T00:00:00.123456+02:00"}),
        ],
    )
    def test_right(self, group, kind, metadata):
        database, (alice, _, _), room = group
        with database.acting(alice) as connection:
            assert send(connection, room, kind, **metadata) == 2

    @pytest.mark.parametrize(
        ("kind", "metadata"),
        [
            ("text", {"mention_all": "yes"}),
            ("image", {"width": 0}),
            ("image", {"width": "10"}),
            ("image", {"name": ""}),
            ("image", {"mime_type": 1}),
            ("file", {"size_bytes": -1}),
            ("audio", {"duration_seconds": None}),
            ("video", {"alt": "x" * 1001}),
            ("location", {}),
            ("location", {"lat": 1}),
            ("location", {"lat": None, "lon": 1}),
            ("location", {"lat": "1", "lon": 1}),
            ("location", {"lat": 90.1, "lon": 1}),
            ("location", {"lat": 1, "lon": -181}),
            ("contact", {}),
            ("contact", {"phone": "1"}),
            ("contact", {"name": None}),
            ("contact", {"user_id": "me"}),
            ("contact", {"user_id": None}),
            ("poll", {}),
            ("poll", {**POLL, "question": " "}),
            ("poll", {**POLL, "question": None}),
            ("poll", {"options": OPTIONS}),
            ("poll", {**POLL, "question": "x" * 301}),
            ("poll", {**POLL, "options": OPTIONS[:1]}),
            ("poll", {**POLL, "options": {"a": 1}}),
            ("poll", {**POLL, "options": [1, 2]}),
            ("poll", {**POLL, "options": [*OPTIONS, OPTIONS[0]]}),
            ("poll", {**POLL, "options": [*OPTIONS, {"id": "d"}]}),
            ("poll", {**POLL, "options": [*OPTIONS, {"id": "", "text": "x"}]}),
            ("poll", {**POLL, "options": [*OPTIONS, {"id": "d", "text": " "}]}),
            ("poll", {**POLL, "options": [{"id": str(n), "text": "x"} for n in range(21)]}),
            ("poll", {**POLL, "multiple": "yes"}),
            ("poll", {**POLL, "multiple": None}),
            ("poll", {**POLL, "closes_at": "tomorrow"}),
            ("poll", {**POLL, "closes_at": "2030-02-30T00:00:00Z"}),
            ("poll", {**POLL, "closes_at": "2030-01-01T00:00:00"}),
            ("poll", {**POLL, "closes_at": 1}),
            ("poll", {**POLL, "closes_at": None}),
        ],
    )
    def test_wrong(self, group, kind, metadata):
        database, (alice, _, _), room = group
        before = state(database)
        with (
            database.acting(alice) as connection,
            pytest.raises(psycopg.errors.CheckViolation) as error,
        ):
            send(connection, room, kind, **metadata)
        assert error.value.diag.constraint_name == "messages_metadata_kind_check"
        assert state(database) == before


def test_votes_are_counted_and_replaced(group):
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        call(connection, "vote", room, 1, ["a"])
        results = call(connection, "vote", room, 1, ["b"])
        assert counts(results) == {"a": 0, "b": 1, "c": 0}
        assert [option["is_mine"] for option in results["options"]] == [False, True, False]
    with database.acting(bob) as connection:
        results = call(connection, "vote", room, 1, ["b", "b"])
        assert (counts(results), results["voter_count"]) == ({"a": 0, "b": 2, "c": 0}, 2)
        assert counts(call(connection, "vote", room, 1, [])) == {"a": 0, "b": 1, "c": 0}
        (column,) = connection.execute(
            "select chat.poll_results(m) from chat.messages as m"
        ).fetchone()
        assert counts(column) == {"a": 0, "b": 1, "c": 0}
        assert not column["is_closed"]


def test_voting_takes_a_rev_and_the_same_vote_none(group):
    database, (alice, _, _), room = group
    with database.acting(alice) as connection:
        call(connection, "vote", room, 1, ["a"])
        before = state(database)
        call(connection, "vote", room, 1, ["a"])
    assert state(database) == before
    payload, rev, message_rev = database.owner.execute(
        "select r.payload, c.rev, m.rev from realtime.messages as r, chat.conversations as c, "
        "chat.messages as m where r.event = 'poll_voted' and r.topic like 'conversation:%'"
    ).fetchone()
    assert (payload["option_ids"], payload["user_id"], payload["seq"]) == (["a"], alice, 1)
    assert payload["rev"] == rev == message_rev


def test_several_options_where_the_poll_says_so(group):
    database, (alice, _, _), room = group
    with database.acting(alice) as connection:
        before = state(database)
        assert refused(connection, "vote", room, 1, ["a", "b"]) == "one_option_only"
        assert state(database) == before
        send(connection, room, **POLL, multiple=True)
        results = call(connection, "vote", room, 2, ["a", "b"])
        assert (counts(results), results["voter_count"]) == ({"a": 1, "b": 1, "c": 0}, 1)
        assert counts(call(connection, "vote", room, 2, ["b", "c"])) == {"a": 0, "b": 1, "c": 1}


@pytest.mark.parametrize("options", [["d"], ["a", "d"], [None], ["A"]])
def test_unknown_options(group, options):
    database, (alice, _, _), room = group
    before = state(database)
    with database.acting(alice) as connection:
        assert refused(connection, "vote", room, 1, options) == "unknown_option"
    assert state(database) == before


def test_only_polls_have_votes(group):
    database, (alice, _, _), room = group
    with database.acting(alice) as connection:
        send(connection, room, "text")
        before = state(database)
        assert refused(connection, "vote", room, 2, ["a"]) == "not_a_poll"
        assert refused(connection, "close_poll", room, 2) == "not_a_poll"
        (results,) = connection.execute(
            "select chat.poll_results(m) from chat.messages as m where seq = 2"
        ).fetchone()
    assert results is None
    assert state(database) == before


class TestTheEnd:
    """Closed by hand or by the clock."""

    @pytest.mark.parametrize("closer", [0, 1])
    def test_its_sender_and_admins_close_it(self, group, closer):
        database, users, room = group
        with database.acting(users[2]) as connection:
            call(connection, "vote", room, 1, ["a"])
        with database.acting(users[closer]) as connection:
            assert call(connection, "close_poll", room, 1)["is_closed"]
            before = state(database)
            assert call(connection, "close_poll", room, 1)["is_closed"]
        with database.acting(users[2]) as connection:
            assert refused(connection, "vote", room, 1, ["b"]) == "poll_closed"
            assert refused(connection, "vote", room, 1, []) == "poll_closed"
        assert state(database) == before
        (event,) = database.owner.execute(
            "select payload from realtime.messages where event = 'poll_closed' "
            "and topic like 'conversation:%'"
        ).fetchone()
        assert event["seq"] == 1

    def test_others_do_not(self, group):
        database, users, room = group
        before = state(database)
        with database.acting(users[2]) as connection:
            assert refused(connection, "close_poll", room, 1) == "not_allowed_to_close"
        assert state(database) == before

    def test_not_by_who_may_not_write(self, group):
        database, (_, bob, _), room = group
        database.owner.execute(
            "update chat.participants set silenced_until = 'infinity' where user_id = %s", (bob,)
        )
        before = state(database)
        with database.acting(bob) as connection:
            assert refused(connection, "close_poll", room, 1) == "silenced"
        assert state(database) == before

    def test_at_its_time(self, group):
        database, (alice, _, _), room = group
        (soon,) = database.owner.execute("select to_jsonb(now() + interval '1 hour')").fetchone()
        with database.acting(alice) as connection:
            send(connection, room, **POLL, closes_at=soon)
            call(connection, "vote", room, 2, ["a"])
            later(database, "1 hour")
            before = state(database)
            assert refused(connection, "vote", room, 2, ["b"]) == "poll_closed"
            assert call(connection, "close_poll", room, 2)["is_closed"]
        assert state(database) == before

    @pytest.mark.parametrize(
        "metadata", [{**POLL, "question": "Which?"}, {**POLL, "options": OPTIONS[:2]}, POLL]
    )
    def test_a_poll_is_not_edited_or_opened_again(self, group, metadata):
        database, (_, bob, _), room = group
        with database.acting(bob) as connection:
            if metadata == POLL:
                call(connection, "close_poll", room, 1)
            before = state(database)
            edit = ("edit_message", room, 1, "new", Jsonb(metadata))
            assert refused(connection, *edit) == "immutable_column"
            assert state(database) == before
            # Its caption can be.
            call(connection, "edit_message", room, 1, "new")
        with pytest.raises(psycopg.Error) as error:
            database.owner.execute("update chat.messages set kind = 'custom' where seq = 1")
        assert error.value.diag.message_detail == "immutable_column"


class TestWhatCannotBeReadHasNoResults:
    """Neither rows nor counts, not even for a made-up message row."""

    def seen(self, database, user, room):
        with database.acting(user) as connection:
            (made_up,) = connection.execute(
                "select chat.poll_results(jsonb_populate_record(null::chat.messages, %s))",
                (
                    Jsonb(
                        {"conversation_id": str(room), "seq": 1, "kind": "poll", "metadata": POLL}
                    ),
                ),
            ).fetchone()
            (rows,) = connection.execute("select count(*) from chat.poll_votes").fetchone()
        return made_up and counts(made_up), rows

    @pytest.mark.parametrize("reason", ["hidden", "deleted", "expired", "left", "stranger"])
    def test_unreadable(self, group, reason):
        database, (alice, bob, charlie), room = group
        with database.acting(alice) as connection:
            call(connection, "vote", room, 1, ["a"])
        assert self.seen(database, charlie, room) == ({"a": 1, "b": 0, "c": 0}, 1)
        reader = charlie
        if reason == "expired":
            database.owner.execute("update chat.messages set expires_at = now()")
        elif reason == "stranger":
            reader = database.user("stranger")
        else:
            actor, function, arguments = {
                "hidden": (charlie, "hide_message", (room, 1)),
                "deleted": (bob, "delete_message", (room, 1)),
                "left": (charlie, "leave", (room,)),
            }[reason]
            with database.acting(actor) as connection:
                call(connection, function, *arguments)
        before = state(database)
        assert self.seen(database, reader, room) == (None, 0)
        if reason != "hidden":
            with database.acting(reader) as connection:
                assert refused(connection, "vote", room, 1, ["a"]) in (
                    "message_not_found",
                    "conversation_not_found",
                )
        assert state(database) == before


def test_sixteen_vote_at_once(database):
    users = [database.user(f"user_{number}") for number in range(16)]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
        send(connection, room, **POLL)
    barrier = threading.Barrier(16)

    def vote(number):
        with database.acting(users[number]) as connection:
            barrier.wait(30)
            for option in ("abc"[number % 3], "ab"[number % 2]):
                call(connection, "vote", room, 1, [option])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(vote, range(16)))
    with database.acting(users[0]) as connection:
        (results,) = connection.execute(
            "select chat.poll_results(m) from chat.messages as m"
        ).fetchone()
    assert (counts(results), results["voter_count"]) == ({"a": 8, "b": 8, "c": 0}, 16)
