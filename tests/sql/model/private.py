"""How far people have read, and what they keep for themselves."""

from __future__ import annotations

from datetime import UTC, datetime

from .calls import Call, Draw, Operation, call, operation, taking_part
from .state import Participant, Receipt, Refused, Room
from .world import World

ALL = 10**18


def _move(world: World, room: Room, user: str, read_to: int | None, delivered_to: int) -> None:
    person = world.participant(room, user)
    was = (person.last_read, person.last_delivered)
    if read_to is not None:
        read_to = min(read_to, room.last_seq)
        person.last_read = max(person.last_read, read_to)
        settings = person.settings
        if settings and settings.unread_from is not None and settings.unread_from <= read_to:
            settings = world.touch_private(person)
            settings.unread_from = read_to + 1 if read_to < person.last_read else None
    person.last_delivered = max(
        person.last_delivered, person.last_read, min(delivered_to, room.last_seq)
    )
    if was != (person.last_read, person.last_delivered):
        person.rev = world.announce(room, "receipt_moved")
        person.receipts.append(
            Receipt(person.rev, person.last_read, person.last_delivered, world.now)
        )


@operation(weight=6)
def mark_read(d: Draw) -> Operation:
    """Up to a message, or all."""
    (room, user), seq = d.person(), None if d.is_it(0) else d.seq()
    yield call(user, "mark_read", room, seq=seq)
    _move(d.world, room, user, ALL if seq is None else seq, 0)


@operation(weight=2)
def mark_delivered(d: Draw) -> Operation:
    """Up to a message, or all."""
    (room, user), seq = d.person(), None if d.is_it(0) else d.seq()
    yield call(user, "mark_delivered", room, seq=seq)
    _move(d.world, room, user, None, ALL if seq is None else seq)


@operation(weight=4)
def mark_unread(d: Draw) -> Operation:
    """From a message on, for oneself alone."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    yield call(user, "mark_unread", room, seq=seq)
    person = world.participant(room, user)
    world.message(room, person, seq)
    if seq <= person.last_read:
        world.touch_private(person).unread_from = seq


@operation(weight=3)
def keep(d: Draw) -> Operation:
    """Mutes, pins and archives by an upsert, as a client does."""
    (room, user), world = d.person(), d.world
    muted = world.now + 3600 if d.is_it(2) else None
    args = {"room": room.id, "user": user, "pinned": d.is_it(0), "archived": d.is_it(1)}
    args["muted"] = None if muted is None else datetime.fromtimestamp(muted, UTC)
    sql = """insert into chat.participant_settings as s
        (conversation_id, user_id, muted_until, is_pinned, is_archived)
        values (%(room)s, %(user)s, %(muted)s, %(pinned)s, %(archived)s)
        on conflict (conversation_id, user_id) do update set
        muted_until = excluded.muted_until, is_pinned = excluded.is_pinned,
        is_archived = excluded.is_archived"""
    yield Call(user, sql, args, room)
    person = taking_part(room, user)
    if person is None:
        raise Refused("42501")
    settings = world.touch_private(person)
    settings.is_pinned, settings.is_archived = d.is_it(0), d.is_it(1)
    settings.muted_until = muted


@operation(weight=7)
def hide_or_unhide(d: Draw) -> Operation:
    """Deletes a message for oneself, or undoes that."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    is_hidden = d.where < 4
    if not is_hidden and user in room.people:
        seq = d.mostly(room.people[user].hidden, seq)
    yield call(user, "hide_message" if is_hidden else "unhide_message", room, seq=seq)
    person = world.participant(room, user)
    if not max(1, person.visible_from) <= seq <= room.last_seq:
        raise Refused("message_not_found")
    if (seq in person.hidden) != is_hidden:
        person.hidden ^= {seq}
        world.touch_private(person)


def _is_readable(world: World, room: Room, person: Participant | None, seq: int) -> bool:
    if person is None or not 1 <= seq <= room.last_seq:
        return False
    message = room.messages[seq - 1]
    return world.can_read(person, message) and message.deleted_at is None


@operation(weight=2)
def save(d: Draw) -> Operation:
    """A message, with a note or without, as a client does."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    note = f"note {d.number}" if d.is_it(0) else None
    sql = """insert into chat.saved_messages (conversation_id, message_seq, note)
        values (%(room)s, %(seq)s, %(note)s)"""
    yield Call(user, sql, {"room": room.id, "seq": seq, "note": note}, room)
    person = taking_part(room, user)
    if person is None or not _is_readable(world, room, person, seq):
        raise Refused("42501")
    if seq in person.saved:
        raise Refused("saved_messages_pkey")
    person.saved[seq] = note
    world.touch_private(person)


@operation(weight=1)
def unsave(d: Draw) -> Operation:
    """What one saved, if one can still read it."""
    (room, user), world = d.person(), d.world
    person = room.people.get(user)
    seq = d.mostly(person.saved if person else {}, d.seq())
    sql = """delete from chat.saved_messages
        where conversation_id = %(room)s and message_seq = %(seq)s"""
    yield Call(user, sql, {"room": room.id, "seq": seq}, room)
    if person and seq in person.saved and _is_readable(world, room, person, seq):
        del person.saved[seq]
        world.touch_private(person)


@operation(weight=2)
def draft(d: Draw) -> Operation:
    """An upsert, as a client does."""
    room, user = d.person()
    root, body = d.seq() if d.is_it(0) else None, f"draft {d.number}"
    sql = """insert into chat.drafts (conversation_id, thread_root_seq, body)
        values (%(room)s, %(root)s, %(body)s)
        on conflict (conversation_id, user_id, thread_root_seq)
        do update set body = excluded.body"""
    yield Call(user, sql, {"room": room.id, "root": root, "body": body}, room)
    person = taking_part(room, user)
    if person is None:
        raise Refused("42501")
    if root is not None and not 1 <= root <= room.last_seq:
        raise Refused("drafts_thread_root_seq_fkey")
    person.drafts[root] = body
    d.world.touch_private(person)


@operation(weight=1)
def drop_drafts(d: Draw) -> Operation:
    """All of a conversation."""
    room, user = d.person()
    sql = "delete from chat.drafts where conversation_id = %(room)s"
    yield Call(user, sql, {"room": room.id}, room)
    person = taking_part(room, user)
    if person and person.drafts:
        person.drafts.clear()
        d.world.touch_private(person)


@operation(weight=4)
def keep_thread(d: Draw) -> Operation:
    """Marks a thread as read up to a message, follows or unfollows it."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    roots = sorted({m.thread_root for m in room.messages if m.thread_root is not None})
    if roots and d.who < 8:
        seq = roots[-1 - d.what % len(roots)]
    read_to, is_followed = None, None
    if d.which < 8:
        read_to = max(0, room.last_seq + 1 - d.which)
        yield call(user, "mark_thread_read", room, root_seq=seq, seq=read_to)
    else:
        is_followed = d.which < 12
        yield call(user, "follow_thread" if is_followed else "unfollow_thread", room, root_seq=seq)
    person = world.participant(room, user)
    root = world.message(room, person, seq, is_deleted_too=True)
    if not world.can_read(person, root):
        raise Refused("message_not_found")
    if root.thread_root is not None:
        raise Refused("thread_in_thread")
    read, was_followed = person.threads.get(seq, (seq, False))
    kept = (
        max(read, min(read_to or 0, room.last_seq)),
        was_followed if is_followed is None else is_followed,
    )
    if person.threads.get(seq) != kept:
        person.threads[seq] = kept
        world.touch_private(person)
