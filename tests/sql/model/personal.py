"""What people keep for themselves: saved messages, drafts and threads."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import BAD_ARGUMENT, FORBIDDEN, FOREIGN_KEY, NOT_FOUND, UNIQUE, Participant, Refused


def _is_readable(d: Draw, person: Participant | None, seq: int) -> bool:
    messages = d.room().messages
    if person is None or not 1 <= seq <= len(messages):
        return False
    message = messages[seq - 1]
    return d.world.can_read(person, message) and message.deleted_at is None


@operation(weight=2)
def save(d: Draw) -> Call:
    """A message, with a note or without."""
    room = d.room()
    user, seq = d.person(room), d.seq(room)
    note = f"note {d.number}" if d.is_it(0) else None

    def apply(_: Any) -> Any:
        person = room.people.get(user)
        if person is None or not _is_readable(d, person, seq):
            raise Refused(FORBIDDEN, None)
        if seq in person.saved:
            raise Refused(UNIQUE, "saved_messages_pkey")
        person.saved[seq] = note
        d.world.touch_private(person)

    sql = """insert into chat.saved_messages (conversation_id, message_seq, note)
        values (%(room)s, %(seq)s, %(note)s)"""
    return Call(user, sql, {"room": room.id, "seq": seq, "note": note}, apply, room)


@operation(weight=1)
def unsave(d: Draw) -> Call:
    """What one saved, if one can still read it."""
    room = d.room()
    user, seq = d.person(room), d.seq(room)
    saved = room.people[user].saved if user in room.people else None
    if saved and d.which < 12:
        seq = sorted(saved)[d.what % len(saved)]

    def apply(_: Any) -> Any:
        person = room.people.get(user)
        if person and seq in person.saved and _is_readable(d, person, seq):
            del person.saved[seq]
            d.world.touch_private(person)

    sql = """delete from chat.saved_messages
        where conversation_id = %(room)s and message_seq = %(seq)s"""
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=2)
def draft(d: Draw) -> Call:
    """An upsert, as a client does."""
    room = d.room()
    user = d.person(room)
    root = d.seq(room) if d.is_it(0) else None
    args = {"room": room.id, "root": root, "body": f"draft {d.number}"}

    def apply(_: Any) -> Any:
        person = room.people.get(user)
        if person is None or person.left_at is not None:
            raise Refused(FORBIDDEN, None)
        if root is not None and not 1 <= root <= room.last_seq:
            raise Refused(FOREIGN_KEY, "drafts_thread_root_seq_fkey")
        person.drafts[root] = f"draft {d.number}"
        d.world.touch_private(person)

    sql = """insert into chat.drafts (conversation_id, thread_root_seq, body)
        values (%(room)s, %(root)s, %(body)s)
        on conflict (conversation_id, user_id, thread_root_seq)
        do update set body = excluded.body"""
    return Call(user, sql, args, apply, room)


@operation(weight=1)
def drop_draft(d: Draw) -> Call:
    """All of a conversation."""
    room = d.room()
    user = d.person(room)

    def apply(_: Any) -> Any:
        person = room.people.get(user)
        if person and person.left_at is None:
            for root in list(person.drafts):
                del person.drafts[root]
                d.world.touch_private(person)

    sql = "delete from chat.drafts where conversation_id = %(room)s"
    return Call(user, sql, {"room": room.id}, apply, room)


def _keep_thread(
    d: Draw, sql: str, *, read_to: int | None = None, is_followed: bool | None = None
) -> Call:
    room, world = d.room(), d.world
    user, seq = d.person(room), d.seq(room)
    roots = sorted({m.thread_root for m in room.messages if m.thread_root is not None})
    if roots and d.who < 8:
        seq = roots[-1 - d.what % len(roots)]

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        root = world.message(room, person, seq, alive=False)
        if not world.can_read(person, root):
            raise Refused(NOT_FOUND, "message_not_found")
        if root.thread_root is not None:
            raise Refused(BAD_ARGUMENT, "thread_in_thread")
        before = person.threads.get(seq, (seq, False))
        after = (
            max(before[0], min(read_to or 0, room.last_seq)),
            before[1] if is_followed is None else is_followed,
        )
        if person.threads.get(seq) != after:
            person.threads[seq] = after
            world.touch_private(person)
        return after[0]

    return Call(user, sql, {"room": room.id, "root": seq, "seq": read_to}, apply, room)


@operation(weight=2)
def mark_thread_read(d: Draw) -> Call:
    """Up to a message."""
    sql = "select (chat.mark_thread_read(%(room)s, %(root)s, %(seq)s)).last_read_seq"
    return _keep_thread(d, sql, read_to=max(0, d.room().last_seq + 1 - d.which))


@operation(weight=1)
def follow_thread(d: Draw) -> Call:
    """Any."""
    sql = "select (chat.follow_thread(%(room)s, %(root)s)).last_read_seq"
    return _keep_thread(d, sql, is_followed=True)


@operation(weight=1)
def unfollow_thread(d: Draw) -> Call:
    """Any."""
    sql = "select (chat.unfollow_thread(%(room)s, %(root)s)).last_read_seq"
    return _keep_thread(d, sql, is_followed=False)
