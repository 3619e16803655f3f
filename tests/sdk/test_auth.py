"""Signing up, in and out."""

from __future__ import annotations

import uuid

import pytest

from parley import (
    AsyncParley,
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
)
from support.stacks import Stack


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
