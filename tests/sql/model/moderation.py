"""What keeps people apart or quiet."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import (
    BAD_ARGUMENT,
    CHECK,
    DAY,
    FORBIDDEN,
    NOT_FOUND,
    RANKS,
    TENANT_RANKS,
    UNIQUE,
    Ban,
    Notice,
    Refused,
    Room,
    Tenant,
)
from .world import World


@operation(weight=1)
def silence(d: Draw) -> Call:
    """For a minute, or no more."""
    room, world = d.room(), d.world
    user, target = d.person(room), d.user(d.what)
    until = world.now + 60 if d.which % 4 else None

    def apply(_: Any) -> Any:
        world.moderate(room, user)
        person = world.other(room, target)
        caller = room.people.get(user)
        outranks = (
            caller is not None
            and caller.left_at is None
            and RANKS[caller.role] < RANKS[person.role]
        )
        members = world.tenants[room.tenant].members
        if not outranks and not (
            world.is_member(room.tenant, user)
            and TENANT_RANKS[members[user].role] < TENANT_RANKS[members[target].role]
        ):
            raise Refused(FORBIDDEN, "outranked")
        if person.silenced_until != until:
            person.silenced_until = until
            person.rev = world.announce(room, "participant_updated")

    args = {"room": room.id, "user": target, "until": until}
    sql = "select chat.silence_participant(%(room)s, %(user)s, to_timestamp(%(until)s))"
    return Call(user, sql, args, apply, room)


@operation(weight=1)
def set_slow_mode(d: Draw) -> Call:
    """A minute, or none."""
    room, world = d.room(), d.world
    user = d.person(room)
    seconds = 60 if d.which < 5 else 0

    def apply(_: Any) -> Any:
        world.moderate(room, user)
        if room.slow_mode != seconds:
            room.slow_mode = seconds
            world.announce(room, "conversation_updated")
        return room.rev

    sql = "select (chat.set_slow_mode(%(room)s, %(seconds)s)).rev"
    return Call(user, sql, {"room": room.id, "seconds": seconds}, apply, room)


def _directs(world: World, a: str, b: str) -> list[Room]:
    return [r for r in world.rooms.values() if r.kind == "direct" and {a, b} == set(r.people)]


@operation(weight=2)
def block(d: Draw) -> Call:
    """Somebody, as a client does: a row in blocks."""
    world, user, other = d.world, d.user(), d.user(d.what)

    def apply(_: Any) -> Any:
        if user == other:
            raise Refused(CHECK, "blocks_self_check")
        if (user, other) in world.blocks:
            raise Refused(UNIQUE, "blocks_pkey")
        world.blocks.add((user, other))
        world.notices.append(Notice(user, "user_blocked"))
        for room in _directs(world, user, other):
            room.epoch += 1

    sql = "insert into chat.blocks (blocked_id) values (%(other)s)"
    return Call(user, sql, {"other": other}, apply)


@operation(weight=2)
def unblock(d: Draw) -> Call:
    """Somebody, blocked or not."""
    world, user, other = d.world, d.user(), d.user(d.what)
    mine = sorted(b for a, b in world.blocks if a == user)
    if mine and d.which < 12:
        other = mine[d.what % len(mine)]

    def apply(_: Any) -> Any:
        if (user, other) in world.blocks:
            world.blocks.remove((user, other))
            world.notices.append(Notice(user, "user_unblocked"))
            if not world.is_blocked(user, other):
                for room in _directs(world, user, other):
                    world.announce(room, "conversation_updated")

    return Call(
        user, "delete from chat.blocks where blocked_id = %(other)s", {"other": other}, apply
    )


@operation(weight=2)
def ban(d: Draw) -> Call:
    """For a day or without end; again, to change that."""
    world, user, target, tenant = d.world, d.user(), d.user(d.what), d.tenant()
    until = {0: None, 1: world.now}.get(d.which % 4, world.now + DAY)

    def apply(_: Any) -> Any:
        where = world.tenants[world.resolve_tenant(user, tenant)]
        caller, member = where.members[user], where.members.get(target)
        if caller.role == "member":
            raise Refused(FORBIDDEN, "not_a_moderator")
        if until is not None and until <= world.now:
            raise Refused(BAD_ARGUMENT, "expiry_in_past")
        if member is None:
            raise Refused(NOT_FOUND, "user_not_found")
        if not member.is_removed and TENANT_RANKS[caller.role] >= TENANT_RANKS[member.role]:
            raise Refused(FORBIDDEN, "outranked")
        before = where.bans.get(target)
        was_member = not member.is_removed or (before is not None and before.was_member)
        where.bans[target] = Ban(user, was_member, until)
        if not member.is_removed:
            member.role = "member"
            world.leave_tenant(tenant, target)

    sql = """select chat.ban_user(
        user_id => %(user)s, expires_at => to_timestamp(%(until)s), tenant_id => %(tenant)s)"""
    return Call(user, sql, {"user": target, "until": until, "tenant": tenant}, apply)


def _lift(tenant: Tenant, user: str) -> None:
    if tenant.bans.pop(user).was_member:
        tenant.members[user].is_removed = False


@operation(weight=2)
def unban(d: Draw) -> Call:
    """Somebody, banned or not."""
    world, user, target, tenant = d.world, d.user(), d.user(d.what), d.tenant()
    banned = sorted(world.tenants[tenant].bans)
    if banned and d.which < 12:
        target = banned[d.what % len(banned)]

    def apply(_: Any) -> Any:
        where = world.tenants[world.resolve_tenant(user, tenant)]
        caller = where.members[user]
        if caller.role == "member":
            raise Refused(FORBIDDEN, "not_a_moderator")
        if target not in where.bans:
            raise Refused(NOT_FOUND, "ban_not_found")
        judge = where.members.get(where.bans[target].banned_by or "")
        if judge and not judge.is_removed and TENANT_RANKS[judge.role] < TENANT_RANKS[caller.role]:
            raise Refused(FORBIDDEN, "outranked")
        _lift(where, target)

    sql = "select chat.unban_user(user_id => %(user)s, tenant_id => %(tenant)s)"
    return Call(user, sql, {"user": target, "tenant": tenant}, apply)


@operation(weight=1)
def return_after_ban(d: Draw) -> Call:
    """Of whoever thinks that their bans are over."""
    world, user = d.world, d.user()

    def apply(_: Any) -> Any:
        bans = [t for t in world.tenants if user in world.tenants[t].bans]
        over = [t for t in bans if not world.is_banned(t, user)]
        if not over:
            code = "banned" if bans else "ban_not_found"
            raise Refused(FORBIDDEN if bans else NOT_FOUND, code)
        for tenant in over:
            _lift(world.tenants[tenant], user)
        return len(over)

    return Call(user, "select count(*) from chat.return_after_ban()", {}, apply)
