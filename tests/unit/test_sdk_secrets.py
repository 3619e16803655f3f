"""No secret, and nothing that people wrote, reaches a log, a repr or an error."""

from __future__ import annotations

import logging
import traceback

import httpx
import pytest

from parley import AsyncParley, ParleyError
from parley._async import rest
from parley.testing import URL, FakeServer, message_row

PASSWORD, BODY = "hunter2 is the password", "a private word"


async def test_secrets_stay_where_they_are(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def at_once(seconds: float) -> None:
        assert seconds > 0

    monkeypatch.setattr(rest, "async_sleep", at_once)
    caplog.set_level(logging.DEBUG, logger="parley")
    server = FakeServer()
    server.answer("rpc/send_message", error=httpx.ConnectError(f"refused: {BODY}"), once=True)
    server.answer(
        "rpc/send_message", json={"message": "No.", "details": BODY}, status=503, once=True
    )
    server.answer("rpc/send_message", json=message_row(), once=True)
    server.answer("rpc/send_message", json={"message": "No."}, status=400)
    server.answer("conversations", json=[ROOM])
    shown: list[str] = []
    async with server.client() as parley:
        await parley.auth.sign_in_with_password("a@b.c", PASSWORD)
        token = parley.auth.access_token
        assert token
        room = await parley.conversations.get(ROOM["id"])
        await room.send(BODY)
        with pytest.raises(ParleyError) as raised:
            await room.send(BODY)
        shown += [str(raised.value), repr(raised.value)]
        shown += [repr(parley), repr(parley.auth), repr(parley._services.config), repr(room)]
        shown += [repr(parley.auth._session)]
    shown += [record.getMessage() for record in caplog.records if record.name.startswith("parley")]
    assert any("tried again" in text for text in shown)
    for secret in (token, "a refresh token", PASSWORD, "the key of a test", BODY):
        assert not [text for text in shown if secret in text], secret


async def test_what_a_library_says_is_the_cause_and_no_more() -> None:
    async with AsyncParley(URL, "key", retry_seconds=0, http_client=refusing()) as parley:
        with pytest.raises(ParleyError) as raised:
            await parley.inbox.list()
    assert "10.0.0.1" not in str(raised.value)
    assert "10.0.0.1" in "".join(traceback.format_exception(raised.value))


def refusing() -> httpx.AsyncClient:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused by 10.0.0.1")

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


ROOM = {
    "id": "0197d0a0-0000-7000-8000-000000000001",
    "tenant_id": "0197d0a0-0000-7000-8000-000000000002",
    "kind": "direct",
    "title": None,
    "created_by": None,
    "created_at": "2026-11-21T00:00:00Z",
    "epoch": 1,
}
