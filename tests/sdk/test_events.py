"""Live events: each change once, in order, whatever happens to connections."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import psycopg
import pytest

from parley import (
    AuthenticationError,
    ConversationEvent,
    EventStream,
    InvalidRequestError,
    MessageCreated,
    NotFoundError,
    ParticipantJoined,
    ParticipantLeft,
    ReceiptMoved,
)
from support.stacks import Stack

if TYPE_CHECKING:
    from .conftest import Person, Proxy, Room

    People = Callable[..., Awaitable[Person]]

DEADLINE_SECONDS = 20.0


async def following(events: EventStream, count: int) -> list[ConversationEvent]:
    """The next so many events, within the deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        return [await anext(events) for _ in range(count)]


def bodies(events: list[ConversationEvent]) -> list[str | None]:
    return [event.message.body for event in events if isinstance(event, MessageCreated)]


async def leave(stack: Stack, conversation_id: object, user_id: object, *, back: bool) -> None:
    """Takes somebody out of a conversation, or back in; the SDK has no method for it yet."""
    async with await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True) as db:
        await db.execute(
            "update chat.participants set left_at = case when %s then null else now() end"
            " where conversation_id = %s and user_id = %s",
            (back, conversation_id, user_id),
        )


async def test_everything_after_entering_is_heard_in_order(room: Room) -> None:
    await room.as_alice.send("before")
    async with room.as_bob.events() as events:
        sent = [await room.as_alice.send(f"message {number}") for number in range(5)]
        await room.as_bob.mark_read()
        heard = await following(events, 6)
    assert [event.rev for event in heard] == list(range(heard[0].rev, heard[0].rev + 6))
    assert [event.message for event in heard if isinstance(event, MessageCreated)] == sent
    receipt = heard[-1]
    assert isinstance(receipt, ReceiptMoved)
    assert (receipt.user_id, receipt.last_read_seq) == (room.bob.id, 6)


async def test_a_plain_loop_joins_on_first_use_and_ends_on_aclose(room: Room) -> None:
    events = room.as_bob.events()
    heard: list[ConversationEvent] = []

    async def listen() -> None:
        async for event in events:
            heard.append(event)

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not heard:
            await room.as_alice.send("are you there?")
            await asyncio.wait([listening], timeout=0.05)
        await events.aclose()
        await listening
    with pytest.raises(StopAsyncIteration):
        await anext(events)


async def test_several_streams_of_one_client_hear_the_same(people: People) -> None:
    alice = await people("alice")
    rooms = [await alice.parley.conversations.start_group(f"Group {n}") for n in range(3)]
    async with (
        rooms[0].events() as first,
        rooms[0].events() as second,
        rooms[1].events() as other,
    ):
        for number in range(10):
            for room in rooms:
                await room.send(f"{room.title} {number}")
        heard = [await following(events, 10) for events in (first, second, other)]
    assert bodies(heard[0]) == bodies(heard[1]) == [f"Group 0 {n}" for n in range(10)]
    assert bodies(heard[2]) == [f"Group 1 {n}" for n in range(10)]
    async with asyncio.timeout(DEADLINE_SECONDS), rooms[0].events() as again:
        await rooms[0].send("again")
        assert bodies(await following(again, 1)) == ["again"]


async def test_waiting_with_a_timeout_loses_nothing(room: Room) -> None:
    heard: list[ConversationEvent] = []
    async with room.as_bob.events() as events:
        sending = asyncio.create_task(send_many(room, 30))
        async with asyncio.timeout(DEADLINE_SECONDS):
            while len(heard) < 30:
                try:
                    heard.append(await asyncio.wait_for(anext(events), 0.003))
                except TimeoutError:
                    continue
        await sending
    assert bodies(heard) == [f"message {number}" for number in range(30)]


async def send_many(room: Room, count: int) -> None:
    for number in range(count):
        await room.as_alice.send(f"message {number}")


async def test_joining_and_leaving_are_heard_and_the_stream_moves_on(
    stack: Stack, people: People
) -> None:
    owner, member, other = await people("owner"), await people("member"), await people("other")
    group = await owner.parley.conversations.start_group("Tea", users=[member.id, other.id])
    there = await member.parley.conversations.get(group.id)
    async with there.events() as events:
        for _ in range(3):
            await leave(stack, group.id, other.id, back=False)
            await group.send("without you")
            await leave(stack, group.id, other.id, back=True)
            await group.send("with you")
        heard = await following(events, 12)
    kinds = [type(event).__name__ for event in heard]
    assert kinds == 3 * [
        "ParticipantLeft",
        "MessageCreated",
        "ParticipantJoined",
        "MessageCreated",
    ]
    assert isinstance(heard[0], ParticipantLeft)
    assert [event.rev for event in heard] == list(range(heard[0].rev, heard[0].rev + 12))
    joined = heard[2]
    assert isinstance(joined, ParticipantJoined)
    assert [person.user_id for person in joined.participants] == [other.id]


