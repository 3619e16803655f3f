"""What changed since a cursor: nothing missed, nothing of others, told page by page."""

from __future__ import annotations

import contextlib
import random

import psycopg
import pytest


def call(database, user, function, *arguments):
    with database.acting(user) as connection:
        return connection.execute(
            f"select chat.{function}({', '.join(['%s'] * len(arguments))})", arguments
        ).fetchone()[0]


def sync(database, user, cursor=None, conversation=None, page_size=500):
    return call(database, user, "sync", cursor, conversation, page_size)


def entry(answer):
    """What an answer says of the one conversation it is about."""
    (only,) = answer["conversations"]
    return only


def seqs(answer):
    return [message["seq"] for message in entry(answer)["messages"]]


@pytest.fixture
def group(database):
    """Three users, the first's group and three messages of the first."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    with database.acting(users[0]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id", (users[1:],)
        ).fetchone()
        for _ in range(3):
            connection.execute("select chat.send_message(%s, 'x')", (room,))
    return database, users, str(room)


class TestFirst:
    """Without a cursor."""

    def test_every_conversation_is_to_be_loaded(self, group):
        database, (_, bob, _), room = group
        told = entry(sync(database, bob))
        assert (told["conversation_id"], told["resync"], told["messages"]) == (room, True, [])
        assert len(told["participants"]) == 3
        with database.acting(bob) as connection:
            (inbox,) = connection.execute("select to_jsonb(i) from chat.inbox as i").fetchone()
        assert told["conversation"] == inbox

    def test_then_nothing(self, group):
        database, (_, bob, _), _ = group
        first = sync(database, bob)
        again = sync(database, bob, first["cursor"])
        assert again == {**first, "conversations": []}

    def test_nothing_to_whom_nothing_is_told(self, group):
        database, _, _ = group
        answer = sync(database, database.user("diana"))
        assert answer == {"cursor": "v1", "has_more": False, "left": [], "conversations": []}


class TestChanges:
    """Each kind of change, once."""

    @pytest.mark.parametrize(
        ("function", "arguments", "changed"),
        [
            ("send_message", ("new",), [4]),
            ("edit_message", (2, "edited"), [2]),
            ("delete_message", (2,), [2]),
            ("react", (1, "👍"), [1]),
            ("pin_message", (3,), [3]),
        ],
    )
    def test_of_messages(self, group, function, arguments, changed):
        database, (alice, bob, _), room = group
        cursor = sync(database, bob)["cursor"]
        call(database, alice, function, room, *arguments)
        answer = sync(database, bob, cursor)
        assert seqs(answer) == changed
        assert not entry(answer)["resync"]
        assert sync(database, bob, answer["cursor"])["conversations"] == []

    def test_come_with_what_is_attached(self, group):
        database, (alice, bob, charlie), room = group
        cursor = sync(database, bob)["cursor"]
        call(database, alice, "react", room, 1, "👍")
        call(database, charlie, "react", room, 1, "👍")
        call(database, alice, "pin_message", room, 3)
        with database.acting(alice) as connection:
            connection.execute(
                "select chat.send_message(%s, 'hey', mentions => %s::uuid[])", (room, [bob])
            )
        told = entry(sync(database, bob, cursor))
        assert [message["reaction_summary"] for message in told["messages"]] == [
            [{"emoji": "👍", "count": 2, "is_mine": False}],
            [],
            [],
        ]
        assert [(m["message_seq"], m["user_id"]) for m in told["mentions"]] == [(4, bob)]
        assert [pin["message_seq"] for pin in told["pins"]] == [3]

    def test_the_root_of_a_thread_changes_with_the_thread(self, group):
        database, (alice, bob, charlie), room = group
        cursor = sync(database, bob)["cursor"]
        with database.acting(charlie) as connection:
            connection.execute("select chat.send_message(%s, 'a', thread_root_seq => 1)", (room,))
        answer = sync(database, bob, cursor)
        assert [(m["seq"], m["thread_count"]) for m in entry(answer)["messages"]] == [
            (1, 1),
            (4, 0),
        ]
        call(database, alice, "delete_message", room, 4)
        answer = sync(database, bob, answer["cursor"])
        assert [(m["seq"], m["thread_count"]) for m in entry(answer)["messages"]] == [
            (1, 0),
            (4, 0),
        ]

    def test_of_participants(self, group):
        database, (alice, bob, charlie), room = group
        cursor = sync(database, bob)["cursor"]
        diana = database.user("diana")
        call(database, charlie, "mark_read", room, 2)
        call(database, alice, "set_role", room, bob, "admin")
        with database.acting(alice) as connection:
            connection.execute("select chat.add_participants(%s, array[%s]::uuid[])", (room, diana))
        told = entry(sync(database, bob, cursor))
        changed = {p["user_id"]: p for p in told["participants"]}
        assert changed.keys() == {bob, charlie, diana}
        assert changed[charlie]["last_read_seq"] == 2
        assert changed[bob]["role"] == told["conversation"]["role"] == "admin"

    def test_of_the_conversation(self, group):
        database, (alice, bob, _), room = group
        cursor = sync(database, bob)["cursor"]
        with database.acting(alice) as connection:
            connection.execute("select chat.update_conversation(%s, title => 'New')", (room,))
        told = entry(sync(database, bob, cursor))
        assert (told["conversation"]["title"], told["messages"]) == ("New", [])

    def test_private_ones_are_told_to_oneself(self, group):
        database, (alice, bob, _), room = group
        cursors = {user: sync(database, user)["cursor"] for user in (alice, bob)}
        call(database, bob, "hide_message", room, 2)
        with database.acting(bob) as connection:
            connection.execute(
                "insert into chat.drafts (conversation_id, body) values (%s, 'half a')", (room,)
            )
            connection.execute(
                "update chat.participant_settings set is_pinned = true where conversation_id = %s",
                (room,),
            )
        answer = sync(database, bob, cursors[bob])
        private = entry(answer)["private"]
        assert private["hidden_seqs"] == [2]
        assert [draft["body"] for draft in private["drafts"]] == ["half a"]
        assert private["settings"]["is_pinned"]
        assert sync(database, alice, cursors[alice])["conversations"] == []
        call(database, bob, "unhide_message", room, 2)
        answer = sync(database, bob, answer["cursor"])
        assert (seqs(answer), entry(answer)["private"]["hidden_seqs"]) == ([2], [])


class TestMembership:
    """Coming and going."""

    def test_who_left_is_told_and_no_more(self, group):
        database, (alice, bob, _), room = group
        cursor = sync(database, bob)["cursor"]
        call(database, alice, "remove_participant", room, bob)
        call(database, alice, "send_message", room, "secret")
        answer = sync(database, bob, cursor)
        assert (answer["left"], answer["conversations"]) == ([room], [])
        assert sync(database, bob, answer["cursor"])["left"] == []

    def test_who_comes_back_without_history_loads_anew(self, group):
        database, (alice, bob, _), room = group
        cursor = sync(database, bob)["cursor"]
        call(database, bob, "leave", room)
        with database.acting(alice) as connection:
            connection.execute(
                "select chat.add_participants(%s, array[%s]::uuid[], see_history => false)",
                (room, bob),
            )
        assert entry(sync(database, bob, cursor))["resync"]

    def test_a_new_conversation_appears(self, group):
        database, (alice, bob, _), _ = group
        cursor = sync(database, bob)["cursor"]
        with database.acting(alice) as connection:
            (direct,) = connection.execute(
                "select (chat.start_direct(username => 'bob')).id"
            ).fetchone()
        told = entry(sync(database, bob, cursor))
        assert (told["conversation_id"], told["resync"]) == (str(direct), True)

    def test_when_an_account_is_gone_the_rest_load_anew(self, group):
        database, (_, bob, charlie), _ = group
        cursor = sync(database, bob)["cursor"]
        database.owner.execute("delete from auth.users where id = %s", (charlie,))
        answer = sync(database, bob, cursor)
        assert entry(answer)["resync"]
        assert [p["user_id"] for p in entry(answer)["participants"]].count(charlie) == 0
        assert sync(database, bob, answer["cursor"])["conversations"] == []

    def test_a_cursor_from_before_what_is_kept_loads_anew(self, group):
        database, (_, bob, _), _ = group
        cursor = sync(database, bob)["cursor"]
        database.owner.execute("update chat.conversations set rev = 9, sync_from_rev = 9")
        answer = sync(database, bob, cursor)
        assert entry(answer)["resync"]
        assert sync(database, bob, answer["cursor"])["conversations"] == []

    def test_a_cursor_ahead_of_the_database_loads_anew(self, group):
        database, (alice, bob, _), room = group
        backup = sync(database, bob)["cursor"]
        call(database, alice, "send_message", room, "lost with the server")
        cursor = sync(database, bob, backup)["cursor"]
        database.owner.execute("delete from chat.messages where seq = 4")
        database.owner.execute(
            "update chat.conversations set rev = 4, last_seq = 3, message_count = 3"
        )
        assert entry(sync(database, bob, cursor))["resync"]


class TestWhatCannotBeRead:
    """4 to 6 are new; 5 has expired and 6 is hidden. bob has saved 1, expired too, and 2."""

    @pytest.fixture
    def told(self, group):
        database, (alice, bob, _), room = group
        with database.acting(bob) as connection:
            for seq in (1, 2):
                connection.execute(
                    "insert into chat.saved_messages (conversation_id, message_seq)"
                    " values (%s, %s)",
                    (room, seq),
                )
        cursor = sync(database, bob)["cursor"]
        for seq in (4, 5, 6):
            call(database, alice, "send_message", room, f"said {seq}")
        call(database, bob, "hide_message", room, 6)
        database.owner.execute("update chat.messages set expires_at = now() where seq in (1, 5)")
        return entry(sync(database, bob, cursor))

    def test_is_not_told(self, told):
        assert [message["body"] for message in told["messages"]] == ["said 4"]
        assert told["conversation"]["last_message"]["seq"] == 4

    def test_is_not_saved(self, told):
        assert [saved["message_seq"] for saved in told["private"]["saved_messages"]] == [2]


class TestOneConversation:
    """With conversation_id."""

    def test_says_nothing_of_others(self, group):
        database, (alice, bob, _), room = group
        with database.acting(alice) as connection:
            connection.execute("select chat.start_direct(username => 'bob')")
        assert entry(sync(database, bob, None, room))["conversation_id"] == room

    @pytest.mark.parametrize("who", ["stranger", "left"])
    def test_is_not_found_by_who_does_not_take_part(self, group, who):
        database, (_, bob, _), room = group
        if who == "left":
            call(database, bob, "leave", room)
        else:
            bob = database.user("stranger")
        with pytest.raises(psycopg.Error) as error:
            sync(database, bob, None, room)
        assert error.value.diag.message_detail == "conversation_not_found"

    def test_a_cursor_of_another_s_tells_a_stranger_nothing(self, group):
        database, (_, bob, _), room = group
        cursor = sync(database, bob)["cursor"]
        stranger = database.user("stranger")
        for conversation in (None, room):
            answer = sync(database, stranger, cursor, conversation)
            assert (answer["left"], answer["conversations"]) == ([room], [])


class TestRefused:
    """Bad input."""

    @pytest.mark.parametrize(
        "cursor",
        ["x", "v2", "v1.", "v1.AAAA", "v1.VEG3B8jOTHeNHx-DtVSL4A7~4~0", "v1" + ".A" * 50, "'"],
    )
    def test_cursor(self, group, cursor):
        database, (_, bob, _), _ = group
        with pytest.raises(psycopg.Error) as error:
            sync(database, bob, cursor)
        assert error.value.diag.message_detail == "sync_cursor_invalid"

    @pytest.mark.parametrize("page_size", [0, 2001, None])
    def test_page_size(self, group, page_size):
        database, (_, bob, _), _ = group
        with pytest.raises(psycopg.Error) as error:
            sync(database, bob, None, None, page_size)
        assert error.value.diag.message_detail == "sync_page_size_out_of_range"

    def test_without_a_user(self, group):
        database, _, _ = group
        with pytest.raises(psycopg.Error) as error:
            sync(database, None)
        assert error.value.diag.message_detail == "sign_in_required"


def test_a_message_committed_late_is_not_missed(group):
    """Another conversation's later commit overtakes it."""
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        (direct,) = connection.execute(
            "select (chat.start_direct(username => 'bob')).id"
        ).fetchone()
    cursor = sync(database, bob)["cursor"]
    with database.acting(alice) as slow:
        slow.execute("begin")
        slow.execute("select chat.send_message(%s, 'begun first')", (room,))
        call(database, alice, "send_message", direct, "committed first")
        answer = sync(database, bob, cursor)
        assert entry(answer)["conversation_id"] == str(direct)
        slow.execute("commit")
    answer = sync(database, bob, answer["cursor"])
    assert (entry(answer)["conversation_id"], seqs(answer)) == (room, [4])


