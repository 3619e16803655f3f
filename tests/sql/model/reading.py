"""How far people have read, and how they keep a conversation."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import FORBIDDEN, Receipt, Refused, Room
from .world import World


def _move(world: World, room: Room, user: str, read_to: int | None, delivered_to: int) -> int:
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
    return person.last_read


@operation(weight=6)
def mark_read(d: Draw) -> Call:
    """Up to a message, or all."""
    room = d.room()
    user = d.person(room)
    seq = None if d.is_it(0) else d.seq(room)
    top = 10**18

    def apply(_: Any) -> Any:
        return _move(d.world, room, user, top if seq is None else seq, 0)

    sql = "select (chat.mark_read(%(room)s, %(seq)s)).last_read_seq"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=2)
def mark_delivered(d: Draw) -> Call:
    """Up to a message, or all."""
    room = d.room()
    user = d.person(room)
    seq = None if d.is_it(0) else d.seq(room)

    def apply(_: Any) -> Any:
        return _move(d.world, room, user, None, 10**18 if seq is None else seq)

    sql = "select (chat.mark_delivered(%(room)s, %(seq)s)).last_read_seq"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=4)
def mark_unread(d: Draw) -> Call:
    """From a message on."""
    room, world = d.room(), d.world
    user = d.person(room)
    seq = d.seq(room)

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        world.message(room, person, seq)
        if seq <= person.last_read:
            world.touch_private(person)
            world.touch_private(person).unread_from = seq
        return person.last_read

    sql = "select (chat.mark_unread(%(room)s, %(seq)s)).last_read_seq"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=3)
def keep(d: Draw) -> Call:
    """Mutes, pins and archives by an upsert, as a client does."""
    room, world = d.room(), d.world
    user = d.person(room)
    muted = world.now + 3600 if d.is_it(2) else None
    args = {"room": room.id, "user": user, "pinned": d.is_it(0), "archived": d.is_it(1)}
    args["muted"] = muted

    def apply(_: Any) -> Any:
        person = room.people.get(user)
        if person is None or person.left_at is not None:
            raise Refused(FORBIDDEN, None)
        settings = world.touch_private(person)
        settings.is_pinned, settings.is_archived = d.is_it(0), d.is_it(1)
        settings.muted_until = muted

    sql = """insert into chat.participant_settings as s
        (conversation_id, user_id, muted_until, is_pinned, is_archived)
        values (%(room)s, %(user)s, to_timestamp(%(muted)s), %(pinned)s, %(archived)s)
        on conflict (conversation_id, user_id) do update set
        muted_until = excluded.muted_until, is_pinned = excluded.is_pinned,
        is_archived = excluded.is_archived"""
    return Call(user, sql, args, apply, room)
