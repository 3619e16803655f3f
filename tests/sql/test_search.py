"""Searching: what is found by which words, and what is not, by whom."""

from __future__ import annotations

import psycopg
import pytest

FIND = (
    "select (s.message).body, s.snippet, s.rank, s.next_cursor, (s.message).seq "
    "from chat.search_messages("
)


def search(database, user, query, **arguments):
    """The rows found, as (body, snippet, rank, next_cursor, seq)."""
    names = "".join(f", {name} => %({name})s" for name in arguments)
    with database.acting(user) as connection:
        return connection.execute(
            f"{FIND}%(query)s{names}) as s", {"query": query, **arguments}
        ).fetchall()


def bodies(database, user, query, **arguments):
    return [row[0] for row in search(database, user, query, **arguments)]


def refused(database, user, query, **arguments):
    with pytest.raises(psycopg.Error) as error:
        search(database, user, query, **arguments)
    return error.value.diag.message_detail, error.value.sqlstate


def send(database, user, room, body, **arguments):
    names = "".join(f", {name} => %({name})s" for name in arguments)
    with database.acting(user) as connection:
        return connection.execute(
            f"select (chat.send_message(%(room)s, %(body)s{names})).seq",
            {"room": room, "body": body, **arguments},
        ).fetchone()[0]


