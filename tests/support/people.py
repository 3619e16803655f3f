"""People who use a stack over HTTP, each with a token from the Auth server."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx

from parley_stack import testing
from parley_stack.testing import Stack

PASSWORD = "parley-demo"
_CHAT = {
    "Accept-Profile": "chat",
    "Content-Profile": "chat",
    "Prefer": "return=representation",
}


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


def api_key(stack: Stack, name: str) -> Person:
    """``anon`` or ``service_role``: nobody in particular."""
    key = stack.publishable_key if name == "anon" else stack.secret_key
    headers = {"apikey": key, "Authorization": f"Bearer {key}", **_CHAT}
    return Person(name, httpx.Client(base_url=stack.api_url, timeout=20, headers=headers))


def sign_in(stack: Stack, email: str) -> Person:
    """A user who exists, signed in with the password all test users have."""
    user = testing.sign_in(stack, email, PASSWORD)
    user.http.headers.update(_CHAT)
    return Person(email.split("@")[0], user.http, user.id, user.token)


def sign_up(stack: Stack, name: str) -> Person:
    """A new user; the username begins with ``name``."""
    username = f"{name}_{uuid.uuid4().hex[:12]}"
    user = testing.sign_up(stack, f"{username}@example.com", PASSWORD, {"username": username})
    user.http.headers.update(_CHAT)
    return Person(username, user.http, user.id, user.token)
