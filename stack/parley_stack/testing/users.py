"""Users of a stack over HTTP, each with a token from its Auth server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from functools import cache

import httpx

from .stacks import Stack

PASSWORD = "password-of-tests"  # noqa: S105
_SECONDS = 20.0


@dataclass(frozen=True)
class User:
    """A signed-in user; ``http`` sends their token to the API."""

    id: str
    email: str
    token: str = field(repr=False)
    http: httpx.Client = field(repr=False)


def sign_in(stack: Stack, email: str, password: str = PASSWORD) -> User:
    """A user who exists. Raises httpx.HTTPStatusError when Auth refuses."""
    return _user(stack, "token?grant_type=password", {"email": email, "password": password}, email)


def sign_up(
    stack: Stack, email: str, password: str = PASSWORD, data: dict[str, object] | None = None
) -> User:
    """A new user with ``data`` as metadata. Raises httpx.HTTPStatusError when Auth refuses."""
    return _user(stack, "signup", {"email": email, "password": password, "data": data or {}}, email)


@cache
def _trust() -> ssl.SSLContext:
    """Read once a process: it takes 50 ms."""
    return httpx.create_ssl_context()


def _user(stack: Stack, path: str, body: dict[str, object], email: str) -> User:
    response = httpx.post(
        f"{stack.api_url}/auth/v1/{path}",
        json=body,
        headers={"apikey": stack.publishable_key},
        timeout=_SECONDS,
        verify=_trust(),
    )
    response.raise_for_status()
    session = response.json()
    token = session["access_token"]
    http = httpx.Client(
        base_url=stack.api_url,
        timeout=_SECONDS,
        verify=_trust(),
        headers={"apikey": stack.publishable_key, "Authorization": f"Bearer {token}"},
    )
    return User(session["user"]["id"], email, token, http)
