"""Messages: sent, edited, deleted, and answered with less than another message."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from .calls import Call, Draw, Operation, call, operation
from .state import DAY, Message, Participant, Refused, Room, iso
from .world import World

# Of the numbers without a coin for reply or thread, these make something else than a text.
MENTION_ALL, POLL, POLL_OF_A_DAY, SYSTEM = 10, 12, 14, 15


def _metadata(d: Draw) -> dict[str, Any]:
    if d.which == MENTION_ALL:
        return {"mention_all": True}
    if d.which not in (POLL, POLL_OF_A_DAY):
        return {}
    options = [{"id": name, "text": name.upper()} for name in "ab"]
    if d.which == POLL:
        return {"question": "Which?", "options": options, "multiple": True}
    return {"question": "Which?", "options": options, "closes_at": iso(d.world.now + DAY)}


def _check_may_send(world: World, room: Room, person: Participant, what: dict[str, Any]) -> None:
    world.check_may_write(room, person)
    last = person.last_sent_at
    if person.role == "member" and last is not None and world.now < last + room.slow_mode:
        raise Refused("slow_mode")
    if what["kind"] == "system":
        raise Refused("system_message")
    if len(what["body"]) > 10_000:
        raise Refused("message_too_long")
    if what["reply_to_seq"] is not None:
        world.message(room, person, what["reply_to_seq"])
    if what["thread_root_seq"] is not None:
        root = world.message(room, person, what["thread_root_seq"])
        if root.thread_root is not None:
            raise Refused("thread_in_thread")
    if what["kind"] == "text" and not what["body"].strip():
        raise Refused("messages_body_check")
    if what["metadata"].get("mention_all") and person.role == "member":
        raise Refused("not_allowed_to_mention_all")


@operation(weight=16)
def send_message(d: Draw) -> Operation:
    """Now and then a reply, in a thread, with a mention, blank, too long, or a poll."""
    (room, user), world = d.person(), d.world
    what = {
        "id": d.new_id("a"),
        "kind": {SYSTEM: "system", POLL: "poll", POLL_OF_A_DAY: "poll"}.get(d.which, "text"),
        "body": {14: " ", 15: "x" * 10_001}.get(d.what, f"message {d.number}"),
        "metadata": _metadata(d),
        "reply_to_seq": d.seq() if d.is_it(0) and d.is_it(1) else None,
        "thread_root_seq": d.seq() if d.is_it(0) and d.is_it(2) else None,
    }
    mentions = [d.user(d.what)] if d.is_it(0) and d.is_it(3) else []
    given = {**what, "metadata": Jsonb(what["metadata"]), "mentions": mentions}
    yield call(user, "send_message", room, **given)
    _check_may_send(world, room, world.participant(room, user), what)
    message = world.append(
        room,
        user,
        id=what["id"],
        kind=what["kind"],
        body=what["body"],
        metadata=what["metadata"],
        reply_to=what["reply_to_seq"],
        thread_root=what["thread_root_seq"],
    )
    message.mentions = {
        p.user
        for p in room.active()
        if p.user in mentions
        and p.user != user
        and p.visible_from <= message.seq
        and not world.is_blocked(p.user, user)
    }
    if what["metadata"].get("mention_all"):
        message.mentions.add(None)
    return {"seq": message.seq}


@operation(weight=2)
def send_again(d: Draw) -> Operation:
    """The same id once more, by its sender or by another."""
    (room, user), world = d.person(), d.world
    everything = [(r, m) for r in world.rooms.values() for m in r.messages]
    mine = [(room, m) for m in room.messages if m.sender == user]
    known = (everything if d.is_it(0) and d.is_it(1) else mine) or everything
    if not known:
        return (yield from send_message(d))
    where, message = known[-1 - d.what % len(known)]
    yield call(user, "send_message", room, body="x", id=message.id)
    world.participant(room, user)
    if where is not room or message.sender != user:
        raise Refused("message_id_taken")
    return {"seq": message.seq}


@operation(weight=1)
def system_message(d: Draw) -> Operation:
    """Written by the database."""
    room, what = d.room(), {"id": d.new_id("b"), "body": f"system {d.number}"}
    sql = """insert into chat.messages (conversation_id, id, kind, body)
        values (%(room)s, %(id)s, 'system', %(body)s)"""
    yield Call(None, sql, {"room": room.id, **what}, room)
    d.world.append(room, None, kind="system", metadata={}, **what)


@operation(weight=4)
def edit_message(d: Draw) -> Operation:
    """Another text, or the same."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    known = room.messages[seq - 1].body if 1 <= seq <= room.last_seq else None
    body = {14: " ", 15: known or "?"}.get(d.which, f"edited {d.number}")
    yield call(user, "edit_message", room, seq=seq, body=body)
    person = world.participant(room, user)
    message = world.message(room, person, seq)
    if message.sender != user or message.kind == "system":
        raise Refused("not_the_sender")
    window = world.tenants[room.tenant].edit_window
    if window is not None and message.created_at + window < world.now:
        raise Refused("edit_window_over")
    world.check_may_write(room, person)
    if message.kind == "text" and not body.strip():
        raise Refused("messages_body_check")
    if message.body != body:
        message.revisions.append(message.body)
        message.body, message.edited_at = body, world.now
        world.touch(room, message, "message_updated")
    return {"rev": message.rev}


