"""One session, one refresh, shared by all who ask. No network: httpx's mock transport."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from urllib.parse import parse_qs

import httpx
import pytest

from parley import AsyncParley, AuthenticationError, ConnectionFailedError, new_id

USER = {
    "id": str(new_id()),
    "aud": "authenticated",
    "email": "alice@example.com",
    "app_metadata": {},
    "user_metadata": {"username": "alice"},
    "created_at": "2026-11-21T00:00:00Z",
}


def token(number: int) -> str:
    parts = ({"alg": "HS256"}, {"sub": USER["id"], "number": number})
    return (
        ".".join(
            base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
            for part in parts
        )
        + ".signature"
    )


class Project:
    """An Auth server with one user, and a REST server that notes the tokens it is shown."""

    def __init__(self) -> None:
        self.lifetime_seconds = 3600
        self.grants: list[str] = []
        self.bearers: list[str] = []
        self.accepted: str | None = None
        self.is_auth_down = False
        self.is_session_over = False

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/auth/"):
            await asyncio.sleep(0)
            return self.auth(request)
        bearer = request.headers["Authorization"].removeprefix("Bearer ")
        self.bearers.append(bearer)
        if self.accepted not in (None, bearer):
            return httpx.Response(401, json={"code": "PGRST301", "message": "JWT expired"})
        return httpx.Response(200, json=[])

    def auth(self, request: httpx.Request) -> httpx.Response:
        if self.is_auth_down:
            raise httpx.ConnectError("refused")
        if request.url.path.endswith("/logout"):
            return httpx.Response(204)
        grant = parse_qs(request.url.query.decode())["grant_type"][0]
        self.grants.append(grant)
        if grant == "refresh_token" and self.is_session_over:
            error = {"code": "refresh_token_not_found", "message": "Invalid Refresh Token"}
            return httpx.Response(400, json=error, headers={"X-Supabase-Api-Version": "2024-01-01"})
        session = {
            "access_token": token(len(self.grants)),
            "token_type": "bearer",
            "expires_in": self.lifetime_seconds,
            "refresh_token": f"refresh-{len(self.grants)}",
            "user": USER,
        }
        return httpx.Response(200, json=session)


@pytest.fixture
def project() -> Project:
    return Project()


@pytest.fixture
async def parley(project: Project) -> AsyncIterator[AsyncParley]:
    client = httpx.AsyncClient(transport=httpx.MockTransport(project))
    async with (
        client,
        AsyncParley("https://example.com", "the key", retry_seconds=0, http_client=client) as made,
    ):
        yield made


async def sign_in(parley: AsyncParley) -> None:
    await parley.auth.sign_in_with_password("alice@example.com", "secret")


async def expire(parley: AsyncParley, project: Project) -> None:
    """Signs in with a token that is due for a refresh at once, as it ends in a moment."""
    project.lifetime_seconds = 0
    await sign_in(parley)
    project.lifetime_seconds = 3600
    deadline = asyncio.get_running_loop().time() + 5
    while (parley.auth.refresh_due_seconds or 0) > 0:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)


async def test_signed_in_requests_carry_the_users_token(
    parley: AsyncParley, project: Project
) -> None:
    await sign_in(parley)
    user = parley.auth.user
    assert user is not None
    assert user.email == "alice@example.com"
    await parley.inbox.list()
    assert project.bearers == [token(1)]


async def test_however_many_ask_one_refresh_is_sent(parley: AsyncParley, project: Project) -> None:
    await expire(parley, project)
    await asyncio.gather(*(parley.inbox.list() for _ in range(20)))
    assert project.grants == ["password", "refresh_token"]
    assert set(project.bearers) == {token(2)}


async def test_a_refresh_goes_on_when_the_one_who_asked_is_cancelled(
    parley: AsyncParley, project: Project
) -> None:
    await expire(parley, project)
    asking = asyncio.create_task(parley.auth.token())
    await asyncio.sleep(0)
    asking.cancel()
    await asyncio.wait([asking])
    assert await parley.auth.token() == token(2)
    assert project.grants == ["password", "refresh_token"]


async def test_a_token_that_expired_early_is_replaced_and_the_request_repeated(
    parley: AsyncParley, project: Project
) -> None:
    await sign_in(parley)
    project.accepted = token(2)
    await parley.inbox.list()
    assert project.bearers == [token(1), token(2)]


async def test_a_token_that_is_refused_for_good_is_an_error_and_no_loop(
    parley: AsyncParley, project: Project
) -> None:
    await sign_in(parley)
    project.accepted = "another"
    with pytest.raises(AuthenticationError):
        await parley.inbox.list()
    assert len(project.bearers) == 2


async def test_a_session_that_ended_signs_out(parley: AsyncParley, project: Project) -> None:
    await expire(parley, project)
    project.is_session_over = True
    with pytest.raises(AuthenticationError) as raised:
        await parley.inbox.list()
    assert raised.value.code == "refresh_token_not_found"
    assert raised.value.hint == "Sign in again."
    assert parley.auth.user is None


async def test_without_an_auth_server_an_old_session_is_kept(
    parley: AsyncParley, project: Project
) -> None:
    await expire(parley, project)
    project.is_auth_down = True
    assert await parley.auth.token() == token(1)
    assert parley.auth.user is not None


async def test_signing_out_forgets_the_session_even_if_nobody_can_be_told(
    parley: AsyncParley, project: Project
) -> None:
    await sign_in(parley)
    project.is_auth_down = True
    with pytest.raises(ConnectionFailedError):
        await parley.auth.sign_out()
    assert parley.auth.user is None
    await parley.auth.sign_out()


async def test_tokens_are_not_shown(parley: AsyncParley, project: Project) -> None:
    await sign_in(parley)
    assert token(1) not in repr(vars(parley.auth))