@pytest.fixture
def group(database):
    """Three users, the first's group, and what the first and the second said there."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
    send(database, users[0], room, "the red boat")
    send(database, users[1], room, "a blue boat, and a red car")
    send(database, users[0], room, "cars & <b>boats</b>")
    return database, users, room


class TestWords:
    @pytest.mark.parametrize(
        ("query", "seqs"),
        [
            ("boat", [2, 1]),
            ("BOAT", [2, 1]),
            ("red boat", [2, 1]),
            ('"red boat"', [1]),
            ("boats or car", [3, 2]),
            ("boat -car", [1]),
            ("' 0", None),
            ("train", []),
            ("simple", []),
        ],
    )
    def test_the_syntax_of_the_web(self, group, query, seqs):
        database, (_, _, charlie), _room = group
        if seqs is None:
            assert bodies(database, charlie, query) == []
        else:
            assert [row[4] for row in search(database, charlie, query)] == seqs

    def test_marks_of_the_index_are_not_words(self, group):
        database, (alice, _, _), room = group
        for query in (str(room), f"' {room}'", "' simple'", '" simple"'):
            assert bodies(database, alice, query) == []

    def test_filters(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            (other,) = connection.execute("select (chat.start_direct(%s)).id", (bob,)).fetchone()
        send(database, alice, other, "boat here")
        assert bodies(database, bob, "boat", conversation_id=other) == ["boat here"]
        assert [r[4] for r in search(database, bob, "boat", conversation_id=room)] == [2, 1]
        assert [r[4] for r in search(database, alice, "boat", sender_id=bob)] == [2]
        (times,) = database.owner.execute(
            "select array_agg(created_at order by seq) from chat.messages "
            "where conversation_id = %s and kind <> 'system'",
            (room,),
        ).fetchone()
        both = {"sent_after": times[0], "sent_before": times[1]}
        assert bodies(database, alice, "boat", **both) == ["the red boat"]

    def test_ranked_puts_the_best_first(self, group):
        database, (alice, _, _), room = group
        send(database, alice, room, "boat boat boat")
        send(database, alice, room, "one more boat among many other words")
        found = search(database, alice, "boat", order_by="ranked")
        assert found[0][0] == "boat boat boat"
        assert len(found) == 4
        ranks = [row[2] for row in found]
        assert ranks == sorted(ranks, reverse=True)
        assert ranks[0] > ranks[-1] > 0

    def test_the_snippet_is_escaped_html(self, group):
        database, (alice, _, _), room = group
        (row,) = search(database, alice, "boats")
        assert row[1] == "cars &amp; &lt;b&gt;<mark>boats</mark>&lt;/b&gt;"
        evil = """<img src=x onerror="alert('boots')"> </mark> &lt; boots"""
        send(database, alice, room, evil)
        (row,) = search(database, alice, "boots")
        left = row[1].replace("<mark>boots</mark>", "")
        assert left != row[1]
        assert not set("<>\"'") & set(left)

    def test_polls_files_and_places_are_found_by_what_they_say(self, group):
        database, (alice, _, _), room = group
        poll = '{"question": "Where to?", "options": [{"id": "a", "text": "Rome"},'
        poll += ' {"id": "b", "text": "Oslo"}]}'
        send(database, alice, room, None, kind="poll", metadata=poll)
        image = '{"name": "holiday.png", "alt": "a lighthouse"}'
        send(database, alice, room, "caption", kind="image", metadata=image)
        place = '{"lat": 1, "lon": 2, "name": "Harbour"}'
        send(database, alice, room, None, kind="location", metadata=place)
        send(database, alice, room, "note", metadata='{"alt": "secretly"}')
        found = {
            word: len(bodies(database, alice, word))
            for word in (
                "where",
                "oslo",
                "lighthouse",
                "holiday.png",
                "caption",
                "harbour",
                "secretly",
            )
        }
        assert found == {
            "where": 1,
            "oslo": 1,
            "lighthouse": 1,
            "holiday.png": 1,
            "caption": 1,
            "harbour": 1,
            "secretly": 0,
        }
        (row,) = search(database, alice, "oslo")
        assert "<mark>Oslo</mark>" in row[1]

    def test_edits_are_followed(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            connection.execute("select chat.edit_message(%s, 1, 'a green kite')", (room,))
        assert bodies(database, bob, "kite") == ["a green kite"]
        assert [r[4] for r in search(database, bob, "boat")] == [2]


class TestLanguage:
    def test_words_are_those_of_the_tenants_language(self, group):
        database, (alice, bob, _), room = group
        database.owner.execute(
            "update chat.tenant_members set role = 'admin' where user_id = %s", (alice,)
        )
        with database.acting(alice) as connection:
            connection.execute("update chat.settings set search_language = 'english'")
        send(database, bob, room, "she was running to the boats")
        assert bodies(database, alice, "runs") == ["she was running to the boats"]
        # What was sent before is still found, by the rules of then.
        assert [row[4] for row in search(database, alice, "boat")] == [4, 2, 1]
        assert [row[4] for row in search(database, alice, "boats")] == [4, 3]
        with database.acting(alice) as connection:
            connection.execute("update chat.settings set search_language = 'german'")
        send(database, bob, room, "drei Häuser am See")
        assert bodies(database, alice, "Haus") == ["drei Häuser am See"]
        assert bodies(database, alice, "runs") == ["she was running to the boats"]
        # An exclusion too is by the language of the message.
        assert [row[4] for row in search(database, alice, "boats -running")] == [3]

    def test_a_language_must_exist(self, group):
        database, *_ = group
        with pytest.raises(psycopg.errors.CheckViolation):
            database.owner.execute("update chat.settings set search_language = 'klingon'")

    def test_all_languages_that_can_be_set_exist(self, group):
        database, (alice, _, _), room = group
        names = database.owner.execute(
            "select m[1] from pg_constraint as c, "
            "regexp_matches(pg_get_constraintdef(c.oid), '''([a-z]+)''', 'g') as m "
            "where c.conname = 'settings_search_language_check'"
        ).fetchall()
        assert len(names) == 29
        for (name,) in names:
            database.owner.execute("update chat.settings set search_language = %s", (name,))
            send(database, alice, room, "zanzibar")
        assert len(search(database, alice, "zanzibar", page_size=100)) == 29

    def test_clients_do_not_change_what_was_before(self, group):
        database, (alice, _, _), _ = group
        with (
            database.acting(alice) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute("update chat.settings set past_search_languages = '{english}'")


class TestDenials:
    def test_who_does_not_take_part_finds_nothing(self, group):
        database, (alice, bob, _), room = group
        stranger = database.user("stranger")
        assert bodies(database, stranger, "boat") == []
        assert refused(database, stranger, "boat", conversation_id=room) == (
            "conversation_not_found",
            "PT404",
        )
        with database.acting(alice) as connection:
            connection.execute("select chat.remove_participant(%s, %s)", (room, bob))
        assert bodies(database, bob, "boat") == []
        assert bodies(database, bob, "boat", order_by="ranked") == []
        assert refused(database, bob, "boat", conversation_id=room)[0] == "conversation_not_found"
        assert [row[4] for row in search(database, alice, "boat")] == [2, 1]

    def test_another_tenant_finds_nothing(self, group):
        database, (alice, _, _), _ = group
        (tenant,) = database.owner.execute(
            "insert into chat.tenants (slug, name) values ('other', 'Other') returning id"
        ).fetchone()
        users = [database.user(name) for name in ("dora", "emil")]
        for user in users:
            database.owner.execute("delete from chat.tenant_members where user_id = %s", (user,))
            database.owner.execute(
                "insert into chat.tenant_members (tenant_id, user_id) values (%s, %s)",
                (tenant, user),
            )
        with database.acting(users[0]) as connection:
            (room,) = connection.execute(
                "select (chat.start_direct(%s)).id", (users[1],)
            ).fetchone()
        send(database, users[0], room, "our own boat")
        assert bodies(database, users[1], "boat") == ["our own boat"]
        assert bodies(database, users[1], "boat", sender_id=alice) == []
        assert len(bodies(database, alice, "boat")) == 2

    def test_who_joined_late_finds_what_came_after(self, group):
        database, (alice, _, _), room = group
        late = database.user("late")
        with database.acting(alice) as connection:
            connection.execute("select chat.add_participants(%s, array[%s]::uuid[])", (room, late))
            database.owner.execute(
                "update chat.participants set visible_from_seq = 2 where user_id = %s", (late,)
            )
        assert [row[4] for row in search(database, late, "boat")] == [2]

    @pytest.mark.parametrize("order_by", ["newest", "ranked"])
    def test_hidden_deleted_expired_and_blocked_are_not_found(self, group, order_by):
        database, (alice, bob, charlie), room = group

        def found(user):
            return [row[4] for row in search(database, user, "boat", order_by=order_by)]

        with database.acting(charlie) as connection:
            connection.execute("select chat.hide_message(%s, 1)", (room,))
        assert (found(charlie), sorted(found(alice))) == ([2], [1, 2])
        with database.acting(charlie) as connection:
            connection.execute("insert into chat.blocks (blocked_id) values (%s)", (bob,))
        # Whom somebody else blocked learns nothing.
        assert (found(charlie), sorted(found(bob))) == ([], [1, 2])
        database.owner.execute("update chat.messages set expires_at = now() where seq = 2")
        assert found(bob) == [1]
        with database.acting(alice) as connection:
            connection.execute("select chat.delete_message(%s, 1)", (room,))
        assert found(bob) == []
        (left,) = database.owner.execute(
            "select count(*) from chat.messages where body like '%%boat'"
        ).fetchone()
        assert left == 0

    @pytest.mark.parametrize(
        ("arguments", "code"),
        [
            ({"query": ""}, "search_query_empty"),
            ({"query": None}, "search_query_empty"),
            ({"query": " -- !? "}, "search_query_empty"),
            ({"query": "-boat"}, "search_query_empty"),
            ({"query": "boat or -car"}, "search_query_empty"),
            ({"query": "x" * 501}, "search_query_too_long"),
            ({"query": "boat", "order_by": "oldest"}, "search_order_unknown"),
            ({"query": "boat", "order_by": None}, "search_order_unknown"),
            ({"query": "boat", "page_size": 0}, "search_page_size_out_of_range"),
            ({"query": "boat", "page_size": 101}, "search_page_size_out_of_range"),
            ({"query": "boat", "page_size": None}, "search_page_size_out_of_range"),
            ({"query": "boat", "cursor": ""}, "search_cursor_invalid"),
            ({"query": "boat", "cursor": "newest~1~2~3"}, "search_cursor_invalid"),
        ],
    )
    def test_bad_arguments(self, group, arguments, code):
        database, (alice, _, _), _ = group
        assert refused(database, alice, **arguments) == (code, "22023")

    def test_only_stop_words(self, group):
        database, (alice, _, _), _ = group
        assert bodies(database, alice, "the") == ["the red boat"]
        database.owner.execute("update chat.settings set search_language = 'english'")
        assert refused(database, alice, "the and") == ("search_query_empty", "22023")

    def test_a_cursor_is_of_its_order(self, group):
        database, (alice, _, _), _ = group
        for order, other in (("newest", "ranked"), ("ranked", "newest")):
            cursor = search(database, alice, "boat", order_by=order)[0][3]
            assert refused(database, alice, "boat", order_by=other, cursor=cursor) == (
                "search_cursor_invalid",
                "22023",
            )

    def test_nobody_in_particular_may_search(self, database):
        for role in ("anon", "service_role"):
            with (
                database.acting(None, role=role) as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute("select chat.search_messages('boat')")
        with database.acting(None) as connection, pytest.raises(psycopg.Error) as error:
            connection.execute("select chat.search_messages('boat')")
        assert error.value.diag.message_detail == "sign_in_required"
