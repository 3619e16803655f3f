"""Paths, keys, cross-origin headers: what the gateway changes in a request and an answer."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from parley_stack.gateway import Upstream
from parley_stack.keys import Keys

if TYPE_CHECKING:
    from .conftest import Client, Request, World

PUBLISHABLE = Keys().publishable_key
SECRET = Keys().secret_key


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/rest/v1/notes?id=eq.1", "/notes?id=eq.1"),
        ("/rest/v1/", "/"),
        ("/rest/v1", "/"),
        ("/rest/v1?select=a", "/?select=a"),
        ("/rest/v1/a/rest/v1/b", "/a/rest/v1/b"),
        ("/auth/v1/health", "/health"),
        ("http://stack:1/rest/v1/a?b", "/a?b"),
    ],
)
async def test_a_prefix_is_dropped(world: World, path: str, expected: str) -> None:
    service = await world.service()
    response = await (await world.client()).ask(path)
    assert response.status == 200
    assert service.requests[0].line == f"GET {expected} HTTP/1.1"


@pytest.mark.parametrize("path", ["/rest/v1x", "/rest", "/rest/v2/a", "/token", "/storage/v1/a"])
async def test_a_path_without_a_route_is_not_found(world: World, path: str) -> None:
    service = await world.service()
    response = await (await world.client()).ask(path)
    assert response.status == 404
    assert json.loads(response.body).keys() == {"code", "message", "details", "hint"}
    assert service.requests == []


async def test_the_gateway_answers_for_itself(world: World) -> None:
    await world.service()
    client = await world.client()
    assert (await client.ask("/")).body == b'{"status": "ok"}'
    assert (await client.ask("/health?x=1")).status == 200
    assert (await client.ask("/health", method="HEAD")).header("content-length") == "16"
    graphql = await client.ask("/graphql/v1", method="POST", body=b"{}")
    assert graphql.status == 404
    assert "GraphQL" in json.loads(graphql.body)["message"]
    assert (await client.ask("/rest/v1/")).body == b"hello"


USER = "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x"
ANON = f"Bearer {Keys().anon_key}"
SERVICE = f"Bearer {Keys().service_role_key}"


@pytest.mark.parametrize(
    ("authorization", "api_key", "expected"),
    [
        (USER, None, USER),
        (USER, PUBLISHABLE, USER),
        (USER, SECRET, USER),
        ("Basic eDp5", PUBLISHABLE, "Basic eDp5"),
        (f"Bearer {PUBLISHABLE}", PUBLISHABLE, ANON),
        (f"Bearer {SECRET}", SECRET, SERVICE),
        (None, PUBLISHABLE, ANON),
        (None, SECRET, SERVICE),
        (None, "sb_publishable_other", "sb_publishable_other"),
        ("Bearer sb_publishable_other", "eyJ.e30.x", "eyJ.e30.x"),
        (f"Bearer {SECRET}", PUBLISHABLE, ANON),
        (f"Bearer {SECRET}", None, None),
        (None, None, None),
    ],
)
async def test_keys_become_tokens(
    world: World, authorization: str | None, api_key: str | None, expected: str | None
) -> None:
    service = await world.service()
    sent = {"Authorization": authorization, "apikey": api_key}
    headers = [f"{name}: {value}" for name, value in sent.items() if value is not None]
    assert (await (await world.client()).ask("/rest/v1/a", *headers)).status == 200
    assert service.requests[0].header("authorization") == expected
    assert service.requests[0].header("apikey") == api_key


@pytest.mark.parametrize("path", ["/verify?token=x", "/callback", "/authorize?provider=x"])
async def test_keys_are_left_alone_where_browsers_follow_links(world: World, path: str) -> None:
    service = await world.service()
    headers = [f"Authorization: Bearer {SECRET}", f"apikey: {SECRET}"]
    await (await world.client()).ask(f"/auth/v1{path}", *headers)
    assert service.requests[0].header("authorization") == f"Bearer {SECRET}"


async def test_a_key_in_the_query_does_not_count(world: World) -> None:
    service = await world.service()
    await (await world.client()).ask(f"/rest/v1/a?apikey={SECRET}")
    assert service.requests[0].header("authorization") is None


async def test_a_preflight_is_answered_by_the_gateway(world: World) -> None:
    service = await world.service()
    client = await world.client()
    response = await client.ask(
        "/rest/v1/notes",
        "Origin: http://localhost:3000",
        "Access-Control-Request-Method: PATCH",
        "Access-Control-Request-Headers: apikey,x-something",
        method="OPTIONS",
    )
    assert response.status == 204
    assert response.header("access-control-allow-origin") == "*"
    assert response.header("access-control-allow-headers") == "apikey,x-something"
    assert "PATCH" in (response.header("access-control-allow-methods") or "")
    assert service.requests == []
    bare = await client.ask("/auth/v1/x", "Access-Control-Request-Method: GET", method="OPTIONS")
    assert "x-supabase-api-version" in (bare.header("access-control-allow-headers") or "")


async def test_another_options_request_goes_upstream(world: World) -> None:
    service = await world.service()
    await (await world.client()).ask("/rest/v1/notes", method="OPTIONS")
    assert service.requests[0].line == "OPTIONS /notes HTTP/1.1"


async def test_the_cross_origin_headers_of_an_upstream_are_replaced(world: World) -> None:
    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: http://evil\r\n"
            b"access-control-expose-headers: A\r\nACCESS-CONTROL-ALLOW-CREDENTIALS : true\r\n"
            b"Content-Range: 0-0/*\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n"
            b"Content-Length: 2\r\n\r\nok"
        )

    await world.service(handler)
    response = await (await world.client()).ask("/rest/v1/notes", "Origin: http://x")
    assert response.header("access-control-allow-origin") == "*"
    assert response.header("access-control-allow-credentials") is None
    exposed = (response.header("access-control-expose-headers") or "").split(", ")
    assert {"Content-Range", "X-Total-Count", "Link", "X-Supabase-Api-Version"} <= set(exposed)
    assert response.header("content-range") == "0-0/*"
    assert response.header("connection") is None
    assert response.header("keep-alive") is None


@pytest.mark.parametrize("is_open", [True, False])
async def test_an_upstream_with_rules_of_its_own_answers_browsers_itself(
    world: World, is_open: bool
) -> None:
    own = b"Access-Control-Allow-Origin: https://a.example\r\n" if is_open else b""

    async def handler(_request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\n" + own + b"Keep-Alive: timeout=5\r\nContent-Length: 2\r\n\r\nok"
        )

    service = await world.service(handler)
    await world.start(Upstream.unix(service.path, answers_preflights=True))
    client: Client = await world.client()
    asked = "Access-Control-Request-Method: GET"
    response = await client.ask("/rest/v1/f", asked, method="OPTIONS")
    assert service.requests[0].line == "OPTIONS /f HTTP/1.1"
    origin = response.header("access-control-allow-origin")
    assert origin == ("https://a.example" if is_open else "*")
    assert response.header("keep-alive") is None
    assert (response.header("access-control-expose-headers") is None) == is_open
    closing = await client.ask("/rest/v1/f", "Connection: close")
    assert closing.header("access-control-allow-origin") == origin
    assert closing.header("connection") == "close"


async def test_an_error_of_the_gateway_is_open_to_every_origin(world: World) -> None:
    await world.service()
    response = await (await world.client()).ask("/nowhere")
    assert response.header("access-control-allow-origin") == "*"


async def test_headers_of_the_connection_stay_behind(world: World) -> None:
    service = await world.service()
    await (await world.client()).ask(
        "/rest/v1/a",
        "Connection: keep-alive, X-Mine",
        "X-Mine: 1",
        "Keep-Alive: 5",
        "TE: trailers",
        "Proxy-Authorization: Basic x",
        "Prefer: count=exact",
        "X-Forwarded-For: 10.0.0.1",
        "X-Forwarded-Proto: https",
    )
    request = service.requests[0]
    names = {name.lower() for name, _ in request.headers}
    assert names & {"connection", "x-mine", "keep-alive", "te", "proxy-authorization"} == set()
    assert request.header("prefer") == "count=exact"
    assert request.header("x-forwarded-for") == "10.0.0.1, 127.0.0.1"
    assert request.header("x-forwarded-proto") == "http"
    assert request.header("x-forwarded-host") == "stack"
    assert request.header("x-forwarded-port") == str(world.gateway.port)
    assert request.header("x-forwarded-prefix") == "/rest/v1/"
    assert request.header("host") == "stack"
