"""Realtime sockets that speak the wire format by hand, and policies for private channels."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import jwt
import psycopg
from websockets.asyncio.client import ClientConnection, connect

from .stacks import Stack

DEADLINE_SECONDS = 20.0
OK = {"status": "ok", "response": {}}
JOINED = {"status": "ok", "response": {"postgres_changes": []}}


class Message(NamedTuple):
    """A text frame of either version; ``join_ref`` is None in version 1.0.0."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Any


class RealtimeSocket:
    """A client of one serializer version."""

    def __init__(self, connection: ClientConnection, version: str) -> None:
        self.connection = connection
        self.version = version

    async def send(
        self,
        event: str,
        payload: object,
        *,
        topic: str,
        ref: str | None = "1",
        join_ref: str | None = "1",
    ) -> None:
        """Sends one text frame."""
        message: object = [join_ref, ref, topic, event, payload]
        if self.version == "1.0.0":
            names = ("join_ref", "ref", "topic", "event", "payload")
            message = dict(zip(names, (join_ref, ref, topic, event, payload), strict=True))
        await self.connection.send(json.dumps(message))

    async def send_event(self, topic: str, event: str, body: bytes, *, encoding: int) -> None:
        """Sends a broadcast as a binary frame (kind 3); version 2.0.0 only."""
        fields = [b"1", b"9", topic.encode(), event.encode(), b""]
        head = bytes([3, *map(len, fields), encoding])
        await self.connection.send(head + b"".join(fields) + body)

    async def raw(self) -> str | bytes:
        """The next frame as it came."""
        return await asyncio.wait_for(self.connection.recv(), DEADLINE_SECONDS)

    async def message(self) -> Message:
        """The next frame, which must be text with exactly the version's parts."""
        data = await self.raw()
        assert isinstance(data, str), f"a binary frame: {data!r}"
        value = json.loads(data)
        if self.version == "2.0.0":
            assert len(value) == 5
            return Message(*value)
        assert set(value) == {"topic", "event", "payload", "ref"}
        return Message(None, value["ref"], value["topic"], value["event"], value["payload"])

    def expected(
        self, join_ref: str | None, ref: str | None, topic: str, event: str, payload: object
    ) -> Message:
        """The message as this version has it."""
        return Message(join_ref if self.version == "2.0.0" else None, ref, topic, event, payload)

    async def ask_to_join(self, topic: str, token: str | None = None, **config: Any) -> Any:
        """Joins, and the payload of the reply."""
        payload: dict[str, Any] = {"config": config}
        if token is not None:
            payload["access_token"] = token
        await self.send("phx_join", payload, topic=topic)
        reply = await self.message()
        assert reply[1:4] == ("1", topic, "phx_reply")
        return reply.payload

    async def join(self, topic: str, token: str | None = None, **config: Any) -> None:
        """Joins; it must succeed."""
        assert await self.ask_to_join(topic, token, **config) == JOINED

    async def refused(self, topic: str, token: str | None = None, **config: Any) -> str:
        """Joins; it must not succeed. The reason."""
        reply = await self.ask_to_join(topic, token, **config)
        assert reply["status"] == "error"
        reason: str = reply["response"]["reason"]
        return reason

    async def leave(self, topic: str) -> None:
        """Leaves; only the two frames of a leave may come, back to back."""
        await self.send("phx_leave", {}, topic=topic, ref="leave")
        assert await self.message() == self.expected("1", "leave", topic, "phx_reply", OK)
        assert await self.message() == self.expected("1", "1", topic, "phx_close", {})

    async def is_quiet(self) -> None:
        """Nothing is on its way: the next frame answers a heartbeat sent now."""
        await self.send("heartbeat", {}, topic="phoenix", ref="hb", join_ref=None)
        assert await self.message() == Message(None, "hb", "phoenix", "phx_reply", OK)


@asynccontextmanager
async def realtime_socket(
    stack: Stack, version: str = "2.0.0", key: str | None = None
) -> AsyncIterator[RealtimeSocket]:
    """A connected socket; ``key`` None: the publishable key."""
    address = stack.api_url.replace("http", "ws", 1)
    query = f"apikey={key or stack.publishable_key}&vsn={version}"
    async with connect(f"{address}/realtime/v1/websocket?{query}") as connection:
        yield RealtimeSocket(connection, version)


def new_topic(prefix: str = "room") -> str:
    """A topic, without its prefix, that no other test uses."""
    return f"{prefix}:{uuid.uuid4().hex[:12]}"


def user_token(stack: Stack, *, seconds: float = 3600, **claims: Any) -> str:
    """A token of a signed-in user; claims may be replaced."""
    given = {"role": "authenticated", "sub": str(uuid.uuid4()), "exp": int(time.time() + seconds)}
    return jwt.encode({**given, **claims}, stack.jwt_secret, algorithm="HS256")


_POLICIES = {
    "readable": ("select", "using (realtime.topic() like 'readable%')"),
    "presence only": (
        "select",
        "using (realtime.topic() like 'presence%' and extension = 'presence')",
    ),
    "broadcast only": (
        "select",
        "using (realtime.topic() like 'broadcast%' and extension = 'broadcast')",
    ),
    "own": ("select", "using (realtime.topic() = 'user:' || (select auth.uid()))"),
    "flagged": ("select", "using (realtime.topic() like 'flagged%' and private is true)"),
    "broken": (
        "select",
        "using (case when realtime.topic() like 'broken%' then realtime.topic()::int = 1 end)",
    ),
    "writable": ("insert", "with check (realtime.topic() like '%writable%')"),
}


@contextmanager
def private_channel_policies(stack: Stack) -> Iterator[None]:
    """Policies for role authenticated, by the beginning of the topic."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        for name, (command, rule) in _POLICIES.items():
            connection.execute(
                f'create policy "test {name}" on realtime.messages'
                f" for {command} to authenticated {rule}".encode()
            )
        try:
            yield
        finally:
            for name in _POLICIES:
                connection.execute(f'drop policy "test {name}" on realtime.messages'.encode())
