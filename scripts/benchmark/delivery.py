"""How long news takes: from the database, and from a sender, to those who listen."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import psycopg
import uvloop

from parley import AsyncParley
from parley_stack.testing import conninfo

from .laboratory import Laboratory
from .results import Results
from .sockets import Crowd, Join, gather, stamp
from .town import HALL_MEMBERS, HALL_ROOMS, hall_user, person

PART = "delivery"
_RATE = 50
_CHANGES_RATE = 20
_SUBSCRIBERS_OF_CHANGES = 100
_CLIENTS = 500
_SETTLE_SECONDS = 2.0
_PASSWORD = "parley-demo"  # noqa: S105 - of the seed's users


def measure(lab: Laboratory, results: Results) -> None:
    """Each way, with so many listening."""
    for count in lab.scale.sockets:
        uvloop.run(_from_database(lab, results, count))
    uvloop.run(_from_senders(lab, results))
    asyncio.run(_between_sdks(lab, results))
    for identities in (1, _SUBSCRIBERS_OF_CHANGES):
        uvloop.run(_changes(lab, results, identities))


async def _at_rate(lab: Laboratory, rate: int, send: Callable[[int], Awaitable[object]]) -> int:
    """Sends so often for as long as the scale says; returns how many."""
    count = round(rate * max(lab.scale.seconds, 2))
    began = time.monotonic()
    waiting = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        # Not awaited here: a slow one delays no other.
        waiting.append(asyncio.ensure_future(send(number)))
    await asyncio.gather(*waiting)
    return count


async def _arrived(crowd: Crowd, count: int) -> None:
    """Waits until all deliveries came, or none comes any more; closes the sockets."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    seen = 0
    while len(crowd.seen) < count and time.monotonic() < deadline:
        if len(crowd.seen) > seen:
            seen, deadline = len(crowd.seen), time.monotonic() + _SETTLE_SECONDS
        await asyncio.sleep(0.02)
    crowd.close()
    if len(crowd.seen) != count:
        raise AssertionError(f"{len(crowd.seen)} of {count} deliveries came")


class _Sender:
    """A connection that sends as somebody, one message at a time."""

    def __init__(self, connection: psycopg.AsyncConnection, room: str) -> None:
        self.connection = connection
        self.room = room
        self.lock = asyncio.Lock()

    @classmethod
    async def of(cls, lab: Laboratory, user_id: str, room: str) -> _Sender:
        """One for a conversation."""
        connection = await psycopg.AsyncConnection.connect(
            conninfo(lab.stack, "postgres", "postgres"), autocommit=True
        )
        await connection.execute(
            "select set_config('request.jwt.claims', json_build_object('sub', %s::text)::text,"
            " false), set_config('role', 'authenticated', false)",
            (user_id,),
        )
        return cls(connection, room)

    async def __call__(self, _: int) -> None:
        async with self.lock:
            await self.connection.execute(
                "select chat.send_message(%s, %s)", (self.room, stamp()), prepare=True
            )


async def _from_database(lab: Laboratory, results: Results, count: int) -> None:
    """Everybody hears one conversation, into which the database writes."""
    group = lab.town.big_group
    members = [person(number) for number in group.members[:count]]
    joins = [Join(f"conversation:{group.id}:1", lab.token(member)) for member in members]
    crowd = await gather(lab.stack, joins)
    sender = await _Sender.of(lab, members[0], group.id)
    sent = await _at_rate(lab, _RATE, sender)
    await _arrived(crowd, sent * len(joins))
    await sender.connection.close()
    what = f"database to {len(joins):,} subscribers, {_RATE}/s"
    results.add(PART, what, "broadcast", "ms", crowd.seen)


async def _from_senders(lab: Laboratory, results: Results) -> None:
    """Calls through the gateway, each heard by nine inboxes, the sender's own among them.

    The clock starts before the call.
    """
    places = range(HALL_ROOMS)
    users = {place: person(hall_user(lab.scale, place)) for place in places}
    topics = [Join(f"user:{user}", lab.token(user)) for user in users.values()]
    others = [
        person(number)
        for number in range(2, lab.scale.users - HALL_ROOMS)
        if len(topics) + number - 1 <= _CLIENTS
    ]
    topics += [Join(f"user:{user}", lab.token(user)) for user in others]
    crowd = await gather(lab.stack, topics)
    tokens = [lab.token(user) for user in users.values()]
    async with httpx.AsyncClient(
        base_url=f"{lab.stack.api_url}/rest/v1",
        headers={"apikey": lab.stack.publishable_key, "Content-Profile": "chat"},
        limits=httpx.Limits(max_connections=20),
    ) as http:

        async def send(number: int) -> None:
            place = number * 7 % HALL_ROOMS
            answer = await http.post(
                "/rpc/send_message",
                json={"conversation_id": lab.town.hall[place].id, "body": stamp()},
                headers={"Authorization": f"Bearer {tokens[place]}"},
            )
            answer.raise_for_status()

        sent = await _at_rate(lab, _RATE, send)
    await _arrived(crowd, sent * HALL_MEMBERS)
    what = f"send call to {HALL_MEMBERS} inboxes, {len(topics)} clients, {_RATE}/s"
    results.add(PART, what, "broadcast", "ms", crowd.seen)


async def _between_sdks(lab: Laboratory, results: Results) -> None:
    """From the sender's call of the SDK to the receiver's event."""
    stack = lab.stack
    taken: list[float] = []
    async with (
        AsyncParley(stack.api_url, stack.publishable_key) as alice,
        AsyncParley(stack.api_url, stack.publishable_key) as bob,
    ):
        await alice.auth.sign_in_with_password(email="alice@example.com", password=_PASSWORD)
        await bob.auth.sign_in_with_password(email="bob@example.com", password=_PASSWORD)
        room = await alice.conversations.start_direct("bob")
        theirs = await bob.conversations.start_direct("alice")
        heard = asyncio.Event()
        count = lab.scale.rounds

        async def listen() -> None:
            events = theirs.events()
            async for event in events:
                body = getattr(getattr(event, "message", None), "body", None) or ""
                if body == "ready":
                    heard.set()
                elif body.startswith("sent-at-"):
                    taken.append((time.monotonic_ns() - int(body[8:])) / 1e6)
                    heard.set()
                if len(taken) == count:
                    return

        listening = asyncio.create_task(listen())
        # Until the first is heard, the receiver may not have joined.
        while not heard.is_set():
            await room.send("ready")
            await asyncio.sleep(0.2)
        for _ in range(count):
            heard.clear()
            await room.send(stamp())
            await asyncio.wait_for(heard.wait(), 10)
        await listening
    results.add(PART, "send call to event", "SDK", "ms", taken)


async def _changes(lab: Laboratory, results: Results, identities: int) -> None:
    """The same news as changes of chat.messages, judged by its policies for each identity."""
    group = lab.town.big_group
    members = [person(number) for number in group.members[:identities]]
    joins = [
        Join(
            f"changes-{number}",
            lab.token(members[number % identities]),
            [{"event": "INSERT", "schema": "chat", "table": "messages"}],
        )
        for number in range(_SUBSCRIBERS_OF_CHANGES)
    ]
    crowd = await gather(lab.stack, joins)
    sender = await _Sender.of(lab, members[0], group.id)
    sent = await _at_rate(lab, _CHANGES_RATE, sender)
    await _arrived(crowd, sent * len(joins))
    await sender.connection.close()
    results.add(
        PART,
        f"changes to {len(joins)} subscribers, {_CHANGES_RATE}/s",
        f"{identities} identit{'y' if identities == 1 else 'ies'}",
        "ms",
        crowd.seen,
    )
