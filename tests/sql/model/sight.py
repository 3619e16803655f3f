"""What a user can see: once as the model says, once as the database shows it to them."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from .state import Message, Participant, Room, iso
from .world import World

Row = dict[str, Any]
Sight = dict[str, list[Row]]

# Each part with the columns that its rows are told apart and ordered by.
KEYS = {
    "inbox": ("conversation_id",),
    "participants": ("conversation_id", "user_id"),
    "messages": ("conversation_id", "seq"),
    "message_revisions": ("conversation_id", "message_seq", "revision"),
    "receipts": ("conversation_id", "user_id", "rev"),
    "reactions": ("conversation_id", "message_seq", "user_id", "emoji"),
    "poll_votes": ("conversation_id", "message_seq", "user_id", "option_id"),
    "mentions": ("conversation_id", "message_seq", "user_id"),
    "pins": ("conversation_id", "message_seq"),
    "participant_settings": ("conversation_id", "user_id"),
    "hidden_messages": ("conversation_id", "message_seq", "user_id"),
    "saved_messages": ("conversation_id", "message_seq", "user_id"),
    "drafts": ("conversation_id", "thread_root_seq"),
    "thread_reads": ("conversation_id", "thread_root_seq", "user_id"),
    "threads": ("conversation_id", "thread_root_seq"),
    "unread_by_party": ("conversation_id", "party"),
}
# Too dear for every step, or not of one conversation.
RARE_KEYS = {
    "message_receipts": ("conversation_id", "seq", "user_id"),
    "unread_totals": ("tenant_id",),
}


def see(world: World, user: str, room: Room | None = None) -> Sight:
    """What ``user`` sees of one conversation, or of all that there is."""
    sight: Sight = {name: [] for name in KEYS}
    if room is None:
        sight |= {name: [] for name in RARE_KEYS}
    for each in world.rooms.values() if room is None else [room]:
        person = each.people.get(user)
        if person is None:
            continue
        messages = [m for m in each.messages if world.can_read(person, m)]
        _private(sight, world, each, person, messages)
        if person.left_at is None:
            _conversation(sight, world, each, person, messages)
            _messages(sight, world, each, person, messages)
            if room is None:
                _receipts(sight, each, messages)
    if room is None:
        _totals(sight)
    return sight


def _conversation(
    sight: Sight, world: World, room: Room, person: Participant, messages: list[Message]
) -> None:
    settings = person.settings
    sight["inbox"].append(
        {
            "conversation_id": room.id,
            "tenant_id": room.tenant,
            "kind": room.kind,
            "status": room.status,
            "title": room.title,
            "subject_type": room.subject[0],
            "subject_id": room.subject[1],
            "participant_count": len(room.active()),
            "last_activity_at": iso(room.last_activity),
            "last_seq": room.last_seq,
            "rev": room.rev,
            "epoch": room.epoch,
            "role": person.role,
            "party": person.party,
            "joined_at": iso(person.joined_at),
            "last_read_seq": person.last_read,
            "unread_count": room.unread(person, world.now),
            "is_muted": bool(settings and (settings.muted_until or 0) > world.now),
            "is_pinned": bool(settings and settings.is_pinned),
            "is_archived": bool(settings and settings.is_archived),
            "counterpart": next((u for u in room.pair if u != person.user), None),
            "last_message": messages[-1].seq if messages else None,
        }
    )
    sight["participants"] += [
        {
            "conversation_id": room.id,
            "user_id": p.user,
            "tenant_id": room.tenant,
            "role": p.role,
            "party": p.party,
            "joined_at": iso(p.joined_at),
            "left_at": iso(p.left_at),
            "visible_from_seq": p.visible_from,
            "last_read_seq": p.last_read,
            "last_delivered_seq": p.last_delivered,
            "silenced_until": iso(p.silenced_until),
            "last_sent_at": iso(p.last_sent_at),
            "rev": p.rev,
        }
        for p in room.people.values()
    ]
    sight["receipts"] += [
        {
            "conversation_id": room.id,
            "user_id": p.user,
            "rev": r.rev,
            "last_read_seq": r.last_read,
            "last_delivered_seq": r.last_delivered,
            "moved_at": iso(r.moved_at),
        }
        for p in room.people.values()
        for r in p.receipts
    ]
    unread: dict[str, int] = {}
    for p in room.active():
        if p.party is not None:
            count = room.unread(p, world.now, in_public=True)
            unread[p.party] = min(count, unread.get(p.party, count))
    sight["unread_by_party"] += [
        {"conversation_id": room.id, "party": party, "unread_count": count}
        for party, count in unread.items()
    ]


def _messages(
    sight: Sight, world: World, room: Room, person: Participant, messages: list[Message]
) -> None:
    decided = world.tenants[room.tenant].revisions_visible_to
    sees_revisions = decided == "participants" or (decided == "admins" and person.role != "member")
    for m in messages:
        sight["messages"].append(
            {
                "conversation_id": room.id,
                "id": m.id,
                "sender_id": m.sender,
                "seq": m.seq,
                "rev": m.rev,
                "created_at": iso(m.created_at),
                "expires_at": iso(m.expires_at),
                "kind": m.kind,
                "is_changed": m.is_changed,
                "body": m.body,
                "metadata": m.metadata,
                "reply_to_seq": m.reply_to,
                "thread_root_seq": m.thread_root,
                "thread_count": room.thread_count(m.seq),
                "edited_at": iso(m.edited_at),
                "deleted_at": iso(m.deleted_at),
                "reaction_summary": _reaction_summary(m, person.user),
                "poll_results": _poll_results(m, person.user),
            }
        )
        if m.deleted_at is not None:
            continue
        where = {"conversation_id": room.id, "message_seq": m.seq}
        if sees_revisions:
            sight["message_revisions"] += [
                {**where, "revision": number, "body": body}
                for number, body in enumerate(m.revisions, 1)
            ]
        sight["reactions"] += [{**where, "user_id": u, "emoji": e} for u, e in m.reactions]
        sight["poll_votes"] += [{**where, "user_id": u, "option_id": o} for u, o in m.votes]
        sight["mentions"] += [{**where, "user_id": u} for u in m.mentions]
        if m.pinned_by is not None:
            sight["pins"].append({**where, "pinned_by": m.pinned_by or None})


def _reaction_summary(message: Message, user: str) -> list[Row]:
    if message.deleted_at is not None:
        return []
    emojis: dict[str, list[tuple[int, str]]] = {}
    for (who, emoji), when in message.reactions.items():
        emojis.setdefault(emoji, []).append((when, who))
    return [
        {"emoji": emoji, "count": len(given), "is_mine": any(who == user for _, who in given)}
        for emoji, given in sorted(emojis.items(), key=lambda e: (min(e[1])[0], e[0]))
    ]


def _poll_results(message: Message, user: str) -> Row | None:
    if message.kind != "poll" or message.deleted_at is not None:
        return None
    options = [
        {
            "id": option["id"],
            "count": sum(o == option["id"] for _, o in message.votes),
            "is_mine": (user, option["id"]) in message.votes,
        }
        for option in message.metadata["options"]
    ]
    return {"voter_count": len({u for u, _ in message.votes}), "options": options}


def _private(
    sight: Sight, world: World, room: Room, person: Participant, messages: list[Message]
) -> None:
    mine = {"conversation_id": room.id, "user_id": person.user}
    if person.settings is not None:
        sight["participant_settings"].append(
            {
                **mine,
                "muted_until": iso(person.settings.muted_until),
                "is_pinned": person.settings.is_pinned,
                "is_archived": person.settings.is_archived,
                "unread_from_seq": person.settings.unread_from,
            }
        )
    sight["hidden_messages"] += [{**mine, "message_seq": seq} for seq in person.hidden]
    if person.left_at is None:
        sight["drafts"] += [
            {**mine, "thread_root_seq": root, "body": body} for root, body in person.drafts.items()
        ]
    for m in messages:
        if m.seq in person.saved and m.deleted_at is None:
            row = {**mine, "message_seq": m.seq, "note": person.saved[m.seq]}
            sight["saved_messages"].append(row)
        if m.seq not in person.threads:
            continue
        read_to, is_followed = person.threads[m.seq]
        thread = {
            "conversation_id": room.id,
            "thread_root_seq": m.seq,
            "last_read_seq": read_to,
        }
        row = {**thread, "user_id": person.user, "is_following": is_followed}
        sight["thread_reads"].append(row)
        if is_followed:
            sight["threads"].append(thread | _thread(room, person, messages, m, read_to))


def _thread(
    room: Room, person: Participant, messages: list[Message], root: Message, read_to: int
) -> Row:
    said = [m for m in messages if m.thread_root == root.seq]
    last = said[-1] if said else root
    return {
        "thread_count": room.thread_count(root.seq),
        "last_seq": last.seq,
        "last_activity_at": iso(last.created_at),
        "unread_count": sum(
            m.seq > read_to and m.sender != person.user and m.deleted_at is None for m in said
        ),
    }


def _receipts(sight: Sight, room: Room, messages: list[Message]) -> None:
    for m in messages:
        for p in room.people.values():
            if p.user == m.sender or p.visible_from > m.seq:
                continue
            if p.left_at is not None and p.left_at <= m.created_at:
                continue
            delivered = [r.moved_at for r in p.receipts if r.last_delivered >= m.seq]
            read = [r.moved_at for r in p.receipts if r.last_read >= m.seq]
            sight["message_receipts"].append(
                {
                    "conversation_id": room.id,
                    "seq": m.seq,
                    "user_id": p.user,
                    "sent_at": iso(m.created_at),
                    "delivered_at": iso(min(delivered, default=None)),
                    "read_at": iso(min(read, default=None)),
                }
            )


def _totals(sight: Sight) -> None:
    for tenant in {row["tenant_id"] for row in sight["inbox"]}:
        rows = [row for row in sight["inbox"] if row["tenant_id"] == tenant]
        sight["unread_totals"].append(
            {
                "tenant_id": tenant,
                "conversation_count": sum(row["unread_count"] > 0 for row in rows),
                "unread_count": sum(row["unread_count"] for row in rows),
                "unmuted_unread_count": sum(
                    row["unread_count"] for row in rows if not row["is_muted"]
                ),
            }
        )


def differences(
    said: Sight, shown: Sight, parts: Iterable[str], unless: Container[str] = ()
) -> list[str]:
    """Where the database shows something else than the model says; columns of both alone."""
    found = []
    for part in parts:
        keys = {**KEYS, **RARE_KEYS}[part]
        expected = {tuple(row[k] for k in keys): row for row in said[part]}
        actual = {tuple(row.get(k) for k in keys): row for row in shown[part]}
        if len(actual) < len(shown[part]):
            found.append(f"{part}: rows are shown twice")
        for key in expected.keys() | actual.keys():
            ours, theirs = expected.get(key), actual.get(key)
            if ours is None or theirs is None:
                what = f"shown, but should not be: {theirs}" if theirs else f"missing: {ours}"
                found.append(f"{part} {key}: {what}")
                continue
            found += [
                f"{part} {key}: {column} should be {value!r} and is {theirs.get(column)!r}"
                for column, value in ours.items()
                if theirs.get(column) != value and column not in unless
            ]
    return found
