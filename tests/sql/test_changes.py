"""Editing, deleting for everyone and for oneself."""

from __future__ import annotations

import psycopg
import pytest


@pytest.fixture
def group(database):
    """alice (owner), bob and charlie, and one message of each."""
    users = {name: database.user(name) for name in ("alice", "bob", "charlie", "stranger")}
    with database.acting(users["alice"]) as connection:
        (room,) = connection.execute(
            "select (chat.start_group('Group', %s::uuid[])).id",
            ([users["bob"], users["charlie"]],),
        ).fetchone()
    for name in ("alice", "bob", "charlie"):
        with database.acting(users[name]) as connection:
            connection.execute("select chat.send_message(%s, %s)", (room, f"of {name}"))
    return database, users, room


def call(database, user, query, *arguments):
    """The first column of the first row, as this user."""
    with database.acting(user) as connection:
        row = connection.execute(query, arguments).fetchone()
        return row[0] if row else None


def refused(database, user, query, *arguments):
    """The code of a call that must be refused, and that changed nothing."""
    state = "select jsonb_agg(to_jsonb(m) order by seq) from chat.messages as m"
    before = database.owner.execute(state).fetchone()
    with database.acting(user) as connection, pytest.raises(psycopg.Error) as error:
        connection.execute(query, arguments)
    assert database.owner.execute(state).fetchone() == before
    return error.value.diag.message_detail or error.value.diag.constraint_name


def bodies(database, user):
    with database.acting(user) as connection:
        return dict(connection.execute("select seq, body from chat.messages").fetchall())


def unread(database, user):
    return call(database, user, "select unread_count from chat.inbox")


def no_drift(database):
    rows = database.owner.execute("select * from chat_private.check_counters(null)").fetchall()
    assert rows == []


def test_an_edit_keeps_every_earlier_text(group):
    database, users, room = group
    for text in ("second", "third"):
        edited = call(
            database, users["alice"], "select to_jsonb(chat.edit_message(%s, 1, %s))", room, text
        )
    assert (edited["body"], edited["is_changed"]) == ("third", True)
    assert edited["edited_at"] is not None
    with database.acting(users["bob"]) as connection:
        rows = connection.execute(
            "select revision, body from chat.message_revisions order by 1"
        ).fetchall()
    assert rows == [(1, "of alice"), (2, "second")]


def test_editing_to_the_same_text_changes_nothing(group):
    database, users, room = group
    rev = "select rev from chat.conversations"
    before = database.owner.execute(rev).fetchone()
    call(database, users["alice"], "select chat.edit_message(%s, 1, 'of alice')", room)
    assert database.owner.execute(rev).fetchone() == before


@pytest.mark.parametrize("name", ["bob", "charlie"])
def test_only_its_sender_edits_a_message(group, name):
    database, users, room = group
    edit = "select chat.edit_message(%s, 1, 'rewritten')"
    assert refused(database, users[name], edit, room) == "not_the_sender"
    assert refused(database, users["stranger"], edit, room) == "conversation_not_found"


def test_the_edit_window(group):
    database, users, room = group
    database.owner.execute("update chat.settings set edit_window = interval '0'")
    edit = "select chat.edit_message(%s, 1, 'late')"
    assert refused(database, users["alice"], edit, room) == "edit_window_over"


@pytest.mark.parametrize(
    ("setting", "owner", "member"),
    [("participants", 1, 1), ("admins", 1, 0), ("nobody", 0, 0)],
)
def test_who_sees_earlier_texts(group, setting, owner, member):
    database, users, room = group
    call(database, users["alice"], "select chat.edit_message(%s, 1, 'new')", room)
    database.owner.execute("update chat.settings set revisions_visible_to = %s", (setting,))
    count = "select count(*) from chat.message_revisions"
    assert call(database, users["alice"], count) == owner
    assert call(database, users["bob"], count) == member
    assert call(database, users["stranger"], count) == 0


def test_deleting_for_everyone_leaves_a_tombstone_nobody_can_read(group):
    database, users, room = group
    call(database, users["alice"], "select chat.edit_message(%s, 1, 'regretted')", room)
    call(database, users["alice"], "select chat.delete_message(%s, 1)", room)
    for name in ("alice", "bob", "charlie"):
        assert bodies(database, users[name])[1] is None
        assert call(database, users[name], "select count(*) from chat.message_revisions") == 0
    assert unread(database, users["bob"]) == 1
    no_drift(database)
    # Deleting again changes nothing; a tombstone is not edited.
    call(database, users["alice"], "select chat.delete_message(%s, 1)", room)
    no_drift(database)
    edit = "select chat.edit_message(%s, 1, 'back')"
    assert refused(database, users["alice"], edit, room) == "message_not_found"


