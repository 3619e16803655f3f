"""What keeps people apart or quiet, and what happens to tenants, accounts and the clock."""

from __future__ import annotations

from datetime import UTC, datetime

from .calls import Call, Draw, Operation, call, operation, taking_part
from .state import (
    DAY,
    FOREVER,
    RANKS,
    TENANT_RANKS,
    Ban,
    Member,
    Notice,
    Refused,
    Room,
    Tenant,
)
from .world import World


@operation(weight=3)
def silence_participant(d: Draw) -> Operation:
    """For a day, or no more."""
    (room, user), world, target = d.person(), d.world, d.other()
    until = world.now + DAY if d.which % 4 else None
    given = None if until is None else datetime.fromtimestamp(until, UTC)
    yield call(user, "silence_participant", room, user_id=target, until=given)
    world.moderate(room, user)
    person, caller = world.other(room, target), taking_part(room, user)
    members = world.tenants[room.tenant].members
    outranks = caller is not None and RANKS[caller.role] < RANKS[person.role]
    if not outranks and not (
        world.is_member(room.tenant, user)
        and TENANT_RANKS[members[user].role] < TENANT_RANKS[members[target].role]
    ):
        raise Refused("outranked")
    if person.silenced_until != until:
        person.silenced_until = until
        person.rev = world.announce(room, "participant_updated")


@operation(weight=1)
def set_slow_mode(d: Draw) -> Operation:
    """A minute, or none."""
    (room, user), world, seconds = d.person(), d.world, 60 if d.which < 5 else 0
    yield call(user, "set_slow_mode", room, seconds=seconds)
    world.moderate(room, user)
    if room.slow_mode != seconds:
        room.slow_mode = seconds
        world.announce(room, "conversation_updated")
    return {"rev": room.rev}


def _directs(world: World, a: str, b: str) -> list[Room]:
    return [r for r in world.rooms.values() if r.kind == "direct" and {a, b} == set(r.people)]


@operation(weight=2)
def block(d: Draw) -> Operation:
    """Somebody, as a client does: a row in blocks."""
    world, user, other = d.world, d.user(), d.user(d.what)
    yield Call(user, "insert into chat.blocks (blocked_id) values (%(other)s)", {"other": other})
    if user == other:
        raise Refused("blocks_self_check")
    if (user, other) in world.blocks:
        raise Refused("blocks_pkey")
    world.blocks.add((user, other))
    world.notices.add(Notice(user, "user_blocked"))
    for room in _directs(world, user, other):
        room.epoch += 1


@operation(weight=2)
def unblock(d: Draw) -> Operation:
    """Somebody, blocked or not."""
    world, user = d.world, d.user()
    other = d.mostly({b for a, b in world.blocks if a == user}, d.user(d.what))
    yield Call(user, "delete from chat.blocks where blocked_id = %(other)s", {"other": other})
    if (user, other) in world.blocks:
        world.blocks.remove((user, other))
        world.notices.add(Notice(user, "user_unblocked"))
        if not world.is_blocked(user, other):
            for room in _directs(world, user, other):
                world.announce(room, "conversation_updated")


@operation(weight=2)
def ban_user(d: Draw) -> Operation:
    """For a day or without end; again, to change that."""
    world, user, target, tenant = d.world, d.user(), d.user(d.what), d.tenant()
    until = {0: None, 1: world.now}.get(d.which % 4, world.now + DAY)
    given = None if until is None else datetime.fromtimestamp(until, UTC)
    yield call(user, "ban_user", user_id=target, expires_at=given, tenant_id=tenant)
    where = world.tenants[world.resolve_tenant(user, tenant)]
    caller, member = where.members[user], where.members.get(target)
    if caller.role == "member":
        raise Refused("not_a_moderator")
    if until is not None and until <= world.now:
        raise Refused("expiry_in_past")
    if member is None:
        raise Refused("user_not_found")
    if not member.is_removed and TENANT_RANKS[caller.role] >= TENANT_RANKS[member.role]:
        raise Refused("outranked")
    if target in where.bans:
        _require_change(where, target, caller)
    before = where.bans.get(target)
    was_member = not member.is_removed or (before is not None and before.was_member)
    where.bans[target] = Ban(user, was_member, until)
    if not member.is_removed:
        member.role = "member"
        world.leave_tenant(tenant, target)


def _require_change(tenant: Tenant, banned: str, caller: Member) -> None:
    judge = tenant.members.get(tenant.bans[banned].banned_by or "")
    if judge and not judge.is_removed and TENANT_RANKS[judge.role] < TENANT_RANKS[caller.role]:
        raise Refused("outranked")


def _lift(tenant: Tenant, user: str) -> None:
    if tenant.bans.pop(user).was_member:
        tenant.members[user].is_removed = False


@operation(weight=2)
def unban_user(d: Draw) -> Operation:
    """Somebody, banned or not."""
    world, user, tenant = d.world, d.user(), d.tenant()
    target = d.mostly(world.tenants[tenant].bans, d.user(d.what))
    yield call(user, "unban_user", user_id=target, tenant_id=tenant)
    where = world.tenants[world.resolve_tenant(user, tenant)]
    caller = where.members[user]
    if caller.role == "member":
        raise Refused("not_a_moderator")
    if target not in where.bans:
        raise Refused("ban_not_found")
    _require_change(where, target, caller)
    _lift(where, target)