@operation(weight=4)
def delete_message(d: Draw) -> Operation:
    """For everyone."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    yield call(user, "delete_message", room, seq=seq)
    person = world.participant(room, user)
    message = world.message(room, person, seq, is_deleted_too=True)
    may_rule = person.role != "member" and room.kind != "direct"
    if message.sender != user and not may_rule and not world.is_moderator(room.tenant, user):
        raise Refused("not_allowed_to_delete")
    if message.deleted_at is None:
        message.deleted_at, message.body, message.metadata = world.now, None, {}
        world.touch(room, message, "message_deleted")
        if message.thread_root is not None:
            root = room.messages[message.thread_root - 1]
            root.rev, root.is_changed = message.rev, True
    return {"rev": message.rev}


@operation(weight=3)
def react(d: Draw) -> Operation:
    """With one of two."""
    (room, user), world, seq, emoji = d.person(), d.world, d.seq(), "+-"[d.which % 2]
    yield call(user, "react", room, seq=seq, emoji=emoji)
    person = world.participant(room, user)
    message = world.message(room, person, seq)
    if (user, emoji) not in message.reactions:
        world.check_may_write(room, person)
        message.reactions[user, emoji] = world.now
        world.touch(room, message, "reaction_added")


@operation(weight=2)
def unreact(d: Draw) -> Operation:
    """Takes one back, which those may who may not write."""
    (room, user), world, seq, emoji = d.person(), d.world, d.seq(), "+-"[d.which % 2]
    yield call(user, "unreact", room, seq=seq, emoji=emoji)
    message = world.message(room, world.participant(room, user), seq)
    if message.reactions.pop((user, emoji), None) is not None:
        world.touch(room, message, "reaction_removed")


@operation(weight=3)
def pin_or_unpin(d: Draw) -> Operation:
    """For everybody."""
    (room, user), world, seq = d.person(), d.world, d.seq()
    is_pinned = d.which < 10
    yield call(user, "pin_message" if is_pinned else "unpin_message", room, seq=seq)
    person = world.participant(room, user)
    message = world.message(room, person, seq)
    may_pin = room.kind == "direct" or person.role != "member"
    if not may_pin and not world.is_moderator(room.tenant, user):
        raise Refused("not_allowed_to_pin")
    world.check_may_write(room, person)
    if (message.pinned_by is not None) != is_pinned:
        message.pinned_by = user if is_pinned else None
        world.touch(room, message, "message_pinned" if is_pinned else "message_unpinned")


def _poll(d: Draw) -> int:
    """One of the last polls, if there is any."""
    polls = [m.seq for m in d.room().messages if m.kind == "poll"]
    return polls[-1 - d.what % len(polls)] if polls else d.seq()


def _is_closed(world: World, poll: Message) -> bool:
    ends = poll.metadata.get("closes_at")
    return "closed_at" in poll.metadata or (ends is not None and ends <= iso(world.now))


@operation(weight=4)
def vote(d: Draw) -> Operation:
    """For one option, for both, for none or for one there is not."""
    (room, user), world, seq = d.person(), d.world, _poll(d)
    options = (["a"], ["b"], [], ["a", "b"], ["z"])[d.which % 5]
    yield call(user, "vote", room, seq=seq, option_ids=options)
    person = world.participant(room, user)
    poll = world.message(room, person, seq)
    if poll.kind != "poll":
        raise Refused("not_a_poll")
    if {(user, o) for o in options} == {v for v in poll.votes if v[0] == user}:
        return
    world.check_may_write(room, person)
    if _is_closed(world, poll):
        raise Refused("poll_closed")
    if "z" in options:
        raise Refused("unknown_option")
    if len(options) > 1 and not poll.metadata.get("multiple"):
        raise Refused("one_option_only")
    poll.votes = {v for v in poll.votes if v[0] != user} | {(user, o) for o in options}
    world.touch(room, poll, "poll_voted")


@operation(weight=1)
def close_poll(d: Draw) -> Operation:
    """For good."""
    (room, user), world, seq = d.person(), d.world, _poll(d)
    yield call(user, "close_poll", room, seq=seq)
    person = world.participant(room, user)
    poll = world.message(room, person, seq)
    if poll.kind != "poll":
        raise Refused("not_a_poll")
    may_rule = person.role != "member" or world.is_moderator(room.tenant, user)
    if poll.sender != user and not may_rule:
        raise Refused("not_allowed_to_close")
    if not _is_closed(world, poll):
        world.check_may_write(room, person)
        poll.metadata = {**poll.metadata, "closed_at": iso(world.now)}
        world.touch(room, poll, "poll_closed")
