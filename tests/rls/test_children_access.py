"""What hangs on a message is readable exactly as that message is: not as one beside it.

Each reader could read a message with the same number elsewhere, and another in the same place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import psycopg
import pytest

from support.databases import Database

POLL = {"question": "Which?", "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}]}
ROWS = {
    "attachments": (
        "message_seq, position, path, name, mime_type, size_bytes",
        """1, 1, concat_ws('/', gen_random_uuid(), %(room)s::text, gen_random_uuid(), 'a.png'),
        'a.png', 'image/png', 1""",
    ),
    "mentions": ("message_seq, user_id", "1, %(bob)s"),
    "message_revisions": (
        "message_seq, revision, body, metadata, replaced_at", "1, 1, 'zero', '{}', now()",
    ),
    "pins": ("message_seq, pinned_by", "1, %(alice)s"),
    "poll_votes": ("message_seq, user_id, option_id", "1, %(alice)s, 'a'"),
    "reactions": ("message_seq, user_id, emoji", "1, %(alice)s, '👍'"),
    "saved_messages": ("message_seq, user_id", "1, %(bob)s"),
    "thread_reads": (
        "thread_root_seq, user_id, last_read_seq, is_following", "1, %(bob)s, 1, true",
    ),
}  # fmt: skip
CHILDREN = tuple(ROWS)
MINE = "conversation_id = %(room)s and user_id = %(bob)s"

# How a message becomes unreadable for bob, as the owner of the tables would do it. Deleting for
# everyone leaves a tombstone, which hides all but who follows the thread.
GONE = {
    "expired": "update chat.messages set expires_at = now() - interval '1 ms'"
    " where conversation_id = %(room)s and seq = 1",
    "deleted": "update chat.messages set deleted_at = now(), body = null"
    " where conversation_id = %(room)s and seq = 1",
    "hidden": "insert into chat.hidden_messages (conversation_id, message_seq, user_id)"
    " values (%(room)s, 1, %(bob)s)",
    "before bob joined": f"update chat.participants set visible_from_seq = 2 where {MINE}",
}


@dataclass(frozen=True)
class Rooms:
    """alice and bob take part in both. In ``room`` everything hangs on message 1; 2 is bare.
    ``other`` has a message 1 as well.
    """

    database: Database
    alice: str
    bob: str
    room: str
    other: str

    def children(self, table: str) -> int:
        """How many rows of a table bob reads."""
        with self.database.acting(self.bob) as connection:
            row = connection.execute(f"select count(*) from chat.{table}".encode()).fetchone()
        assert row
        return row[0]

    def as_bob(self, statement: str, **more: object) -> int:
        """Rows changed by a statement of bob's."""
        with self.database.acting(self.bob) as connection:
            return connection.execute(statement.encode(), {**vars(self), **more}).rowcount


@pytest.fixture
def rooms(database: Database) -> Rooms:
    alice, bob = database.user("alice"), database.user("bob")
    with database.acting(alice) as connection:
        made = []
        for title in ("Room", "Other"):
            (room,) = connection.execute(
                "select (chat.start_group(%s, array[%s]::uuid[])).id::text", (title, bob)
            ).fetchone()
            connection.execute(
                "select chat.send_message(%s, 'one', kind => 'poll', metadata => %s)",
                (room, json.dumps(POLL)),
            )
            connection.execute("select chat.send_message(%s, 'two')", (room,))
            made.append(room)
    names = {"room": made[0], "alice": alice, "bob": bob}
    for table, (columns, values) in ROWS.items():
        database.owner.execute(
            f"insert into chat.{table} (conversation_id, {columns})"
            f" values (%(room)s::uuid, {values})",
            names,
        )
    return Rooms(database, alice, bob, *made)


@pytest.mark.parametrize("how", GONE)
def test_nothing_is_left_of_what_cannot_be_read(rooms, how):
    assert {table: rooms.children(table) for table in CHILDREN} == dict.fromkeys(CHILDREN, 1)
    rooms.database.owner.execute(GONE[how], {"room": rooms.room, "bob": rooms.bob})
    left = {table for table in CHILDREN if rooms.children(table)}
    assert left == ({"thread_reads"} if how == "deleted" else set())
    assert rooms.children("messages") == (4 if how == "deleted" else 3)


@pytest.mark.parametrize("how", GONE)
def test_what_cannot_be_read_cannot_be_saved(rooms, how):
    rooms.database.owner.execute("delete from chat.saved_messages")
    rooms.database.owner.execute(GONE[how], {"room": rooms.room, "bob": rooms.bob})
    save = (
        "insert into chat.saved_messages (conversation_id, message_seq, user_id)"
        " values (%(room)s, %(seq)s, %(bob)s)"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rooms.as_bob(save, seq=1)
    assert rooms.as_bob(save, seq=2) == 1
    # Nor by moving there what was saved.
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rooms.as_bob("update chat.saved_messages set message_seq = 1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        rooms.as_bob("update chat.saved_messages set user_id = %(alice)s")
    assert rooms.database.owner.execute(
        "select user_id::text, message_seq from chat.saved_messages"
    ).fetchall() == [(rooms.bob, 2)]


def test_a_draft_stays_one_s_own_and_where_one_takes_part(rooms):
    database = rooms.database
    rooms.as_bob(
        "insert into chat.drafts (conversation_id, user_id, body) values (%(room)s, %(bob)s, 'x')"
    )
    database.owner.execute(
        "update chat.participants set left_at = now() where conversation_id = %s and user_id = %s",
        (rooms.other, rooms.bob),
    )
    for change in ("conversation_id = %(other)s", "user_id = %(alice)s"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rooms.as_bob(f"update chat.drafts set {change}")
    assert database.owner.execute(
        "select conversation_id::text, user_id::text from chat.drafts"
    ).fetchall() == [(rooms.room, rooms.bob)]


@pytest.mark.parametrize("table", ["drafts", "participant_settings", "scheduled_messages"])
def test_what_one_keeps_of_a_conversation_is_out_of_sight_for_others(rooms, table):
    rooms.as_bob(
        {
            "drafts": "insert into chat.drafts (conversation_id, user_id, body)"
            " values (%(room)s, %(bob)s, 'x')",
            "participant_settings": "insert into chat.participant_settings (conversation_id,"
            " user_id, is_pinned) values (%(room)s, %(bob)s, true)"
            " on conflict do nothing",
            "scheduled_messages": "select chat.schedule_message(%(room)s, now() + interval '1 day',"
            " 'x')",
        }[table]
    )
    assert rooms.children(table) == 1
    with rooms.database.acting(rooms.alice) as connection:
        query = f"select count(*) from chat.{table} where user_id = %s"
        assert connection.execute(query.encode(), (rooms.bob,)).fetchone() == (0,)
    rooms.database.owner.execute(
        f"update chat.participants set left_at = now() where {MINE}",
        {"room": rooms.room, "bob": rooms.bob},
    )
    assert rooms.children(table) == (1 if table == "participant_settings" else 0)
