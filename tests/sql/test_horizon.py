"""Past its expiry nothing of a message is served, on any path, though no sweep has run."""

from __future__ import annotations

import json
import uuid

import psycopg
import pytest

from support.retention import TENANT, make_room

SECRET = "quetzalcoatl"


@pytest.fixture
def room(database):
    """A message with everything that can hang on one, all of which says SECRET where it can."""
    room = make_room(database)
    room.send("alice", f"{SECRET} @bob", id=str(uuid.uuid4()), mentions=[room.ids["bob"]])
    room.call("alice", "select (chat.edit_message(%s, 1, %s)).seq", room.id, f"{SECRET} again")
    options = [{"id": n, "text": f"{SECRET} {n}"} for n in "ab"]
    room.send(
        "alice", None, kind="poll", metadata=json.dumps({"question": SECRET, "options": options})
    )
    room.send("alice", f"{SECRET} in the thread", thread_root_seq=1)
    room.call("bob", "select chat.vote(%s, 2, '{a}')", room.id)
    room.call("bob", "select chat.react(%s, 1, %s)", room.id, SECRET)
    room.call("alice", "select chat.pin_message(%s, 1)", room.id)
    room.call("bob", "select (chat.follow_thread(%s, 1)).user_id", room.id)
    room.owner(
        "insert into chat.saved_messages (conversation_id, message_seq, user_id, note)"
        " values (%s, 1, %s, %s)",
        room.id, room.ids["bob"], SECRET,
    )  # fmt: skip
    path = f"{TENANT}/{room.id}/{uuid.uuid4()}/{SECRET}.png"
    room.owner(
        "insert into storage.objects (bucket_id, name, owner_id, version) values"
        " ('chat-attachments', %s, %s, '1')",
        path, room.ids["alice"],
    )  # fmt: skip
    room.owner(
        "insert into chat.attachments (conversation_id, message_seq, position, path, name,"
        " mime_type, size_bytes) values (%s, 1, 1, %s, %s, 'image/png', 9)",
        room.id, path, SECRET,
    )  # fmt: skip
    return room


def served(room, name):
    """By path, whether it tells somebody of the message: each relation of chat, each function."""
    relations = room.owner(
        "select c.oid::regclass::text from pg_class as c"
        " where c.relnamespace = 'chat'::regnamespace and c.relkind in ('r', 'v')"
    )
    paths = {relation: f"select t::text from {relation} as t" for (relation,) in relations}
    paths |= {
        "sync": "select chat.sync()::text",
        "sync of one": f"select chat.sync(conversation_id => '{room.id}')::text",
        "search": f"select t::text from chat.search_messages('{SECRET}') as t",
        "storage": "select name from storage.objects",
        "reaction_summary": "select chat.reaction_summary(m)::text from chat.messages as m",
        "poll_results": "select chat.poll_results(m)::text from chat.messages as m"
        " where kind = 'poll'",
        "a reply": f"select (chat.send_message('{room.id}', 'x', reply_to_seq => 1))::text",
        "a vote": f"select chat.vote('{room.id}', 2, '{{b}}')::text",
        "an edit": f"select chat.edit_message('{room.id}', 1, 'x')::text",
        "a deletion": f"select chat.delete_message('{room.id}', 1)::text",
        "a report": f"select chat.report_message('{room.id}', 1, 'spam')::text",
    }
    found = {}
    with room.database.acting(room.ids[name]) as connection:
        connection.execute("set timezone = 'UTC'")
        for path, query in paths.items():
            try:
                with connection.transaction(force_rollback=True):
                    rows = [row[0] or "" for row in connection.execute(query.encode())]
            except psycopg.Error as error:
                rows = [f"refused: {error}"]
            found[path] = any(SECRET in row for row in rows)
    return found


def test_everything_is_served_until_the_last_millisecond_and_nothing_after_it(room):
    expected = {
        "chat.attachments", "chat.inbox", "chat.message_revisions", "chat.messages",
        "chat.reactions", "chat.saved_messages", "chat.notification_feed", "sync", "sync of one",
        "search", "storage", "reaction_summary",
    }  # fmt: skip
    room.after(30 - 1e-3 / 86400)
    before = served(room, "bob")
    assert {path for path, tells in before.items() if tells} >= expected
    room.after(30)
    assert [path for path, tells in served(room, "bob").items() if tells] == []
    assert [path for path, tells in served(room, "alice").items() if tells] == []


def test_what_counts_does_not_count_what_expired(room):
    counts = (
        "select to_jsonb(i) from (select unread_count, unread_mention_count, last_message"
        " from chat.inbox) as i"
    )
    assert room.call("carol", counts)["unread_count"] == 3
    room.after(30)
    assert room.call("carol", counts) == {
        "unread_count": 0, "unread_mention_count": 0, "last_message": None,
    }  # fmt: skip
    with room.database.acting(room.ids["bob"]) as connection:
        for relation in ("message_receipts", "mentions", "pins", "poll_votes", "threads",
                         "thread_reads"):  # fmt: skip
            assert connection.execute(f"select from chat.{relation}").fetchall() == [], relation
        assert connection.execute(
            "select distinct type::text from chat.notification_feed"
        ).fetchall() == [("added_to_conversation",)]


def test_a_retry_of_a_send_gets_no_text_back(room):
    ((message_id,),) = room.owner("select id from chat.messages where seq = 1")
    room.after(30)
    assert (
        room.call("alice", "select (chat.send_message(%s, 'x', %s)).body", room.id, message_id)
        is None
    )


def test_what_realtime_may_replay_has_no_text_that_will_have_expired(room):
    """It keeps rows for three days."""
    said = "select count(*) from realtime.messages where payload::text like %s"
    before = room.owner(said, f"%{SECRET}%")
    assert before[0][0] > 0
    room.owner("update chat.tiers set retention = '1 day' where name = 'free'")
    room.send("alice", "short lived")
    room.call("alice", "select (chat.edit_message(%s, 4, 'short lived still')).seq", room.id)
    assert room.owner(said, "%short lived%") == [(0,)]
    assert room.owner(said, '%"seq": 4%')[0][0] > 0
