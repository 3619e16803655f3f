"""Tables to subscribe to, and subscriptions by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from .realtime_sockets import RealtimeSocket, new_topic

SUBSCRIBED = "Subscribed to PostgreSQL"
TWO_COLUMNS = "id bigint primary key, body text"


@contextmanager
def make_table(sql: psycopg.Connection, columns: str = TWO_COLUMNS) -> Iterator[str]:
    """A new table in public, published, readable by anybody."""
    name = f"changes_{uuid.uuid4().hex[:12]}"
    sql.execute(f"create table public.{name} ({columns})".encode())
    sql.execute(f"grant select on public.{name} to anon, authenticated, service_role".encode())
    sql.execute(f"alter publication supabase_realtime add table public.{name}".encode())
    yield name
    sql.execute(f"drop table public.{name}".encode())


class Changes:
    """A channel that is subscribed to changes of tables."""

    def __init__(self, socket: RealtimeSocket, topic: str, ids: list[int]) -> None:
        self.socket = socket
        self.topic = topic
        self.ids = ids

    @classmethod
    async def ask(
        cls, socket: RealtimeSocket, *bindings: dict[str, Any], token: str | None = None
    ) -> Changes:
        """Joins; the bindings are echoed with ids."""
        topic = f"realtime:{new_topic()}"
        reply = await socket.ask_to_join(topic, token, postgres_changes=list(bindings))
        assert reply["status"] == "ok"
        echoed = reply["response"]["postgres_changes"]
        ids = [binding.pop("id") for binding in echoed]
        assert echoed == list(bindings)
        return cls(socket, topic, ids)

    @classmethod
    async def join(
        cls, socket: RealtimeSocket, *bindings: dict[str, Any], token: str | None = None
    ) -> Changes:
        """Joins and waits until it is subscribed."""
        changes = await cls.ask(socket, *bindings, token=token)
        assert await changes.system() == ("ok", SUBSCRIBED)
        return changes

    async def system(self) -> tuple[str, str]:
        """Status and message of the next frame, a system message."""
        message = await self.socket.message()
        payload = message.payload
        assert message == self.socket.expected("1", None, self.topic, "system", payload)
        assert payload["extension"] == "postgres_changes"
        assert payload["channel"] == self.topic.removeprefix("realtime:")
        return payload["status"], payload["message"]

    async def refused(self) -> str:
        """The message of the next frame, an error."""
        status, message = await self.system()
        assert status == "error"
        return message

    async def next(self) -> tuple[list[int], dict[str, Any]]:
        """Ids and data of the next frame, a change."""
        message = await self.socket.message()
        assert message[:4] == (None, None, self.topic, "postgres_changes")
        assert set(message.payload) == {"ids", "data"}
        return message.payload["ids"], message.payload["data"]
