"""Signing up, in and out."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from parley import (
    AsyncParley,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
)
from support.stacks import Stack

if TYPE_CHECKING:
    from .conftest import People


async def test_signing_up_takes_a_username_and_signs_in(stack: Stack) -> None:
    username = f"erin_{uuid.uuid4().hex[:12]}"
    email = f"{username}@example.com"
    async with AsyncParley(stack.api_url, stack.publishable_key) as parley:
        user = await parley.auth.sign_up(
            email, "parley-demo", username=username, display_name="Erin"
        )
        assert parley.auth.user == user
        profile = await parley.table("profiles").select("username,display_name").single().execute()
        assert profile.data == {"username": username, "display_name": "Erin"}
        with pytest.raises(ConflictError) as raised:
            await parley.auth.sign_up(email, "parley-demo")
        assert raised.value.code == "user_already_exists"


async def test_a_weak_password_is_refused(stack: Stack) -> None:
    async with AsyncParley(stack.api_url, stack.anon_key) as parley:
        with pytest.raises(InvalidRequestError) as raised:
            await parley.auth.sign_up(f"weak_{uuid.uuid4().hex}@example.com", "x")
        assert raised.value.code == "weak_password"


async def test_a_wrong_password_is_refused(stack: Stack) -> None:
    async with AsyncParley(stack.api_url, stack.anon_key) as parley:
        with pytest.raises(AuthenticationError) as raised:
            await parley.auth.sign_in_with_password("alice@example.com", "wrong")
        assert raised.value.code == "invalid_credentials"
        assert parley.auth.user is None


async def test_after_signing_out_nothing_can_be_done(stack: Stack) -> None:
    async with AsyncParley(stack.api_url, stack.publishable_key) as parley:
        await parley.auth.sign_in_with_password("alice@example.com", "parley-demo")
        await parley.inbox.list()
        await parley.auth.sign_out()
        assert parley.auth.user is None
        with pytest.raises(AuthenticationError):
            await parley.conversations.start_direct("bob")


async def test_a_session_is_resumed_by_the_next_program(stack: Stack, people: People) -> None:
    person = await people("erin")
    kept: list[str | None] = []
    person.parley.auth.on_change(lambda: kept.append(person.parley.auth.refresh_token))
    token = person.parley.auth.access_token
    assert token is not None
    await person.parley.auth.renew(token)
    assert kept[-1] == person.parley.auth.refresh_token
    async with AsyncParley(stack.api_url, stack.publishable_key) as parley:
        user = await parley.auth.resume(kept[-1] or "")
        assert user.id == person.id
        assert (await parley.me.profile()).username == person.username
        with pytest.raises(AuthenticationError):
            await parley.auth.resume("no token at all")
        with pytest.raises(InvalidRequestError):
            await parley.auth.resume("")
