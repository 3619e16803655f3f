"""People with clients of their own, and a way between them and the servers that can break."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from parley import AsyncConversation, AsyncParley
from support.stacks import Stack

PASSWORD = "parley-demo"
DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Person:
    """A fresh user, signed in."""

    id: uuid.UUID
    username: str
    email: str
    parley: AsyncParley


People = Callable[..., Awaitable[Person]]


@pytest.fixture
async def people(stack: Stack) -> AsyncIterator[People]:
    """Makes a fresh user whose username begins with a name: ``await people("alice")``.

    With ``url``, their client takes another way to the servers.
    """
    made: list[AsyncParley] = []
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.service_role_key}"}
    async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=20) as admin:

        async def make(name: str, *, url: str | None = None) -> Person:
            username = f"{name}_{uuid.uuid4().hex[:12]}"
            email = f"{username}@example.com"
            answer = await admin.post(
                "/auth/v1/admin/users",
                json={
                    "email": email,
                    "password": PASSWORD,
                    "email_confirm": True,
                    "user_metadata": {"username": username},
                },
            )
            assert answer.status_code == 200, answer.text
            parley = AsyncParley(url or stack.api_url, stack.publishable_key)
            made.append(parley)
            user = await parley.auth.sign_in_with_password(email, PASSWORD)
            return Person(user.id, username, email, parley)

        yield make
        for parley in made:
            await parley.aclose()


@dataclass(frozen=True)
class Room:
    """A direct conversation, as either of its two sees it."""

    alice: Person
    bob: Person
    as_alice: AsyncConversation
    as_bob: AsyncConversation


@pytest.fixture
async def room(people: People) -> Room:
    """Alice and Bob, who can talk."""
    alice, bob = await people("alice"), await people("bob")
    as_alice = await alice.parley.conversations.start_direct(bob.username)
    as_bob = await bob.parley.conversations.get(as_alice.id)
    return Room(alice, bob, as_alice, as_bob)


class Proxy:
    """A way to the servers. ``cut`` breaks connections and refuses new ones until ``mend``."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._port = 0
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(self._target.hostname, self._target.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pour(reader, there))
                group.create_task(_pour(back, writer))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
                    with contextlib.suppress(OSError):
                        await end.wait_closed()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[Proxy]:
    """Mended."""
    made = Proxy(stack.api_url)
    await made.mend()
    yield made
    await made.cut()
