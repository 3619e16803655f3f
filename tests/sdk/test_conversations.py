"""Starting, finding and listing conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from parley import ConflictError, InvalidRequestError, NotFoundError, new_id

if TYPE_CHECKING:
    from .conftest import Person, Room

    People = Callable[[str], Awaitable[Person]]


async def test_a_pair_has_one_direct_conversation_whoever_starts_it(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    found = await asyncio.gather(
        alice.parley.conversations.start_direct(bob.username),
        alice.parley.conversations.start_direct(bob.id),
        bob.parley.conversations.start_direct(str(alice.id)),
        bob.parley.conversations.start_direct(alice.username.upper()),
    )
    assert len({room.id for room in found}) == 1
    assert {room.kind for room in found} == {"direct"}


async def test_nobody_and_oneself_cannot_be_talked_to(people: People) -> None:
    alice = await people("alice")
    with pytest.raises(NotFoundError) as nobody:
        await alice.parley.conversations.start_direct("nobody_of_that_name")
    assert nobody.value.code == "user_not_found"
    with pytest.raises(InvalidRequestError) as oneself:
        await alice.parley.conversations.start_direct(alice.username)
    assert oneself.value.code == "direct_with_self"


async def test_a_group_is_made_once_for_one_id(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    chosen = new_id()
    first = await alice.parley.conversations.start_group("Tea", users=[bob.id], id=chosen)
    again = await alice.parley.conversations.start_group("Tea", users=[bob.id], id=chosen)
    assert first.id == again.id == chosen
    assert (first.kind, first.title, first.created_by) == ("group", "Tea", alice.id)
    with pytest.raises(ConflictError) as raised:
        await bob.parley.conversations.start_group("Mine", id=chosen)
    assert raised.value.code == "conversation_id_taken"


async def test_a_title_that_is_too_long_is_named_by_its_constraint(people: People) -> None:
    alice = await people("alice")
    with pytest.raises(InvalidRequestError) as raised:
        await alice.parley.conversations.start_group("x" * 201)
    assert raised.value.code == "conversations_title_check"


async def test_a_conversation_of_others_is_not_found(people: People, room: Room) -> None:
    stranger = await people("stranger")
    with pytest.raises(NotFoundError) as raised:
        await stranger.parley.conversations.get(room.as_alice.id)
    assert raised.value.code == "conversation_not_found"


async def test_the_inbox_pages_through_everything_once(people: People) -> None:
    alice = await people("alice")
    started = [
        (await alice.parley.conversations.start_group(f"Group {number}")).id for number in range(7)
    ]
    page = await alice.parley.inbox.list(limit=3)
    assert len(page.items) == 3
    entries = [entry async for entry in page]
    assert [entry.conversation_id for entry in entries] == started[::-1]
    again = await alice.parley.inbox.list(limit=3, cursor=page.next_cursor)
    assert [entry.title for entry in again.items] == ["Group 3", "Group 2", "Group 1"]
    whole = await alice.parley.inbox.list(limit=7)
    assert whole.next_cursor is None


async def test_an_entry_shows_the_counterpart_the_last_message_and_what_is_unread(
    room: Room,
) -> None:
    sent = [await room.as_alice.send(f"message {number}") for number in range(3)]
    (entry,) = (await room.bob.parley.inbox.list()).items
    assert entry.counterpart is not None
    assert entry.counterpart.username == room.alice.username
    assert entry.last_message == sent[-1]
    assert (entry.unread_count, entry.last_seq, entry.last_read_seq) == (3, 3, 0)
    place = await room.as_bob.mark_read(sent[1])
    assert (place.user_id, place.last_read_seq) == (room.bob.id, 2)
    assert (await room.as_bob.mark_read(1)).last_read_seq == 2
    (entry,) = (await room.bob.parley.inbox.list()).items
    assert entry.unread_count == 1
    await room.as_bob.mark_read()
    (entry,) = (await room.bob.parley.inbox.list()).items
    assert entry.unread_count == 0
