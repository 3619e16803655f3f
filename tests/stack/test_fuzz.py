"""Whatever is sent to Auth, Realtime and functions: an answer, and no secret in the logs.

Storage has a file of its own, the gateway's and the wire's parsers are in ``tests/unit``.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed

from parley_stack.auth.app import ROUTES
from support.realtime_sockets import realtime_socket
from support.stacks import Stack

PASSWORD = f"never-logged-{uuid.uuid4().hex}"
FIELDS = [
    "email", "phone", "password", "data", "token", "token_hash", "type", "create_user", "channel",
    "code_challenge", "code_challenge_method", "auth_code", "code_verifier", "refresh_token",
    "redirect_to", "nonce", "current_password", "app_metadata", "user_metadata", "factor_type",
    "friendly_name", "issuer", "challenge_id", "code", "id", "role", "aud", "ban_duration",
    "email_confirm", "password_hash", "should_soft_delete", "new_email", "grant_type", "provider",
]  # fmt: skip
WORDS = [
    "", "a", "\x00", "\ud800", "ü", "signup", "magiclink", "recovery", "email_change", "sms",
    "phone_change", "email", "invite", "email_change_new", "totp", "s256", "pkce", "24h", "none",
    "nobody@example.com", "a@b", "+15005550006", "123456", "x" * 80, "x" * 300, PASSWORD,
    str(uuid.UUID(int=1)), "service_role", "-1", "https://evil.example",
]  # fmt: skip
TEXT = st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
SCALAR = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
JSON = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=8,
)
BODY = st.one_of(
    st.binary(max_size=100),
    JSON.map(json.dumps),
    st.dictionaries(st.sampled_from(FIELDS), st.one_of(TEXT, JSON), max_size=8).map(json.dumps),
).map(lambda body: body if isinstance(body, bytes) else body.encode())
QUERY = st.dictionaries(
    st.sampled_from([*FIELDS, "scope", "page", "per_page", "skip_http_redirect"]),
    TEXT.filter(lambda text: "\ud800" not in text),
    max_size=3,
)
PART = st.one_of(
    st.sampled_from([str(uuid.UUID(int=1)), "me", "a", "%00", "%ff", "%2e%2e"]),
    st.binary(min_size=1, max_size=8).map(lambda data: "".join(f"%{byte:02X}" for byte in data)),
)
MANY = settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])


@dataclass
class Callers:
    """Clients: nobody's, with a broken token, a user's, and the service key's."""

    user_id: str
    clients: list[httpx.Client]
    secrets: list[str]


@pytest.fixture(scope="module")
def callers(stack: Stack) -> Iterator[Callers]:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD}
    session = httpx.post(f"{stack.api_url}/auth/v1/signup", json=body).json()
    tokens = [None, "x.y.z", session["access_token"], stack.service_role_key]
    clients = [
        httpx.Client(
            base_url=stack.api_url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=20,
        )
        for token in tokens
    ]
    secrets = [PASSWORD, session["access_token"], session["refresh_token"], stack.secret_key]
    yield Callers(session["user"]["id"], clients, secrets)
    for client in clients:
        client.close()


def logs(stack: Stack) -> str:
    with psycopg.connect(stack.db_url) as connection:
        (data,) = connection.execute("show data_directory").fetchone()
    folder = Path(data).parent / "logs"
    assert (folder / "services.log").exists()
    return "".join(path.read_text(errors="replace") for path in folder.glob("*.log"))


@MANY
@given(
    route=st.sampled_from(ROUTES),
    part=PART,
    body=BODY,
    query=QUERY,
    who=st.integers(0, 3),
    is_form=st.booleans(),
)
def test_auth(callers, route, part, body, query, who, is_form):
    method, pattern, _ = route
    if (pattern, who) == ("/logout", 2):
        return  # would leave the other examples without a session
    if method != "DELETE":
        part = callers.user_id if part == "me" else part
    path = pattern.format(user_id=part, factor_id=part, identity_id=part)
    kind = "application/x-www-form-urlencoded" if is_form else "application/json"
    answer = callers.clients[who].request(
        method, f"/auth/v1{path}", params=query, content=body, headers={"content-type": kind}
    )
    assert answer.status_code < 500, (method, path, query, body, answer.text)


