"""Who is calling: from the bearer token to a user and session, or to an administrator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from starlette.requests import Request

from parley_stack.keys import Claims, TokenError

from . import sessions, users
from .database import Connection, transaction
from .errors import AuthError
from .objects import Session, User
from .server import Server
from .users import AUTHENTICATED

ADMIN_ROLES = frozenset({"service_role", "supabase_admin"})
AUDIENCE_HEADER = "X-JWT-AUD"

_BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)


@dataclass(frozen=True)
class Caller:
    """A signed-in user. ``session`` is None for a token that names none."""

    user: User
    session: Session | None
    token_audience: str

    @property
    def session_id(self) -> UUID | None:
        return self.session.id if self.session else None


def audience(request: Request, default: str = AUTHENTICATED) -> str:
    """The audience whose users the request is about."""
    return request.headers.get(AUDIENCE_HEADER) or default


def bearer_claims(server: Server, request: Request) -> Claims:
    """The claims of the request's bearer token.

    Raises 401 ``no_authorization`` without one, 403 ``bad_jwt`` for one that does not verify.
    """
    match = _BEARER.fullmatch(request.headers.get("authorization", ""))
    if match is None:
        raise AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        return server.keys.verify(match[1])
    except TokenError as error:
        message = f"invalid JWT: unable to parse or verify signature, {error}"
        raise AuthError(403, "bad_jwt", message) from error


def require_admin(server: Server, request: Request) -> None:
    """Raises 401, or 403 ``not_admin`` for a role that may not administer users."""
    role = bearer_claims(server, request).get("role")
    if not isinstance(role, str) or role not in ADMIN_ROLES:
        raise AuthError(403, "not_admin", "User not allowed")


async def require_user(server: Server, request: Request) -> Caller:
    """The signed-in user behind the request.

    Raises 401, or 403 for a token without a user (the anon key's), of a user or session that is
    gone, or of a banned user.
    """
    claims = bearer_claims(server, request)
    if not claims.get("sub"):
        raise AuthError(403, "bad_jwt", "invalid claim: missing sub claim")
    user_id = _uuid(claims["sub"])
    if user_id is None:
        raise AuthError(400, "bad_jwt", "invalid claim: sub claim must be a UUID")
    async with transaction(server.pool) as conn:
        user = await users.by_id(conn, user_id)
        if user is None or user.deleted_at is not None:
            message = "User from sub claim in JWT does not exist"
            raise AuthError(403, "user_not_found", message)
        session = await _session(conn, claims, user)
    if user.is_banned(datetime.now(UTC)):
        raise AuthError(403, "user_banned", "User is banned")
    return Caller(user, session, _first_audience(claims))


async def _session(conn: Connection, claims: Claims, user: User) -> Session | None:
    if not claims.get("session_id"):
        return None
    session_id = _uuid(claims["session_id"])
    if session_id is None:
        raise AuthError(403, "bad_jwt", "invalid claim: session_id claim must be a UUID")
    session = await sessions.find(conn, session_id)
    if session is None or session.user_id != user.id:
        message = "Session from session_id claim in JWT does not exist"
        raise AuthError(403, "session_not_found", message)
    return session


def _first_audience(claims: Claims) -> str:
    value = claims.get("aud")
    if isinstance(value, list):
        value = value[0] if value else None
    return value if isinstance(value, str) else ""


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
