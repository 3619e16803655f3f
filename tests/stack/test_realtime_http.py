"""Broadcasts over HTTP, alone and in batches."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from support.realtime_sockets import (
    Message,
    RealtimeSocket,
    new_topic,
    private_channel_policies,
    realtime_socket,
    user_token,
)
from support.stacks import Stack


@pytest.fixture(scope="module", autouse=True)
def policies(stack: Stack) -> Iterator[None]:
    """Topics ``...writable...`` can be sent to."""
    with private_channel_policies(stack):
        yield


@pytest.fixture
async def http(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the publishable key."""
    headers = {"apikey": stack.publishable_key}
    base = f"{stack.api_url}/realtime/v1/api"
    async with httpx.AsyncClient(base_url=base, headers=headers) as client:
        yield client


@pytest.fixture
async def socket(stack: Stack) -> AsyncIterator[RealtimeSocket]:
    """A listener of version 2.0.0 with all rights."""
    async with realtime_socket(stack, key=stack.secret_key) as socket:
        yield socket


def batch(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


async def test_batch_is_delivered_as_text(
    http: httpx.AsyncClient, socket: RealtimeSocket, stack: Stack
) -> None:
    topic = new_topic()
    await socket.join(f"realtime:{topic}")
    async with realtime_socket(stack, "1.0.0") as first:
        await first.join(f"realtime:{topic}")
        response = await http.post(
            "/broadcast",
            json=batch(
                {"topic": topic, "event": "ev", "payload": {"a": 1}},
                {"topic": topic, "event": "ev", "payload": {"a": 2}, "id": "7"},
            ),
        )
        assert (response.status_code, response.content) == (202, b"")
        for name in ("x-rate-rolling", "x-rate-limit", "x-rate-limit-remaining"):
            assert name in response.headers
        for listener in (socket, first):
            payload = {"type": "broadcast", "event": "ev", "payload": {"a": 1}}
            name = f"realtime:{topic}"
            assert await listener.message() == Message(None, None, name, "broadcast", payload)
            assert (await listener.message()).payload["meta"] == {"id": "7"}


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ["can't be blank"]),
        ({"messages": []}, ["can't be blank"]),
        (
            batch({"topic": "t"}, {"topic": "t", "event": "e", "payload": {}}),
            [{"payload": ["can't be blank"], "event": ["can't be blank"]}, {}],
        ),
        (batch({"topic": "t", "event": "e", "payload": []}), [{"payload": ["is invalid"]}]),
    ],
)
async def test_invalid_batch_is_refused(
    http: httpx.AsyncClient, body: dict[str, Any], errors: list[Any]
) -> None:
    response = await http.post("/broadcast", json=body)
    assert (response.status_code, response.json()) == (422, {"errors": {"messages": errors}})


async def test_invalid_message_stops_its_batch(
    http: httpx.AsyncClient, socket: RealtimeSocket
) -> None:
    topic = new_topic()
    await socket.join(f"realtime:{topic}")
    good = {"topic": topic, "event": "e", "payload": {}}
    assert (await http.post("/broadcast", json=batch(good, {}))).status_code == 422
    await socket.is_quiet()


async def test_private_message_of_a_batch_is_dropped_in_silence(
    http: httpx.AsyncClient, socket: RealtimeSocket, stack: Stack
) -> None:
    closed, writable = new_topic("closed"), new_topic("writable")
    await socket.join(f"realtime:{closed}", private=True)
    await socket.join(f"realtime:{writable}", private=True)
    messages = [
        {"topic": topic, "event": "e", "payload": {}, "private": True}
        for topic in (closed, writable)
    ]
    headers = {"Authorization": f"Bearer {user_token(stack)}"}
    response = await http.post("/broadcast", json=batch(*messages), headers=headers)
    assert response.status_code == 202
    assert (await socket.message()).topic == f"realtime:{writable}"
    await socket.is_quiet()