def test_messages_changed_at_once_are_on_one_page(group):
    """They share a rev, which the cursor cannot stop between."""
    database, (alice, bob, _), room = group
    with database.acting(alice) as connection:
        connection.execute("select chat.send_message(%s, 'a', thread_root_seq => 1)", (room,))
    cursor = sync(database, bob)["cursor"]
    call(database, alice, "delete_message", room, 4)
    assert seqs(sync(database, bob, cursor, None, 1)) == [1, 4]


CHANGES = (
    "select chat.send_message(%(room)s, 'new')",
    "select chat.send_message(%(room)s, 'in a thread', thread_root_seq => %(seq)s)",
    "select chat.react(%(room)s, %(seq)s, 'x')",
    "select chat.delete_message(%(room)s, %(seq)s)",
)


def messages(database, user):
    with database.acting(user) as connection:
        rows = connection.execute("select seq, to_jsonb(m) from chat.messages as m").fetchall()
    return dict(rows)


@pytest.mark.parametrize("page_size", [1, 2, 7, 2000])
def test_pages_together_tell_everything(group, page_size):
    """A client that applies every page has what a select gives, whatever the size of pages."""
    database, (alice, bob, charlie), room = group
    chance = random.Random(page_size)
    cursor = sync(database, bob)["cursor"]
    known = messages(database, bob)
    for _ in range(3):
        for _ in range(20):
            seq = chance.randint(1, max(known) + 5)
            # Some are refused: there is no such message, or it is deleted.
            with (
                database.acting(chance.choice((alice, charlie))) as connection,
                contextlib.suppress(psycopg.Error),
            ):
                connection.execute(chance.choice(CHANGES), {"room": room, "seq": seq})
        has_more = True
        while has_more:
            answer = sync(database, bob, cursor, None, page_size)
            assert answer["cursor"] != cursor or not answer["has_more"]
            cursor, has_more = answer["cursor"], answer["has_more"]
            for told in answer["conversations"]:
                for message in told["messages"]:
                    del message["reaction_summary"], message["poll_results"]
                    known[message["seq"]] = message
        assert known == messages(database, bob)


def test_what_was_unhidden_comes_after_a_page_full_of_changes(group):
    database, (alice, bob, _), room = group
    call(database, bob, "hide_message", room, 2)
    cursor = sync(database, bob)["cursor"]
    call(database, bob, "unhide_message", room, 2)
    call(database, alice, "pin_message", room, 3)
    answer = sync(database, bob, cursor, page_size=1)
    assert sorted(seqs(answer)) == [2, 3]
    assert not answer["has_more"]
