"""How conversations begin and change, and who takes part in them."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from .calls import Draw, Operation, call, operation
from .state import RANKS, Participant, Refused, Room


@operation(weight=3)
def start_direct(d: Draw) -> Operation:
    """With anybody, oneself included."""
    world, user, other = d.world, d.user(), d.user(d.what)
    tenant = d.tenant() if d.which < 15 else None
    answer = yield call(user, "start_direct", user_id=other, tenant_id=tenant)
    tenant = world.resolve_tenant(user, tenant)
    if not world.is_member(tenant, other):
        raise Refused("user_not_found")
    if other == user:
        raise Refused("direct_with_self")
    pair = (min(user, other), max(user, other))
    for room in world.rooms.values():
        if room.tenant == tenant and room.pair == pair:
            if room.people[user].left_at is not None:
                world.check_may_start(tenant, user, [other])
                world.come_back(room, room.people[user])
            return {"id": room.id}
    world.check_may_start(tenant, user, [other])
    room = Room(answer["id"], tenant, "direct", user, world.now, pair=pair)
    world.rooms[room.id] = room
    world.join(room, [Participant(u, "member", world.now) for u in pair])
    return {"id": room.id}


@operation(weight=2)
def start_group(d: Draw) -> Operation:
    """With up to three others; now and then with the id of another one."""
    world, user, tenant = d.world, d.user(), d.tenant()
    others = sorted({d.user(d.who + 1 + i) for i in range(4) if d.is_it(i)} - {user})
    groups = [r.id for r in world.rooms.values() if r.kind == "group"]
    room_id = groups[d.where % len(groups)] if d.what > 12 and groups else d.new_id("c")
    title = " " if d.what == 12 else "Group"
    yield call(user, "start_group", title=title, user_ids=others, id=room_id, tenant_id=tenant)
    tenant = world.resolve_tenant(user, tenant)
    world.check_may_start(tenant, user, others)
    if not title.strip():
        raise Refused("conversations_title_check")
    known = world.rooms.get(room_id)
    if known is not None:
        if (known.tenant, known.created_by) != (tenant, user):
            raise Refused("conversation_id_taken")
        world.participant(known, user)
        return {"id": room_id}
    if not all(world.is_member(tenant, u) for u in others):
        raise Refused("user_not_found")
    room = world.rooms[room_id] = Room(room_id, tenant, "group", user, world.now, title=title)
    members = [Participant(u, "member", world.now) for u in others]
    world.join(room, [Participant(user, "owner", world.now), *members])
    return {"id": room_id}


@operation(weight=2)
def open_subject(d: Draw) -> Operation:
    """One of three orders, with a client and an agent."""
    world, user, tenant = d.world, d.user(), d.tenant()
    subject = ("order", str(d.what % 3))
    sides = {d.user(d.which): "client", user: "agent"}
    answer = yield call(
        user,
        "open_subject",
        subject_type=subject[0],
        subject_id=subject[1],
        participants=Jsonb([{"user_id": u, "party": side} for u, side in sides.items()]),
        tenant_id=tenant,
    )
    tenant = world.resolve_tenant(user, tenant)
    same = (r for r in world.rooms.values() if (r.tenant, r.subject) == (tenant, subject))
    known = next(same, None)
    if known is not None and user in {person.user for person in known.active()}:
        return {"id": known.id}
    who = world.tenants[tenant].who_may_open_subjects
    if who != "members" and not (who == "moderators" and world.is_moderator(tenant, user)):
        raise Refused("start_not_allowed")
    if known is not None:
        raise Refused("conversation_not_found")
    world.check_may_start(tenant, user, [u for u in sides if u != user])
    if not all(world.is_member(tenant, u) for u in sides):
        raise Refused("user_not_found")
    room = Room(answer["id"], tenant, "subject", user, world.now, subject=subject)
    world.rooms[room.id] = room
    people = [
        Participant(u, "owner" if u == user else "member", world.now, party=side)
        for u, side in sides.items()
    ]
    world.join(room, people)
    return {"id": room.id}


@operation(weight=2)
def update_conversation(d: Draw) -> Operation:
    """Closed, or mostly open again; now and then another title."""
    (room, user), world = d.person(), d.world
    status = "closed" if d.which < 3 else "open"
    title = f"Title {d.number}" if d.which > 12 else None
    yield call(user, "update_conversation", room, title=title, status=status)
    world.administer(room, user)
    if (title or room.title, status) != (room.title, room.status):
        room.title, room.status = title or room.title, status
        world.announce(room, "conversation_updated")
    return {"rev": room.rev}


@operation(weight=4)
def add_participants(d: Draw) -> Operation:
    """One or two, with or without what was said before."""
    (room, user), world = d.person(), d.world
    # Those who were there before come back together or not at all: their revs have an order.
    picked = {d.user(d.what), *([d.user(d.what + 1)] if d.is_it(1) else [])}
    back = sorted(u for u in picked if u in room.people and room.people[u].left_at is not None)
    users = sorted(picked - set(back[1:]))
    sees, party = d.is_it(0), "client" if d.is_it(2) else None
    given = {"user_ids": users, "party": party, "see_history": sees}
    yield call(user, "add_participants", room, **given)
    caller = world.administer(room, user)
    active = {p.user for p in room.active()}
    new = [u for u in users if u not in active]
    world.check_may_start(room.tenant, user, new)
    if not all(world.is_member(room.tenant, u) for u in new):
        raise Refused("user_not_found")
    fresh = [Participant(u, "member", world.now) for u in new if u not in room.people]
    room.people |= {person.user: person for person in fresh}
    people = [room.people[u] for u in new]
    for person in people:
        # They have read what there is.
        if person.settings and person.settings.unread_from is not None:
            world.touch_private(person).unread_from = None
        person.role, person.party, person.joined_at = "member", party, world.now
        person.visible_from = caller.visible_from if sees else room.last_seq + 1
        person.last_read = person.last_delivered = room.last_seq
    for person in people:
        if person not in fresh:
            world.come_back(room, person)
    if fresh:
        world.join(room, fresh)


@operation(weight=2)
def remove_participant(d: Draw) -> Operation:
    """Anybody."""
    (room, user), world, target = d.person(), d.world, d.other()
    yield call(user, "remove_participant", room, user_id=target)
    person, removed = world.administer(room, user), world.other(room, target)
    if removed.role != "member" and person.role != "owner":
        raise Refused("not_the_owner")
    world.depart(room, removed)


@operation(weight=2)
def leave(d: Draw) -> Operation:
    """Of one's own will."""
    room, user = d.person()
    yield call(user, "leave", room)
    person = d.world.participant(room, user)
    if room.kind == "direct":
        raise Refused("direct_is_fixed")
    d.world.depart(room, person)


@operation(weight=3)
def set_role(d: Draw) -> Operation:
    """Anybody's, one's own too."""
    (room, user), world = d.person(), d.world
    target, role = d.other(), list(RANKS)[d.which % 3]
    yield call(user, "set_role", room, user_id=target, role=role)
    if world.administer(room, user).role != "owner":
        raise Refused("not_the_owner")
    person = world.other(room, target)
    if person.role != role:
        if person.role == "owner" and sum(p.role == "owner" for p in room.active()) == 1:
            raise Refused("last_owner")
        person.role = role
        person.rev = world.announce(room, "participant_updated")
    return {"role": role}
