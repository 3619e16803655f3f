"""The outbox: what was put is sent once and in order, whatever ends in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest

from parley import ConfigurationError, InvalidRequestError
from parley._async import outbox as module
from parley.testing import FakeServer, message_row

ROOM = uuid4()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    async def at_once(seconds: float) -> None:
        assert seconds > 0
        await asyncio.sleep(0)

    monkeypatch.setattr(module, "async_sleep", at_once)
    made = FakeServer(UUID(int=1))
    made.answer("rpc/send_message", json=message_row())
    return made


async def test_what_was_put_is_sent_in_order_also_by_the_next_run(
    server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.sqlite"
    async with server.client() as parley:
        await parley.auth.sign_in_with_password("a@b.c", "x")
        outbox = parley.outbox(path)
        ids = [outbox.put(ROOM, f"message {number}") for number in range(5)]
        await outbox.aclose()
    async with server.client() as parley:
        await parley.auth.sign_in_with_password("a@b.c", "x")
        outbox = parley.outbox(path)
        assert [waiting.body for waiting in outbox.waiting()] == [f"message {n}" for n in range(5)]
        server.answer("rpc/send_message", error=httpx.ConnectError("refused"), once=True)
        server.answer("rpc/send_message", json={"message": "Wait."}, status=429, once=True)
        server.answer("rpc/send_message", json=None, status=503, once=True)
        assert len(await outbox.send()) == 5
        assert outbox.waiting() == ()
        assert await outbox.send() == ()
        await outbox.aclose()
    sent = [request.json["id"] for request in server.requests]
    assert sent == [str(ids[0])] * 3 + [str(made) for made in ids]


async def test_a_refused_message_is_kept_and_the_next_one_sent(
    server: FakeServer, tmp_path: Path
) -> None:
    async with server.client() as parley:
        await parley.auth.sign_in_with_password("a@b.c", "x")
        outbox = parley.outbox(tmp_path / "outbox.sqlite")
        first = outbox.put(ROOM, "first")
        outbox.put(ROOM, "second")
        server.refuse("rpc/send_message", code="silenced", status=403, once=True)
        assert len(await outbox.send()) == 1
        (refused,) = outbox.waiting()
        assert (refused.id, refused.error_code) == (first, "silenced")
        outbox.retry(first)
        assert len(await outbox.send()) == 1
        outbox.put(ROOM, "third", id=first)
        outbox.discard(first)
        assert outbox.waiting() == ()
        with pytest.raises(InvalidRequestError):
            outbox.put(ROOM, " ")
        await outbox.aclose()


async def test_cancelling_loses_nothing(server: FakeServer, tmp_path: Path) -> None:
    async with server.client() as parley:
        await parley.auth.sign_in_with_password("a@b.c", "x")
        outbox = parley.outbox(tmp_path / "outbox.sqlite")
        outbox.put(ROOM, "hello")
        server.answer("rpc/send_message", error=httpx.ConnectError("refused"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(outbox.send(), 0.05)
        assert len(outbox.waiting()) == 1
        await outbox.aclose()


def test_the_synchronous_one_is_the_same(server: FakeServer, tmp_path: Path) -> None:
    with server.sync_client() as parley:
        parley.auth.sign_in_with_password("a@b.c", "x")
        outbox = parley.outbox(tmp_path / "outbox.sqlite")
        outbox.put(ROOM, "hello")
        assert len(outbox.send()) == 1
        outbox.close()


async def test_a_file_of_another_kind_is_refused(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, " * 100)
    async with server.client() as parley:
        with pytest.raises(ConfigurationError):
            parley.outbox(tmp_path / "text")
