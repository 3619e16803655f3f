"""Who is calling: from the bearer token to the role and claims that PostgreSQL is asked with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from uuid import UUID

from starlette.requests import Request

from parley_stack.keys import Claims, Keys, TokenError, TokenProblem

from . import errors

_SCHEME = re.compile(r"^bearer\s+", re.IGNORECASE)

# The texts of the official server's library; clients' tests compare them.
_REFUSALS = {
    TokenProblem.MALFORMED: "Invalid Compact JWS",
    TokenProblem.SIGNATURE: "signature verification failed",
    TokenProblem.EXPIRED: '"exp" claim timestamp check failed',
    TokenProblem.CLAIMS: "JWT claims validation failed",
}

_OWNER = ("supabase_storage_admin", "none")
"""The login role, which owns the tables and is past row security, and SQL's word for it."""


@dataclass(frozen=True)
class Caller:
    """A role, the claims it comes with, and the token that proves both."""

    role: str
    claims: Claims
    token: str = field(repr=False)

    @property
    def owner_id(self) -> str | None:
        """Whose the caller's uploads are: claim ``sub``, any text; API keys have none."""
        sub = self.claims.get("sub")
        return sub if isinstance(sub, str) and sub and "\x00" not in sub else None


def owner_uuid(owner_id: str | None) -> UUID | None:
    """The deprecated column ``owner``: ``owner_id`` where it is a uuid."""
    try:
        return UUID(owner_id) if owner_id else None
    except ValueError:
        return None


def service_caller(keys: Keys) -> Caller:
    """The server itself, as if it used the secret key."""
    token = keys.service_role_key
    return Caller("service_role", keys.verify(token), token)


def of_request(keys: Keys, request: Request) -> Caller:
    """The caller of ``request``. Raises AccessDenied for a token that is missing or no good."""
    token = _SCHEME.sub("", request.headers.get("authorization", "")).strip()
    try:
        claims = keys.verify(token)
    except TokenError as error:
        raise errors.access_denied(_REFUSALS[error.problem]) from error
    role = claims.get("role") or "anon"
    if not isinstance(role, str) or role in _OWNER or "\x00" in role:
        raise errors.access_denied("the token's role is not valid")
    return Caller(role, claims, token)


def refusal_of(error: TokenError) -> str:
    """What is wrong with a token, in the official server's words."""
    return _REFUSALS[error.problem]
