"""What people answer to a message with, short of another message."""

from __future__ import annotations

from typing import Any

from .calls import Call, Draw, operation
from .things import BAD_ARGUMENT, CONFLICT, FORBIDDEN, Message, Refused, Room, iso
from .world import World


def _reaction(d: Draw, name: str) -> Call:
    room, world = d.room(), d.world
    user = d.person(room)
    seq, emoji = d.seq(room), "+-"[d.which % 2]

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        message = world.message(room, person, seq)
        key = (user, emoji)
        if name == "react" and key not in message.reactions:
            world.check_may_write(room, person)
            message.reactions.add(key)
            world.touch(room, message, "reaction_added")
        elif name == "unreact" and key in message.reactions:
            message.reactions.remove(key)
            world.touch(room, message, "reaction_removed")

    sql = f"select chat.{name}(%(room)s, %(seq)s, %(emoji)s)"
    return Call(user, sql, {"room": room.id, "seq": seq, "emoji": emoji}, apply, room)


@operation(weight=3)
def react(d: Draw) -> Call:
    """With one of two."""
    return _reaction(d, "react")


@operation(weight=2)
def unreact(d: Draw) -> Call:
    """Takes one back."""
    return _reaction(d, "unreact")


def _pinning(d: Draw, *, is_pinned: bool) -> Call:
    room, world = d.room(), d.world
    user = d.person(room)
    seq = d.seq(room)

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        message = world.message(room, person, seq)
        may_pin = room.kind == "direct" or person.role != "member"
        if not may_pin and not world.is_moderator(room.tenant, user):
            raise Refused(FORBIDDEN, "not_allowed_to_pin")
        world.check_may_write(room, person)
        if (message.is_pinned_by is not None) != is_pinned:
            message.is_pinned_by = user if is_pinned else None
            world.touch(room, message, "message_pinned" if is_pinned else "message_unpinned")

    name = "pin_message" if is_pinned else "unpin_message"
    sql = f"select chat.{name}(%(room)s, %(seq)s)"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=2)
def pin(d: Draw) -> Call:
    """For everybody."""
    return _pinning(d, is_pinned=True)


@operation(weight=1)
def unpin(d: Draw) -> Call:
    """Undoes pin."""
    return _pinning(d, is_pinned=False)


def _poll(d: Draw, room: Room) -> int:
    """One of the last polls, if there is any."""
    polls = [m.seq for m in room.messages if m.kind == "poll"]
    return polls[-1 - d.what % len(polls)] if polls else d.seq(room)


def _is_closed(world: World, poll: Message) -> bool:
    ends = poll.metadata.get("closes_at")
    return "closed_at" in poll.metadata or (ends is not None and ends <= iso(world.now))


@operation(weight=4)
def vote(d: Draw) -> Call:
    """For one option, for both, for none or for one there is not."""
    room, world = d.room(), d.world
    user, seq = d.person(room), _poll(d, room)
    options = (["a"], ["b"], [], ["a", "b"], ["z"])[d.which % 5]

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        poll = world.message(room, person, seq)
        if poll.kind != "poll":
            raise Refused(BAD_ARGUMENT, "not_a_poll")
        if {(user, o) for o in options} == {v for v in poll.votes if v[0] == user}:
            return
        world.check_may_write(room, person)
        if _is_closed(world, poll):
            raise Refused(CONFLICT, "poll_closed")
        if "z" in options:
            raise Refused(BAD_ARGUMENT, "unknown_option")
        if len(options) > 1 and not poll.metadata.get("multiple"):
            raise Refused(BAD_ARGUMENT, "one_option_only")
        poll.votes = {v for v in poll.votes if v[0] != user} | {(user, o) for o in options}
        world.touch(room, poll, "poll_voted")

    sql = "select chat.vote(%(room)s, %(seq)s, %(options)s::text[])"
    return Call(user, sql, {"room": room.id, "seq": seq, "options": options}, apply, room)


@operation(weight=1)
def close_poll(d: Draw) -> Call:
    """For good."""
    room, world = d.room(), d.world
    user, seq = d.person(room), _poll(d, room)

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        poll = world.message(room, person, seq)
        if poll.kind != "poll":
            raise Refused(BAD_ARGUMENT, "not_a_poll")
        may_rule = person.role != "member" or world.is_moderator(room.tenant, user)
        if poll.sender != user and not may_rule:
            raise Refused(FORBIDDEN, "not_allowed_to_close")
        if not _is_closed(world, poll):
            world.check_may_write(room, person)
            poll.metadata = {**poll.metadata, "closed_at": iso(world.now)}
            world.touch(room, poll, "poll_closed")

    sql = "select chat.close_poll(%(room)s, %(seq)s)"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)