def test_who_deletes_for_everyone(group):
    database, users, room = group
    delete = "select chat.delete_message(%s, %s)"
    assert refused(database, users["bob"], delete, room, 1) == "not_allowed_to_delete"
    assert refused(database, users["stranger"], delete, room, 1) == "conversation_not_found"
    call(database, users["alice"], delete, room, 2)
    database.owner.execute(
        "update chat.tenant_members set role = 'moderator' where user_id = %s", (users["bob"],)
    )
    call(database, users["bob"], delete, room, 3)
    assert bodies(database, users["charlie"]) == {1: "of alice", 2: None, 3: None}


def test_in_a_direct_conversation_each_deletes_their_own(database):
    alice, bob = database.user("alice"), database.user("bob")
    room = call(database, alice, "select (chat.start_direct(username => 'bob')).id")
    call(database, bob, "select chat.send_message(%s, 'mine')", room)
    delete = "select chat.delete_message(%s, 1)"
    assert refused(database, alice, delete, room) == "not_allowed_to_delete"


def test_hiding_is_for_oneself_and_can_be_undone(group):
    database, users, room = group
    for _ in range(2):
        call(database, users["bob"], "select chat.hide_message(%s, 1)", room)
    assert set(bodies(database, users["bob"])) == {2, 3}
    assert set(bodies(database, users["charlie"])) == {1, 2, 3}
    assert call(database, users["charlie"], "select count(*) from chat.hidden_messages") == 0
    assert unread(database, users["bob"]) == 1
    no_drift(database)
    for _ in range(2):
        call(database, users["bob"], "select chat.unhide_message(%s, 1)", room)
    assert unread(database, users["bob"]) == 2
    no_drift(database)


def test_hidden_and_then_deleted_is_counted_once(group):
    database, users, room = group
    call(database, users["bob"], "select chat.hide_message(%s, 1)", room)
    call(database, users["alice"], "select chat.delete_message(%s, 1)", room)
    assert unread(database, users["bob"]) == 1
    call(database, users["bob"], "select chat.unhide_message(%s, 1)", room)
    assert unread(database, users["bob"]) == 1
    no_drift(database)


def test_threads_count_their_messages(group):
    database, users, room = group
    for _ in range(2):
        call(
            database,
            users["bob"],
            "select chat.send_message(%s, 'in thread', thread_root_seq => 1)",
            room,
        )
    count = "select thread_count from chat.messages where seq = 1"
    assert call(database, users["alice"], count) == 2
    call(database, users["bob"], "select chat.delete_message(%s, 4)", room)
    assert call(database, users["alice"], count) == 1
    nested = "select chat.send_message(%s, 'deeper', thread_root_seq => 5)"
    assert refused(database, users["bob"], nested, room) == "thread_in_thread"
    no_drift(database)


def test_expired_messages_are_not_unread(group):
    database, users, room = group
    assert unread(database, users["bob"]) == 2
    database.owner.execute(
        "update chat.messages set expires_at = now() - interval '1 millisecond' where seq = 1"
    )
    database.owner.execute("update chat.conversations set expires_from = now() - interval '1 s'")
    assert unread(database, users["bob"]) == 1
    assert call(database, users["bob"], "select unread_count from chat.unread_totals") == 1
    # One that he hid before it expired is gone once, and what the system says was never unread.
    call(database, users["bob"], "select chat.hide_message(%s, 3)", room)
    database.owner.execute(
        "insert into chat.messages (conversation_id, kind, body) values (%s, 'system', 'x')",
        (room,),
    )
    database.owner.execute("update chat.messages set expires_at = now() - interval '1 millisecond'")
    assert unread(database, users["bob"]) == 0


def test_how_long_a_message_lives_is_its_sender_s_tier(group):
    database, users, room = group
    days = (
        "select extract(day from expires_at - created_at) from chat.messages "
        "order by seq desc limit 1"
    )
    assert call(database, users["bob"], days) == 30
    database.owner.execute(
        "update chat.tenant_members set tier = 'privileged_plus' where user_id = %s",
        (users["bob"],),
    )
    call(database, users["bob"], "select chat.send_message(%s, 'kept longer')", room)
    assert call(database, users["bob"], days) == 365
    database.owner.execute("update chat.tiers set retention = null")
    call(database, users["bob"], "select chat.send_message(%s, 'kept for ever')", room)
    assert call(database, users["bob"], days) is None


def test_clients_send_no_system_messages(group):
    database, users, room = group
    send = "select chat.send_message(%s, 'alice left', kind => 'system')"
    assert refused(database, users["bob"], send, room) == "system_message"