@pytest.mark.parametrize(
    "headers",
    [
        {"apikey": "", "Authorization": "Bearer x"},
        {"apikey": "x"},
        {"apikey": "sb_publishable_wrong"},
    ],
)
async def test_bad_credentials_are_refused(
    http: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    for path in ("/broadcast", "/broadcast/t/events/e"):
        response = await http.post(path, json=batch(), headers=headers)
        assert response.status_code == 401


async def test_event_is_delivered_with_its_body(
    http: httpx.AsyncClient, socket: RealtimeSocket, stack: Stack
) -> None:
    topic = f"{new_topic()}/é"
    name = f"realtime:{topic}".encode()
    path = f"/broadcast/{topic.replace('/', '%2F')}/events/a%20b"
    await socket.join(f"realtime:{topic}")
    async with realtime_socket(stack, "1.0.0") as first:
        await first.join(f"realtime:{topic}")
        for body, sent in ((b'{"a": 1}', b'{"a": 1}'), (b"[1]", b'{"_json":[1]}')):
            kind = {"content-type": "application/json; charset=utf-8"}
            response = await http.post(path, content=body, headers=kind)
            assert (response.status_code, response.content) == (202, b"")
            assert await socket.raw() == bytes([4, len(name), 3, 0, 1]) + name + b"a b" + sent
            assert (await first.message()).payload["event"] == "a b"
        kind = {"content-type": "application/octet-stream"}
        assert (await http.post(path, content=b"\0", headers=kind)).status_code == 202
        assert await socket.raw() == bytes([4, len(name), 3, 0, 0]) + name + b"a b\0"
        await first.is_quiet()


async def test_event_with_another_media_type_is_refused(http: httpx.AsyncClient) -> None:
    kind = {"content-type": "text/plain"}
    response = await http.post("/broadcast/t/events/e", content=b"x", headers=kind)
    assert response.status_code == 415
    assert response.json() == {
        "error": "Unsupported Media Type. Use application/json or application/octet-stream"
    }


async def test_event_that_is_no_json_is_refused(http: httpx.AsyncClient) -> None:
    kind = {"content-type": "application/json"}
    response = await http.post("/broadcast/t/events/e", content=b"{", headers=kind)
    assert response.status_code == 422
    assert "errors" in response.json()


async def test_oversized_event_is_refused(http: httpx.AsyncClient) -> None:
    kind = {"content-type": "application/octet-stream"}
    body = b"x" * (3000 * 1024 + 501)
    response = await http.post("/broadcast/t/events/e", content=body, headers=kind)
    assert response.status_code == 422
    assert response.json() == {"errors": {"payload": ["Payload size exceeds tenant limit"]}}


async def test_private_event_needs_a_policy(
    http: httpx.AsyncClient, socket: RealtimeSocket, stack: Stack
) -> None:
    closed, writable = new_topic("closed"), new_topic("writable")
    await socket.join(f"realtime:{writable}", private=True)
    headers = {"Authorization": f"Bearer {user_token(stack)}"}
    url = "/broadcast/{}/events/e?private=true"
    denied = await http.post(url.format(closed), json={}, headers=headers)
    assert (denied.status_code, denied.json()) == (403, {"message": "Unauthorized"})
    allowed = await http.post(url.format(writable), json={}, headers=headers)
    assert allowed.status_code == 202
    assert isinstance(await socket.raw(), bytes)
    unknown = {"Authorization": f"Bearer {user_token(stack, role='no_such_role')}"}
    failed = await http.post(url.format(writable), json={}, headers=unknown)
    assert (failed.status_code, failed.json()) == (422, {"message": "RLS policy error"})


async def test_ping_and_preflight(http: httpx.AsyncClient, stack: Stack) -> None:
    assert (await http.get("/ping")).json() == {"message": "Success"}
    headers = {
        "Origin": "http://localhost:3000",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,apikey,content-type",
    }
    preflight = await http.options("/broadcast", headers=headers)
    assert preflight.is_success
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert (await http.get(f"{stack.api_url}/realtime/v1/healthcheck")).status_code == 200
