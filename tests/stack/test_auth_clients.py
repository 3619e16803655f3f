"""The official Python clients, unchanged, against the Auth server behind the gateway."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from supabase import AsyncClient, create_async_client
from supabase_auth import AsyncGoTrueClient, SyncGoTrueClient
from supabase_auth.errors import AuthApiError, AuthSessionMissingError, AuthWeakPasswordError


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture
async def owner(stack: Any) -> AsyncIterator[AsyncClient]:
    client = await create_async_client(stack.api_url, stack.publishable_key)
    yield client
    await client.auth.close()


@pytest.fixture
async def service(stack: Any) -> AsyncIterator[AsyncClient]:
    client = await create_async_client(stack.api_url, stack.secret_key)
    yield client
    await client.auth.close()


@pytest.fixture
def auth(stack: Any) -> Iterator[SyncGoTrueClient]:
    with SyncGoTrueClient(
        url=f"{stack.api_url}/auth/v1", headers={"apikey": stack.publishable_key}
    ) as client:
        yield client


def test_sign_up_sign_in_refresh_sign_out(auth: SyncGoTrueClient, email: str) -> None:
    credentials = {"email": email, "password": "secret-1"}
    signed_up = auth.sign_up({**credentials, "options": {"data": {"name": "Owner"}}})
    assert signed_up.session is not None
    assert signed_up.user is not None
    assert signed_up.user.user_metadata["name"] == "Owner"
    auth.sign_out()
    assert auth.get_session() is None

    signed_in = auth.sign_in_with_password(credentials)
    assert signed_in.session is not None
    refreshed = auth.refresh_session()
    assert refreshed.session is not None
    assert refreshed.session.refresh_token != signed_in.session.refresh_token
    current = auth.get_user()
    assert current is not None
    assert current.user.id == signed_up.user.id
    updated = auth.update_user({"data": {"name": "Member"}})
    assert updated.user.user_metadata["name"] == "Member"


def test_codes_reach_the_caller(auth: SyncGoTrueClient, email: str) -> None:
    with pytest.raises(AuthApiError) as refused:
        auth.sign_in_with_password({"email": email, "password": "secret-1"})
    assert (refused.value.code, refused.value.status) == ("invalid_credentials", 400)
    with pytest.raises(AuthWeakPasswordError) as weak:
        auth.sign_up({"email": email, "password": "short"})
    assert weak.value.reasons == ["length"]
    auth.sign_up({"email": email, "password": "secret-1"})
    with pytest.raises(AuthApiError, match=r"^User already registered") as known:
        auth.sign_up({"email": email, "password": "secret-1"})
    assert known.value.code == "user_already_exists"


def test_claims_are_verified(auth: SyncGoTrueClient, email: str) -> None:
    auth.sign_up({"email": email, "password": "secret-1"})
    answer = auth.get_claims()
    assert answer is not None
    assert answer["claims"]["email"] == email


def test_a_lost_session_signs_out(auth: SyncGoTrueClient, email: str) -> None:
    auth.sign_up({"email": email, "password": "secret-1"})
    session = auth.get_session()
    assert session is not None
    auth.admin.sign_out(session.access_token, "global")
    with pytest.raises((AuthApiError, AuthSessionMissingError)):
        auth.refresh_session()


async def test_scopes_of_signing_out(owner: AsyncClient, stack: Any, email: str) -> None:
    credentials = {"email": email, "password": "secret-1"}
    await owner.auth.sign_up(credentials)
    url, headers = f"{stack.api_url}/auth/v1", {"apikey": stack.publishable_key}
    async with AsyncGoTrueClient(url=url, headers=headers) as other:
        await other.sign_in_with_password(credentials)
        await owner.auth.sign_out({"scope": "others"})
        with pytest.raises(AuthApiError) as refused:
            await other.get_user()
        assert refused.value.code == "session_not_found"
    answer = await owner.auth.get_user()
    assert answer is not None


async def test_administration(service: AsyncClient, owner: AsyncClient, email: str) -> None:
    admin = service.auth.admin
    created = await admin.create_user(
        {"email": email, "password": "secret-1", "email_confirm": True}
    )
    user_id = created.user.id
    assert (await admin.get_user_by_id(user_id)).user.email == email
    assert user_id in {user.id for user in await admin.list_users(page=1, per_page=1000)}
    updated = await admin.update_user_by_id(user_id, {"app_metadata": {"tenant": "t1"}})
    assert updated.user.app_metadata["tenant"] == "t1"

    signed_in = await owner.auth.sign_in_with_password({"email": email, "password": "secret-1"})
    assert signed_in.user is not None
    assert signed_in.user.app_metadata["tenant"] == "t1"
    with pytest.raises(AuthApiError) as refused:
        await owner.auth.admin.list_users()
    assert refused.value.code == "not_admin"

    await admin.delete_user(user_id)
    with pytest.raises(AuthApiError) as gone:
        await admin.get_user_by_id(user_id)
    assert gone.value.code == "user_not_found"
