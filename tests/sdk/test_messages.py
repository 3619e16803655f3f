"""Sending and reading messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from parley import AsyncParley, ConflictError, InvalidRequestError, NotFoundError, new_id

if TYPE_CHECKING:
    from .conftest import Proxy, Room


async def test_the_stored_message_is_returned(room: Room) -> None:
    chosen = new_id()
    first = await room.as_alice.send("hello", id=chosen, metadata={"mood": ["good"]})
    reply = await room.as_bob.send("hi", reply_to=first)
    assert (first.id, first.seq, first.sender_id) == (chosen, 1, room.alice.id)
    assert first.metadata == {"mood": ["good"]}
    assert (reply.seq, reply.reply_to_seq) == (2, 1)


async def test_sending_again_with_the_same_id_changes_nothing(room: Room) -> None:
    chosen = new_id()
    sent = await asyncio.gather(*(room.as_alice.send("hello", id=chosen) for _ in range(5)))
    assert all(message == sent[0] for message in sent)
    with pytest.raises(ConflictError) as raised:
        await room.as_bob.send("hello", id=chosen)
    assert raised.value.code == "message_id_taken"
    assert len((await room.as_alice.history()).items) == 1


async def test_what_the_database_refuses_is_named(room: Room) -> None:
    with pytest.raises(InvalidRequestError) as long:
        await room.as_alice.send("x" * 10_001)
    assert long.value.code == "message_too_long"
    with pytest.raises(InvalidRequestError) as large:
        await room.as_alice.send("hi", metadata={"x": "y" * 20_000})
    assert large.value.code == "messages_metadata_check"
    with pytest.raises(NotFoundError) as missing:
        await room.as_alice.send("hi", reply_to=99)
    assert missing.value.code == "message_not_found"


async def test_history_comes_newest_first_and_in_pages(room: Room) -> None:
    for number in range(1, 8):
        await room.as_alice.send(f"message {number}")
    page = await room.as_bob.history(limit=3)
    assert [message.seq for message in page.items] == [7, 6, 5]
    assert [message.seq async for message in page] == [7, 6, 5, 4, 3, 2, 1]
    before = await room.as_bob.history(before=3)
    assert [message.seq for message in before.items] == [2, 1]
    assert before.next_cursor is None
    continued = await room.as_bob.history(limit=3, before=page.next_cursor)
    assert [message.seq for message in continued.items] == [4, 3, 2]


async def test_a_send_outlasts_a_broken_connection_and_is_stored_once(
    room: Room, proxy: Proxy
) -> None:
    config = room.alice.parley._services.config
    async with AsyncParley(proxy.url, config.key) as parley:
        await parley.auth.sign_in_with_password(room.alice.email, "parley-demo")
        there = await parley.conversations.get(room.as_alice.id)
        await proxy.cut()
        sending = asyncio.create_task(there.send("hello"))
        await asyncio.wait([sending], timeout=0.5)
        assert not sending.done()
        await proxy.mend()
        message = await sending
    assert [found.id for found in (await room.as_bob.history()).items] == [message.id]
