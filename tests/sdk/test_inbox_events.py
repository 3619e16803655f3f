"""What happens in all conversations of a user, live; and who is typing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from parley import (
    AuthenticationError,
    ContactChanged,
    ConversationAdded,
    ConversationRemoved,
    InboxEvent,
    InboxStream,
    MessageCreated,
    NotificationCreated,
    PrivateChanged,
    Resumed,
    Typing,
    UserBlocked,
)

if TYPE_CHECKING:
    from .conftest import Person, Proxy, Room

    People = Callable[..., Awaitable[Person]]

DEADLINE_SECONDS = 20.0


async def until(events: InboxStream, *kinds: type) -> list[InboxEvent]:
    """Events until one of each kind, in turn, has come."""
    heard: list[InboxEvent] = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        for kind in kinds:
            while True:
                heard.append(await anext(events))
                if isinstance(heard[-1], kind):
                    break
    return heard


def said(events: list[InboxEvent]) -> list[str | None]:
    return [event.message.body for event in events if isinstance(event, MessageCreated)]


async def test_messages_of_all_conversations_come_in_order(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    rooms = [await alice.parley.conversations.start_group(f"{n}", users=[bob.id]) for n in "abc"]
    async with bob.parley.inbox.events() as events:
        for number in range(5):
            for room in rooms:
                await room.send(f"{room.title}{number}")
        heard = await until(events, *[MessageCreated] * 15)
    for name in "abc":
        assert [b for b in said(heard) if b and b[0] == name] == [f"{name}{n}" for n in range(5)]


async def test_conversations_come_and_go(people: People) -> None:
    alice, bob = await people("alice"), await people("bob")
    async with bob.parley.inbox.events() as events:
        group = await alice.parley.conversations.start_group("Tea", users=[bob.id])
        added = (await until(events, ConversationAdded))[-1]
        assert isinstance(added, ConversationAdded)
        assert (added.conversation_id, added.entry.title) == (group.id, "Tea")
        await group.send("welcome")
        assert said(await until(events, MessageCreated))[-1] == "welcome"
        await group.participants.remove(bob.id)
        removed = (await until(events, ConversationRemoved))[-1]
        assert removed == ConversationRemoved(conversation_id=group.id)
        await group.participants.add([bob.id])
        assert isinstance((await until(events, ConversationAdded))[-1], ConversationAdded)


async def test_what_happens_to_the_user_is_heard(room: Room) -> None:
    async with room.bob.parley.inbox.events() as events:
        await room.as_bob.settings.mute()
        private = (await until(events, PrivateChanged))[-1]
        assert isinstance(private, PrivateChanged)
        assert private.conversation_id == room.as_bob.id
        await room.as_bob.settings.unmute()
        await room.as_alice.send("hey", mentions=[room.bob.id])
        created = (await until(events, NotificationCreated))[-1]
        assert isinstance(created, NotificationCreated)
        assert created.type == "mention"
        await room.alice.parley.contacts.request(room.bob.id)
        contact = (await until(events, ContactChanged))[-1]
        assert contact == ContactChanged(
            user_id=room.alice.id, state="pending", requested_by=room.alice.id
        )
        await room.bob.parley.contacts.block(room.alice.id)
        assert (await until(events, UserBlocked))[-1] == UserBlocked(user_id=room.alice.id)


async def test_what_is_sent_while_cut_off_is_heard_once(people: People, proxy: Proxy) -> None:
    alice, carol = await people("alice"), await people("carol", url=proxy.url)
    rooms = [await alice.parley.conversations.start_group(n, users=[carol.id]) for n in "ab"]
    async with carol.parley.inbox.events() as events:
        await rooms[0].send("a0")
        heard = await until(events, MessageCreated)
        await proxy.cut()
        for number in range(1, 4):
            for room in rooms:
                await room.send(f"{room.title}{number}")
        await alice.parley.conversations.start_group("new", users=[carol.id])
        await proxy.mend()
        heard += await until(events, Resumed, *[MessageCreated] * 6)
    bodies = said(heard)
    assert [b for b in bodies if b and b[0] == "a"] == ["a0", "a1", "a2", "a3"]
    assert [b for b in bodies if b and b[0] == "b"] == ["b1", "b2", "b3"]
    assert [e.entry.title for e in heard if isinstance(e, ConversationAdded)] == ["new"]


async def test_signing_out_ends_the_stream(room: Room) -> None:
    async with room.bob.parley.inbox.events() as events:
        await room.bob.parley.auth.sign_out()
        with pytest.raises(AuthenticationError):
            await until(events, MessageCreated)


async def test_typing_is_seen_and_ends_with_the_message(room: Room) -> None:
    async with room.as_alice.typing() as at_alice, room.as_bob.typing() as at_bob:
        saying = asyncio.create_task(say_until_done(at_alice))
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await anext(at_bob) == {room.alice.id}
        saying.cancel()
        await room.as_alice.send("done")
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await anext(at_bob) == frozenset()


async def say_until_done(typing: Typing) -> None:
    """Joining takes a moment, and what is said before is not heard."""
    while True:
        typing._said_at = 0.0
        await typing.say()
        await asyncio.sleep(0.1)