async def test_a_large_conversation_is_followed_to_its_new_topic(
    stack: Stack, people: People
) -> None:
    """Beyond the fan-out limit messages go to the conversation's topic alone."""
    owner, member, other = await people("owner"), await people("member"), await people("other")
    crowd = await many_users(stack, 50)
    users = [member.id, other.id, *crowd]
    group = await owner.parley.conversations.start_group("Crowd", users=users)
    there = await member.parley.conversations.get(group.id)
    async with there.events() as events:
        await group.send("before")
        await leave(stack, group.id, other.id, back=False)
        await group.send("after")
        heard = await following(events, 3)
        assert bodies(heard) == ["before", "after"]
        assert isinstance(heard[1], ParticipantLeft)
        await group.send("later")
        assert bodies(await following(events, 1)) == ["later"]


async def many_users(stack: Stack, count: int) -> list[uuid.UUID]:
    """Users who never sign in."""
    ids = [uuid.uuid4() for _ in range(count)]
    async with await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True) as db:
        await db.execute(
            "insert into auth.users (id, aud, role, email)"
            " select u.id, 'authenticated', 'authenticated', u.id || '@example.com'"
            " from unnest(%s::uuid[]) as u (id)",
            (ids,),
        )
    return ids


async def test_whoever_is_removed_hears_no_more(stack: Stack, people: People) -> None:
    owner, member = await people("owner"), await people("member")
    group = await owner.parley.conversations.start_group("Tea", users=[member.id])
    there = await member.parley.conversations.get(group.id)
    async with there.events() as events:
        await group.send("last words")
        await leave(stack, group.id, member.id, back=False)
        await group.send("behind your back")
        assert bodies(await following(events, 1)) == ["last words"]
        with pytest.raises(NotFoundError) as raised:
            await following(events, 1)
        assert raised.value.code == "conversation_not_found"


async def test_whoever_does_not_take_part_cannot_listen(people: People, room: Room) -> None:
    stranger = await people("stranger")
    group = await stranger.parley.conversations.start_group("Alone")
    group.info = group.info.model_copy(update={"id": room.as_alice.id})
    with pytest.raises(NotFoundError):
        async with group.events():
            pass


async def test_signing_out_ends_the_stream(room: Room) -> None:
    async with room.as_bob.events() as events:
        await room.bob.parley.auth.sign_out()
        with pytest.raises(AuthenticationError):
            await following(events, 1)


async def test_closing_the_client_ends_the_stream(room: Room) -> None:
    async with room.as_bob.events() as events:
        await room.bob.parley.aclose()
        with pytest.raises(InvalidRequestError, match="closed"):
            await following(events, 1)


async def test_a_new_token_reaches_the_open_connection(room: Room) -> None:
    auth = room.bob.parley.auth
    async with room.as_bob.events() as events:
        first = auth.access_token
        assert first is not None
        while auth.access_token == first:  # its times are in whole seconds
            await auth.renew(first)
        await room.as_alice.send("still there?")
        assert bodies(await following(events, 1)) == ["still there?"]


async def test_what_is_sent_while_cut_off_is_heard_once_and_in_order(
    people: People, room: Room, proxy: Proxy
) -> None:
    carol = await people("carol", url=proxy.url)
    group = await room.alice.parley.conversations.start_group("Tea", users=[carol.id])
    there = await carol.parley.conversations.get(group.id)
    heard: list[ConversationEvent] = []
    async with there.events() as events:
        for round_ in range(3):
            await group.send(f"connected {round_}")
            heard += await following(events, 1)
            await proxy.cut()
            for number in range(4):
                await group.send(f"cut off {round_} {number}")
            await proxy.mend()
            heard += await following(events, 4)
    assert bodies(heard) == [
        body
        for round_ in range(3)
        for body in (f"connected {round_}", *(f"cut off {round_} {n}" for n in range(4)))
    ]
    assert len({event.rev for event in heard}) == len(heard)


async def test_more_than_a_snapshot_holds_is_read_in_several(people: People, proxy: Proxy) -> None:
    alice = await people("alice")
    carol = await people("carol", url=proxy.url)
    group = await alice.parley.conversations.start_group("Tea", users=[carol.id])
    there = await carol.parley.conversations.get(group.id)
    async with there.events() as events:
        await proxy.cut()
        for start in range(0, 450, 50):
            await asyncio.gather(*(group.send(f"{start + n}") for n in range(50)))
        await proxy.mend()
        heard = await following(events, 450)
    seqs = [event.message.seq for event in heard if isinstance(event, MessageCreated)]
    assert seqs == list(range(1, 451))
