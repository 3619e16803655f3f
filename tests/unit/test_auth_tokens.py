from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from parley_stack.auth.objects import User
from parley_stack.auth.tokens import Method, access_claims, is_refresh_token, new_refresh_token

NOW = datetime(2026, 1, 1, tzinfo=UTC)
USER = User(
    id=uuid.UUID(int=1),
    aud="authenticated",
    role="authenticated",
    email="owner@example.com",
    phone="",
    encrypted_password="$2a$10$stays-here",
    app_metadata={"provider": "email"},
    user_metadata={"name": "Owner"},
)


def test_claims_are_the_documented_ones() -> None:
    claims = access_claims(
        USER,
        session_id=uuid.UUID(int=2),
        aal="aal1",
        methods=[Method("password", NOW - timedelta(hours=1)), Method("totp", NOW)],
        issuer="http://127.0.0.1:54321/auth/v1",
        now=NOW,
        lifetime_seconds=3600,
    )
    issued_at = int(NOW.timestamp())
    assert claims == {
        "iss": "http://127.0.0.1:54321/auth/v1",
        "sub": "00000000-0000-0000-0000-000000000001",
        "aud": "authenticated",
        "exp": issued_at + 3600,
        "iat": issued_at,
        "email": "owner@example.com",
        "phone": "",
        "app_metadata": {"provider": "email"},
        "user_metadata": {"name": "Owner"},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [
            {"method": "totp", "timestamp": issued_at},
            {"method": "password", "timestamp": issued_at - 3600},
        ],
        "session_id": "00000000-0000-0000-0000-000000000002",
        "is_anonymous": False,
    }


def test_refresh_tokens_are_twelve_lowercase_letters_and_digits() -> None:
    made = {new_refresh_token() for _ in range(200)}
    assert len(made) == 200
    assert all(len(text) == 12 and text.isalnum() and text == text.lower() for text in made)
    assert all(map(is_refresh_token, made))


@pytest.mark.parametrize("text", ["", "short", "elevenchars", "has a space!!", "a" * 256, "é" * 12])
def test_what_cannot_be_a_refresh_token(text: str) -> None:
    assert not is_refresh_token(text)


def test_nothing_printed_of_a_user_holds_the_password_hash() -> None:
    assert "stays-here" not in repr(USER)
