"""Messages: sent, edited, deleted and hidden."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from .calls import Call, Draw, operation
from .things import (
    BAD_ARGUMENT,
    CHECK,
    CONFLICT,
    DAY,
    FORBIDDEN,
    NOT_FOUND,
    Participant,
    Refused,
    iso,
)

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


@operation(weight=16)
def send(d: Draw) -> Call:
    """Now and then a reply, in a thread, with a mention, blank, too long, or a poll."""
    room, world = d.room(), d.world
    user = d.person(room)
    body = {14: " ", 15: "x" * 10_001}.get(d.what, f"message {d.number}")
    kind = {SYSTEM: "system", POLL: "poll", POLL_OF_A_DAY: "poll"}.get(d.which, "text")
    seq = d.seq(room)
    reply_to = seq if d.is_it(0) and d.is_it(1) else None
    thread_root = seq if d.is_it(0) and d.is_it(2) else None
    mentions = [d.user(d.what)] if d.is_it(0) and d.is_it(3) else []
    metadata = _metadata(d)

    def check(person: Participant) -> None:
        world.check_may_write(room, person)
        last = person.last_sent_at
        is_slowed = room.slow_mode and person.role == "member"
        if is_slowed and last is not None and last + room.slow_mode > world.now:
            raise Refused("PT429", "slow_mode")
        if kind == "system":
            raise Refused(FORBIDDEN, "system_message")
        if len(body) > 10_000:
            raise Refused(BAD_ARGUMENT, "message_too_long")
        if reply_to is not None:
            world.message(room, person, reply_to)
        if thread_root is not None:
            root = world.message(room, person, thread_root)
            if root.thread_root is not None:
                raise Refused(BAD_ARGUMENT, "thread_in_thread")
        if kind == "text" and not body.strip():
            raise Refused(CHECK, "messages_body_check")
        if metadata.get("mention_all") and person.role == "member":
            raise Refused(FORBIDDEN, "not_allowed_to_mention_all")

    def apply(_: Any) -> Any:
        check(world.participant(room, user))
        message = world.append(
            room,
            user,
            id=d.new_id("a"),
            kind=kind,
            body=body,
            metadata=metadata,
            reply_to=reply_to,
            thread_root=thread_root,
        )
        message.mentions = {
            p.user
            for p in room.active()
            if p.user in mentions
            and p.user != user
            and p.visible_from <= message.seq
            and not world.is_blocked(p.user, user)
        }
        if metadata.get("mention_all"):
            message.mentions.add(None)
        return message.seq

    sql = """select (chat.send_message(
        conversation_id => %(room)s, body => %(body)s, id => %(id)s, kind => %(kind)s,
        metadata => %(metadata)s, reply_to_seq => %(reply_to)s, thread_root_seq => %(root)s,
        mentions => %(mentions)s::uuid[])).seq"""
    args = {
        "room": room.id,
        "body": body,
        "id": d.new_id("a"),
        "kind": kind,
        "metadata": Jsonb(metadata),
        "reply_to": reply_to,
        "root": thread_root,
        "mentions": mentions,
    }
    return Call(user, sql, args, apply, room)


@operation(weight=2)
def send_again(d: Draw) -> Call:
    """The same id once more, by its sender or by another."""
    room, world = d.room(), d.world
    user = d.person(room)
    everything = [(r, m) for r in world.rooms.values() for m in r.messages]
    mine = [(room, m) for m in room.messages if m.sender == user]
    known = (everything if d.is_it(0) and d.is_it(1) else mine) or everything
    where, message = known[-1 - d.what % len(known)] if known else (room, None)

    def apply(_: Any) -> Any:
        world.participant(room, user)
        if message is None or where is not room or message.sender != user:
            raise Refused(CONFLICT, "message_id_taken")
        return message.seq

    if message is None:
        return send(d)
    sql = "select (chat.send_message(conversation_id => %(room)s, body => 'x', id => %(id)s)).seq"
    return Call(user, sql, {"room": room.id, "id": message.id}, apply, room)


@operation(weight=1)
def system_message(d: Draw) -> Call:
    """Written by the database."""
    room, world = d.room(), d.world
    args = {"room": room.id, "id": d.new_id("b"), "body": f"system {d.number}"}

    def apply(_: Any) -> Any:
        world.append(room, None, id=args["id"], kind="system", body=args["body"], metadata={})

    sql = """insert into chat.messages (conversation_id, id, kind, body)
        values (%(room)s, %(id)s, 'system', %(body)s)"""
    return Call(None, sql, args, apply, room)


@operation(weight=4)
def edit(d: Draw) -> Call:
    """Another text, or the same."""
    room, world = d.room(), d.world
    user = d.person(room)
    seq = d.seq(room)
    known = room.messages[seq - 1].body if 1 <= seq <= room.last_seq else None
    body = {14: " ", 15: known or "?"}.get(d.which, f"edited {d.number}")

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        message = world.message(room, person, seq)
        if message.sender != user or message.kind == "system":
            raise Refused(FORBIDDEN, "not_the_sender")
        window = world.tenants[room.tenant].edit_window
        if window is not None and message.created_at + window < world.now:
            raise Refused(FORBIDDEN, "edit_window_over")
        world.check_may_write(room, person)
        if message.kind == "text" and not body.strip():
            raise Refused(CHECK, "messages_body_check")
        if message.body != body:
            message.revisions.append(message.body)
            message.body, message.edited_at = body, world.now
            world.touch(room, message, "message_updated")
        return message.rev

    sql = "select (chat.edit_message(%(room)s, %(seq)s, %(body)s)).rev"
    return Call(user, sql, {"room": room.id, "seq": seq, "body": body}, apply, room)


@operation(weight=4)
def delete(d: Draw) -> Call:
    """For everyone."""
    room, world = d.room(), d.world
    user = d.person(room)
    seq = d.seq(room)

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        message = world.message(room, person, seq, alive=False)
        if world.is_expired(message):
            raise Refused(NOT_FOUND, "message_not_found")
        may_rule = person.role != "member" and room.kind != "direct"
        if message.sender != user and not may_rule and not world.is_moderator(room.tenant, user):
            raise Refused(FORBIDDEN, "not_allowed_to_delete")
        if message.deleted_at is None:
            message.deleted_at, message.body, message.metadata = world.now, None, {}
            world.touch(room, message, "message_deleted")
            if message.thread_root is not None:
                root = room.messages[message.thread_root - 1]
                root.rev, root.is_changed = message.rev, True
        return message.rev

    sql = "select (chat.delete_message(%(room)s, %(seq)s)).rev"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


def _hiding(d: Draw, *, is_hidden: bool) -> Call:
    room, world = d.room(), d.world
    user = d.person(room)
    seq = d.seq(room)
    hidden = room.people[user].hidden if user in room.people else None
    if hidden and not is_hidden and d.which < 12:
        seq = sorted(hidden)[d.what % len(hidden)]

    def apply(_: Any) -> Any:
        person = world.participant(room, user)
        world.message(room, person, seq, alive=False)
        if (seq in person.hidden) != is_hidden:
            person.hidden ^= {seq}
            world.touch_private(person)

    name = "hide_message" if is_hidden else "unhide_message"
    sql = f"select chat.{name}(%(room)s, %(seq)s)"
    return Call(user, sql, {"room": room.id, "seq": seq}, apply, room)


@operation(weight=4)
def hide(d: Draw) -> Call:
    """For oneself."""
    return _hiding(d, is_hidden=True)


@operation(weight=3)
def unhide(d: Draw) -> Call:
    """Undoes hide."""
    return _hiding(d, is_hidden=False)
