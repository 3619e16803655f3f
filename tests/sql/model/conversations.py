"""How conversations begin, change and close."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import BAD_ARGUMENT, CHECK, CONFLICT, FORBIDDEN, NOT_FOUND, Participant, Refused, Room


@operation(weight=3)
def start_direct(d: Draw) -> Call:
    """With anybody, oneself included."""
    world, user, other, tenant = d.world, d.user(), d.user(d.what), d.tenant()
    if d.which == 15:
        tenant = None

    def apply(answer: Any) -> Any:
        where = world.resolve_tenant(user, tenant)
        if not world.is_member(where, other):
            raise Refused(NOT_FOUND, "user_not_found")
        if other == user:
            raise Refused(BAD_ARGUMENT, "direct_with_self")
        pair = (min(user, other), max(user, other))
        for room in world.rooms.values():
            if room.tenant == where and room.pair == pair:
                if room.people[user].left_at is not None:
                    world.check_may_start(where, user, [other])
                    world.come_back(room, room.people[user])
                return room.id
        world.check_may_start(where, user, [other])
        room = Room(answer, where, "direct", user, world.now, pair=pair)
        world.rooms[room.id] = room
        world.join(room, [Participant(u, "member", world.now) for u in pair])
        return room.id

    sql = """select (chat.start_direct(user_id => %(other)s, tenant_id => %(tenant)s)).id::text"""
    return Call(user, sql, {"other": other, "tenant": tenant}, apply)


@operation(weight=2)
def start_group(d: Draw) -> Call:
    """With up to three others; now and then with the id of another one."""
    world, user, tenant = d.world, d.user(), d.tenant()
    others = sorted({d.user(d.who + 1 + i) for i in range(4) if d.is_it(i)})
    groups = [r.id for r in world.rooms.values() if r.kind == "group"]
    room_id = groups[d.where % len(groups)] if d.what > 12 and groups else d.new_id("c")
    args = {"title": " " if d.what == 12 else "Group", "others": others, "id": room_id}
    args["tenant"] = tenant

    def apply(_: Any) -> Any:
        where = world.resolve_tenant(user, tenant)
        rest = [u for u in others if u != user]
        world.check_may_start(where, user, rest)
        if not args["title"].strip():
            raise Refused(CHECK, "conversations_title_check")
        known = world.rooms.get(room_id)
        if known is not None:
            if (known.tenant, known.created_by) != (where, user):
                raise Refused(CONFLICT, "conversation_id_taken")
            return room_id
        if not all(world.is_member(where, u) for u in rest):
            raise Refused(NOT_FOUND, "user_not_found")
        room = Room(room_id, where, "group", user, world.now, title="Group")
        world.rooms[room_id] = room
        people = [Participant(u, "member", world.now) for u in rest]
        world.join(room, [Participant(user, "owner", world.now), *people])
        return room_id

    sql = """select (chat.start_group(
        %(title)s, %(others)s::uuid[], %(id)s, %(tenant)s)).id::text"""
    return Call(user, sql, args, apply)


@operation(weight=2)
def open_subject(d: Draw) -> Call:
    """One of three orders, with a client and an agent."""
    world, user, tenant = d.world, d.user(), d.tenant()
    subject = ("order", str(d.what % 3))
    sides = {user: "agent"}
    if d.user(d.which) != user:
        sides[d.user(d.which)] = "client"

    def apply(answer: Any) -> Any:
        where = world.resolve_tenant(user, tenant)
        for room in world.rooms.values():
            if (room.tenant, room.subject) == (where, subject):
                world.participant(room, user)
                return room.id
        who = world.tenants[where].who_may_open_subjects
        if who != "members" and not (who == "moderators" and world.is_moderator(where, user)):
            raise Refused(FORBIDDEN, "start_not_allowed")
        world.check_may_start(where, user, [u for u in sides if u != user])
        if not all(world.is_member(where, u) for u in sides):
            raise Refused(NOT_FOUND, "user_not_found")
        room = Room(answer, where, "subject", user, world.now, subject=subject)
        world.rooms[room.id] = room
        world.join(
            room,
            [
                Participant(u, "owner" if u == user else "member", world.now, party=side)
                for u, side in sides.items()
            ],
        )
        return room.id

    args = {
        "id": subject[1],
        "people": [f'{{"user_id": "{u}", "party": "{side}"}}' for u, side in sides.items()],
        "tenant": tenant,
    }
    sql = """select (chat.open_subject(
        'order', %(id)s, to_jsonb(%(people)s::jsonb[]), tenant_id => %(tenant)s)).id::text"""
    return Call(user, sql, args, apply)


@operation(weight=2)
def update_conversation(d: Draw) -> Call:
    """Closed, or mostly open again; now and then another title."""
    room, world = d.room(), d.world
    user = d.person(room)
    status = "closed" if d.which < 3 else "open"
    title = f"Title {d.number}" if d.which > 12 else None

    def apply(_: Any) -> Any:
        world.administer(room, user)
        if (title or room.title, status) != (room.title, room.status):
            room.title, room.status = title or room.title, status
            world.announce(room, "conversation_updated")
        return room.rev

    args = {"room": room.id, "title": title, "status": status}
    sql = "select (chat.update_conversation(%(room)s, %(title)s, %(status)s)).rev"
    return Call(user, sql, args, apply, room)
