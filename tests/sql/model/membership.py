"""Who takes part in a conversation, and as what."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import BAD_ARGUMENT, FORBIDDEN, NOT_FOUND, RANKS, Participant, Refused


@operation(weight=4)
def add_participants(d: Draw) -> Call:
    """One or two, with or without what was said before."""
    room, world = d.room(), d.world
    user = d.person(room)
    # Those who were there before come back together or not at all: their revs have an order.
    people = {d.user(d.what), *([d.user(d.what + 1)] if d.is_it(1) else [])}
    back = sorted(u for u in people if u in room.people and room.people[u].left_at is not None)
    users = sorted(people - set(back[1:]))
    sees = d.is_it(0)
    party = "client" if d.is_it(2) else None

    def apply(_: Any) -> Any:
        world.administer(room, user)
        active = {p.user for p in room.active()}
        new = [u for u in users if u not in active]
        world.check_may_start(room.tenant, user, new)
        if not all(world.is_member(room.tenant, u) for u in new):
            raise Refused(NOT_FOUND, "user_not_found")
        fresh = []
        for u in new:
            person = room.people.get(u)
            if person is None:
                person = Participant(u, "member", world.now)
                fresh.append(person)
            # They have read what there is.
            if person.settings and person.settings.unread_from is not None:
                world.touch_private(person).unread_from = None
            person.role, person.party, person.joined_at = "member", party, world.now
            person.visible_from = 1 if sees else room.last_seq + 1
            person.last_read = person.last_delivered = room.last_seq
            if person not in fresh:
                world.come_back(room, person)
        if fresh:
            world.join(room, fresh)
        return len(new)

    args = {"room": room.id, "users": users, "party": party, "sees": sees}
    sql = """select count(*) from chat.add_participants(
        %(room)s, %(users)s::uuid[], %(party)s, %(sees)s)"""
    return Call(user, sql, args, apply, room)


@operation(weight=2)
def remove_participant(d: Draw) -> Call:
    """Anybody."""
    room, world = d.room(), d.world
    user, target = d.person(room), d.user(d.what)

    def apply(_: Any) -> Any:
        person = world.administer(room, user)
        removed = world.other(room, target)
        if removed.role != "member" and person.role != "owner":
            raise Refused(FORBIDDEN, "not_the_owner")
        world.depart(room, removed)

    sql = "select chat.remove_participant(%(room)s, %(user)s)"
    return Call(user, sql, {"room": room.id, "user": target}, apply, room)


@operation(weight=2)
def leave(d: Draw) -> Call:
    """Of one's own will."""
    room, world = d.room(), d.world
    user = d.person(room)

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        if room.kind == "direct":
            raise Refused(BAD_ARGUMENT, "direct_is_fixed")
        world.depart(room, person)

    return Call(user, "select chat.leave(%(room)s)", {"room": room.id}, apply, room)


@operation(weight=3)
def set_role(d: Draw) -> Call:
    """Anybody's, one's own too."""
    room, world = d.room(), d.world
    user, target, role = d.person(room), d.user(d.what), list(RANKS)[d.which % 3]

    def apply(_: Any) -> Any:
        if world.administer(room, user).role != "owner":
            raise Refused(FORBIDDEN, "not_the_owner")
        person = world.other(room, target)
        if person.role == role:
            return role
        if person.role == "owner" and sum(p.role == "owner" for p in room.active()) == 1:
            raise Refused(FORBIDDEN, "last_owner")
        person.role = role
        person.rev = world.announce(room, "participant_updated")
        return role

    args = {"room": room.id, "user": target, "role": role}
    sql = "select (chat.set_role(%(room)s, %(user)s, %(role)s)).role::text"
    return Call(user, sql, args, apply, room)
