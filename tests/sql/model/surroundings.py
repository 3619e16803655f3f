"""What happens to tenants, accounts and the clock."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import DAY, FORBIDDEN, FOREVER, Member, Message, Refused, Room
from .world import World


@operation(weight=1)
def leave_tenant(d: Draw) -> Call:
    """Somebody is removed from a tenant, as the service role does."""
    world, user, tenant = d.world, d.user(), d.tenant()

    def apply(_: Any) -> Any:
        if world.is_member(tenant, user):
            world.leave_tenant(tenant, user)

    sql = """update chat.tenant_members set removed_at = chat_private.now()
        where tenant_id = %(tenant)s and user_id = %(user)s and removed_at is null"""
    return Call(None, sql, {"tenant": tenant, "user": user}, apply)


@operation(weight=2)
def join_tenant(d: Draw) -> Call:
    """Somebody becomes a member, again or not."""
    world, user, tenant = d.world, d.user(), d.tenant()

    def apply(_: Any) -> Any:
        members = world.tenants[tenant].members
        if world.is_banned(tenant, user):
            raise Refused(FORBIDDEN, "banned")
        members.setdefault(user, Member()).is_removed = False

    sql = """insert into chat.tenant_members (tenant_id, user_id) values (%(tenant)s, %(user)s)
        on conflict (tenant_id, user_id) do update set removed_at = null"""
    return Call(None, sql, {"tenant": tenant, "user": user}, apply)


@operation(weight=1)
def set_tier(d: Draw) -> Call:
    """Of somebody, for what they send from now on."""
    world, user, tenant = d.world, d.user(), d.tenant()
    tier = ("free", "privileged", FOREVER)[d.what % 3]

    def apply(_: Any) -> Any:
        member = world.tenants[tenant].members.get(user)
        if member is not None:
            member.tier = tier

    sql = """update chat.tenant_members set tier = %(tier)s
        where tenant_id = %(tenant)s and user_id = %(user)s"""
    return Call(None, sql, {"tier": tier, "tenant": tenant, "user": user}, apply)


@operation(weight=1)
def change_settings(d: Draw) -> Call:
    """Of a tenant."""
    world, tenant = d.world, d.tenant()
    start = ("members", "members", "contacts", "moderators")[d.what % 4]
    subjects = ("members", "moderators", "nobody")[d.what % 3]
    revisions = ("participants", "admins", "nobody")[d.which % 3]
    window = DAY if d.is_it(3) else None

    def apply(_: Any) -> Any:
        decided = world.tenants[tenant]
        decided.who_may_start, decided.who_may_open_subjects = start, subjects
        decided.revisions_visible_to, decided.edit_window = revisions, window

    args = {"start": start, "subjects": subjects, "revisions": revisions, "window": window}
    sql = """update chat.settings set who_may_start = %(start)s,
        who_may_open_subjects = %(subjects)s, revisions_visible_to = %(revisions)s,
        edit_window = make_interval(secs => %(window)s) where tenant_id = %(tenant)s"""
    return Call(None, sql, {**args, "tenant": tenant}, apply)


@operation(weight=2)
def wait(d: Draw) -> Call:
    """Time passes: a minute, or until something expires."""
    world = d.world
    seconds = (60, 61, 10 * DAY, 20 * DAY)[d.what % 4]
    ends = sorted(
        m.expires_at
        for r in world.rooms.values()
        for m in r.messages
        if m.expires_at is not None and m.expires_at > world.now
    )
    if ends and d.which > 7:
        # To the very second: from expires_at on it cannot be read.
        seconds = ends[0] - world.now - d.which % 2

    def apply(_: Any) -> Any:
        world.now += seconds

    sql = "select set_config('model.now', %(now)s, true)"
    return Call(None, sql, {"now": str(world.now + seconds)}, apply)


@operation(weight=1)
def delete_account(d: Draw) -> Call:
    """Rarely, and never of the last four."""
    world, user = d.world, d.user()
    if d.which != 9 or len(world.users) <= 4:
        return wait(d)

    def apply(_: Any) -> Any:
        world.users.remove(user)
        world.blocks = {pair for pair in world.blocks if user not in pair}
        for tenant in world.tenants.values():
            tenant.members.pop(user, None)
            tenant.bans.pop(user, None)
            for ban in tenant.bans.values():
                ban.banned_by = None if ban.banned_by == user else ban.banned_by
        for room in world.rooms.values():
            if user in room.people:
                _forget(world, room, user)

    return Call(None, "delete from auth.users where id = %(user)s", {"user": user}, apply)


def _forget(world: World, room: Room, user: str) -> None:
    world.depart(room, room.people[user], is_deleted=True)
    low, high = room.pair
    room.pair = (None if low == user else low, None if high == user else high)
    room.created_by = None if room.created_by == user else room.created_by
    for message in room.messages:
        _forget_in(message, user)


def _forget_in(message: Message, user: str) -> None:
    message.sender = None if message.sender == user else message.sender
    message.reactions = {r for r in message.reactions if r[0] != user}
    message.votes = {v for v in message.votes if v[0] != user}
    message.mentions.discard(user)
    message.is_pinned_by = "" if message.is_pinned_by == user else message.is_pinned_by