@operation(weight=1)
def return_after_ban(d: Draw) -> Operation:
    """Of whoever thinks that their bans are over."""
    world, user = d.world, d.user()
    yield call(user, "return_after_ban")
    bans = [name for name, tenant in world.tenants.items() if user in tenant.bans]
    over = [name for name in bans if not world.is_banned(name, user)]
    if not over:
        raise Refused("banned" if bans else "ban_not_found")
    for name in over:
        _lift(world.tenants[name], user)


@operation(weight=1)
def leave_tenant(d: Draw) -> Operation:
    """Somebody is removed from a tenant, as the service role does."""
    world, args = d.world, {"user": d.user(), "tenant": d.tenant()}
    sql = """update chat.tenant_members set removed_at = chat_private.now()
        where tenant_id = %(tenant)s and user_id = %(user)s and removed_at is null"""
    yield Call(None, sql, args)
    if world.is_member(args["tenant"], args["user"]):
        world.leave_tenant(args["tenant"], args["user"])


@operation(weight=2)
def join_tenant(d: Draw) -> Operation:
    """Somebody becomes a member, again or not."""
    world, args = d.world, {"user": d.user(), "tenant": d.tenant()}
    sql = """insert into chat.tenant_members (tenant_id, user_id) values (%(tenant)s, %(user)s)
        on conflict (tenant_id, user_id) do update set removed_at = null"""
    yield Call(None, sql, args)
    if world.is_banned(args["tenant"], args["user"]):
        raise Refused("banned")
    members = world.tenants[args["tenant"]].members
    members.setdefault(args["user"], Member()).is_removed = False


@operation(weight=1)
def set_tier(d: Draw) -> Operation:
    """Of somebody, for what they sent and send."""
    args = {"user": d.user(), "tenant": d.tenant()}
    tier = ("free", "privileged", FOREVER)[d.what % 3]
    sql = """update chat.tenant_members set tier = %(tier)s
        where tenant_id = %(tenant)s and user_id = %(user)s"""
    yield Call(None, sql, {**args, "tier": tier})
    if args["user"] in d.world.tenants[args["tenant"]].members:
        d.world.set_tier(args["tenant"], args["user"], tier)


@operation(weight=1)
def change_settings(d: Draw) -> Operation:
    """Of a tenant."""
    args = {
        "tenant": d.tenant(),
        "start": ("members", "members", "contacts", "moderators")[d.what % 4],
        "subjects": ("members", "moderators", "nobody")[d.what % 3],
        "revisions": ("participants", "admins", "nobody")[d.which % 3],
        "window": DAY if d.is_it(3) else None,
    }
    sql = """update chat.settings set who_may_start = %(start)s,
        who_may_open_subjects = %(subjects)s, revisions_visible_to = %(revisions)s,
        edit_window = make_interval(secs => %(window)s) where tenant_id = %(tenant)s"""
    yield Call(None, sql, args)
    tenant = d.world.tenants[args["tenant"]]
    tenant.who_may_start, tenant.who_may_open_subjects = args["start"], args["subjects"]
    tenant.revisions_visible_to, tenant.edit_window = args["revisions"], args["window"]


@operation(weight=2)
def wait(d: Draw) -> Operation:
    """Time passes: a minute, or until something expires."""
    world = d.world
    seconds = (60, 61, 10 * DAY, 20 * DAY)[d.what % 4]
    ends = [m.expires_at for r in world.rooms.values() for m in r.messages if m.expires_at]
    ends = sorted(end for end in ends if end > world.now)
    if ends and d.which > 7:
        # To the very second: from expires_at on it cannot be read.
        seconds = ends[0] - world.now - d.which % 2
    sql = "select to_jsonb(set_config('model.now', %(now)s, true))"
    yield Call(None, sql, {"now": str(world.now + seconds)})
    world.now += seconds


@operation(weight=1)
def delete_account(d: Draw) -> Operation:
    """Rarely, and never of the last four."""
    world, user = d.world, d.user()
    if d.which != 9 or len(world.users) <= 4:
        return (yield from wait(d))
    yield Call(None, "delete from auth.users where id = %(user)s", {"user": user})
    world.users.remove(user)
    ended = {pair for pair in world.blocks if user in pair}
    world.blocks -= ended
    world.notices |= {Notice(blocker, "user_unblocked") for blocker, _ in ended}
    for tenant in world.tenants.values():
        tenant.members.pop(user, None)
        tenant.bans.pop(user, None)
        for ban in tenant.bans.values():
            ban.banned_by = None if ban.banned_by == user else ban.banned_by
    for room in world.rooms.values():
        if user in room.people:
            _forget(world, room, user)


def _forget(world: World, room: Room, user: str) -> None:
    world.depart(room, room.people[user], is_deleted=True)
    low, high = room.pair
    room.pair = (None if low == user else low, None if high == user else high)
    room.created_by = None if room.created_by == user else room.created_by
    for m in room.messages:
        m.sender = None if m.sender == user else m.sender
        m.reactions = {r: when for r, when in m.reactions.items() if r[0] != user}
        m.votes = {v for v in m.votes if v[0] != user}
        m.mentions.discard(user)
        m.pinned_by = "" if m.pinned_by == user else m.pinned_by
