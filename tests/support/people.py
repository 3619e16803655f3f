"""People who use a stack over HTTP, each with a token from the Auth server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from .stacks import Stack

PASSWORD = "parley-demo"


@dataclass(frozen=True)
class Person:
    """Somebody who calls the API: a signed-in user, or a bare API key (``id`` empty)."""

    name: str
    http: httpx.Client
    id: str = ""
    token: str = field(default="", repr=False)

    def rpc(self, function: str, **arguments: object) -> httpx.Response:
        """Calls a function of schema chat."""
        return self.http.post(f"/rest/v1/rpc/{function}", json=arguments)

    def call(self, function: str, **arguments: object) -> Any:
        """As ``rpc``, and the result; it must succeed."""
        response = self.rpc(function, **arguments)
        assert response.status_code == 200, response.text
        return response.json()

    def rows(self, table: str, **filters: str) -> list[dict[str, Any]]:
        """The rows of a table or view that this person can read."""
        response = self.http.get(f"/rest/v1/{table}", params=filters)
        assert response.status_code == 200, response.text
        rows: list[dict[str, Any]] = response.json()
        return rows


def client(stack: Stack, key: str, token: str) -> httpx.Client:
    """An HTTP client for schema chat that sends ``key`` and ``token``."""
    return httpx.Client(
        base_url=stack.api_url,
        timeout=20,
        headers={
            "apikey": key,
            "Authorization": f"Bearer {token}",
            "Accept-Profile": "chat",
            "Content-Profile": "chat",
            "Prefer": "return=representation",
        },
    )


def api_key(stack: Stack, name: str) -> Person:
    """``anon`` or ``service_role``: nobody in particular."""
    key = stack.publishable_key if name == "anon" else stack.secret_key
    return Person(name, client(stack, key, key))


def sign_in(stack: Stack, email: str) -> Person:
    """A user who exists, signed in with the password all test users have."""
    response = httpx.post(
        f"{stack.api_url}/auth/v1/token",
        params={"grant_type": "password"},
        json={"email": email, "password": PASSWORD},
        headers={"apikey": stack.publishable_key},
        timeout=20,
    )
    assert response.status_code == 200, response.text
    session = response.json()
    token = session["access_token"]
    return Person(
        email.split("@")[0],
        client(stack, stack.publishable_key, token),
        session["user"]["id"],
        token,
    )


def sign_up(stack: Stack, name: str) -> Person:
    """A new user; the username begins with ``name``."""
    username = f"{name}_{uuid.uuid4().hex[:12]}"
    email = f"{username}@example.com"
    response = httpx.post(
        f"{stack.api_url}/auth/v1/signup",
        json={"email": email, "password": PASSWORD, "data": {"username": username}},
        headers={"apikey": stack.publishable_key},
        timeout=20,
    )
    assert response.status_code == 200, response.text
    return sign_in(stack, email)