@MANY
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]),
    path=st.sampled_from(
        ["realtime/v1/api/broadcast", "realtime/v1/api/broadcast/{}/events/{}", "functions/v1/{}",
         "functions/v1/{}/{}", "realtime/v1/api/ping", "realtime/v1/{}"]
    ),
    parts=st.tuples(PART, PART),
    body=BODY,
    kind=st.sampled_from(["application/json", "application/octet-stream", "text/plain", ""]),
    who=st.integers(0, 3),
)  # fmt: skip
def test_realtime_over_http_and_functions(callers, method, path, parts, body, kind, who):
    answer = callers.clients[who].request(
        method, "/" + path.format(*parts), content=body, headers={"content-type": kind}
    )
    assert answer.status_code < 500, (method, path, parts, body, answer.text)


NAMES = st.one_of(
    st.sampled_from(
        ["phx_join", "phx_leave", "heartbeat", "broadcast", "presence", "access_token", "phoenix",
         "realtime:a", "realtime:b", "realtime:", "track", "untrack"]
    ),
    TEXT,
    SCALAR,
)  # fmt: skip
CONFIG = st.dictionaries(
    st.sampled_from(
        ["broadcast", "presence", "postgres_changes", "private", "self", "ack", "replay", "since",
         "limit", "key", "enabled", "event", "schema", "table", "filter", "select", "config",
         "access_token", "type", "payload"]
    ),
    st.recursive(
        st.one_of(SCALAR, st.sampled_from(["*", "INSERT", "public", "id=eq.1", "a=in.(1", "true"])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2),
            st.dictionaries(
                st.sampled_from(["broadcast", "self", "event", "schema", "table", "filter", "key"]),
                inner,
                max_size=4,
            ),
        ),
        max_leaves=8,
    ),
    max_size=4,
)  # fmt: skip
PAYLOAD = st.one_of(JSON, CONFIG, CONFIG.map(lambda config: {"config": config}))
PARTS = ("join_ref", "ref", "topic", "event", "payload")
FRAME = st.one_of(
    st.binary(max_size=60),
    st.binary(max_size=40).map(lambda data: b"\x03\x01\x01\x0a\x01\x00\x01" + data),
    TEXT.filter(lambda text: "\ud800" not in text),
    st.tuples(NAMES, NAMES, NAMES, NAMES, PAYLOAD),
    st.tuples(
        st.just("1"), st.just("1"), st.sampled_from(["realtime:a", "realtime:b"]),
        st.sampled_from(["phx_join", "broadcast", "presence", "phx_leave", "access_token"]),
        PAYLOAD,
    ),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(frames=st.lists(FRAME, min_size=1, max_size=12), version=st.sampled_from(["1.0.0", "2.0.0"]))
def test_realtime_frames(stack, frames, version):
    async def talk() -> None:
        async with realtime_socket(stack, version) as socket:
            try:
                for frame in frames:
                    if isinstance(frame, tuple) and version == "1.0.0":
                        frame = dict(zip(PARTS, frame, strict=True))
                    is_raw = isinstance(frame, str | bytes)
                    await socket.connection.send(frame if is_raw else json.dumps(frame))
                await socket.send("heartbeat", {}, topic="phoenix", ref="alive", join_ref=None)
                async with asyncio.timeout(10):
                    while '"alive"' not in str(await socket.connection.recv()):
                        pass
            except ConnectionClosed as error:
                raise AssertionError(f"dropped: {frames!r}") from error

    asyncio.run(talk())


def test_nothing_secret_was_logged(stack, callers):
    written = logs(stack)
    for secret in callers.secrets:
        assert secret not in written
