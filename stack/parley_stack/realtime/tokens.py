"""Tokens of sockets, channels and HTTP requests.

``Keys`` decides whether a token is genuine; this module adds what Realtime asks on top (claims
``role`` and ``exp``) and turns refusals into the texts that clients know.
Source: Supabase Realtime protocol, section 4.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from parley_stack.keys import Claims, Keys, TokenError, TokenProblem

_MESSAGES = {
    TokenProblem.MALFORMED: ("MalformedJWT", "The token provided is not a valid JWT"),
    TokenProblem.SIGNATURE: ("JwtSignatureError", "Failed to validate JWT signature"),
    TokenProblem.CLAIMS: ("InvalidJWTToken", "Fields `role` and `exp` are required in JWT"),
    TokenProblem.EXPIRED: ("InvalidJWTToken", "Token has expired"),
}


class TokenRefusedError(Exception):
    """A token that is not accepted.

    ``brief`` is the text of a handshake, ``message`` that of a system message (it tells an expired
    token's age), ``reason`` that of a join error.
    """

    def __init__(self, problem: TokenProblem, expired_seconds: int | None = None) -> None:
        code, self.brief = _MESSAGES[problem]
        self.message = self.brief
        if expired_seconds is not None:
            self.message = f"{self.brief} {expired_seconds} seconds ago"
        super().__init__(self.message)
        self.reason = f"{code}: {self.message}"


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf PostgreSQL is asked: a token's claims, and request headers."""

    claims: Claims
    headers: Mapping[str, str]

    @property
    def role(self) -> str:
        """The database role the token names."""
        return str(self.claims["role"])


def is_api_key(token: str) -> bool:
    """Whether ``token`` is an opaque API key, which is not a JWT."""
    return token.startswith("sb_")


def token_of_api_key(keys: Keys, key: str) -> str:
    """The JWT an opaque API key stands for; any other text is returned as it is."""
    if key == keys.publishable_key:
        return keys.anon_key
    if key == keys.secret_key:
        return keys.service_role_key
    return key


def verify(keys: Keys, token: str) -> Claims:
    """Claims of a genuine token that has a role and an end. Raises TokenRefusedError."""
    token = token.strip()
    try:
        claims = keys.verify(token)
    except TokenError as error:
        age = _expired_seconds(token) if error.problem is TokenProblem.EXPIRED else None
        raise TokenRefusedError(error.problem, age) from error
    role = claims.get("role")
    if not isinstance(role, str) or not role or expiry(claims) is None:
        raise TokenRefusedError(TokenProblem.CLAIMS)
    return claims


def expiry(claims: Claims) -> float | None:
    """Unix time at which a token ends, or None if its claim is missing or no number."""
    exp = claims.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return None
    return float(exp)


def _expired_seconds(token: str) -> int:
    """Age of a token whose signature has been checked already."""
    claims = jwt.decode(token, options={"verify_signature": False})
    return max(0, int(time.time() - (expiry(claims) or 0)))
