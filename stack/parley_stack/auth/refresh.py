"""The refresh token grant: rotation, and what happens when a used token comes back.

Refresh tokens of a session form a chain: using one revokes it and makes a child. A revoked token
that is presented again may be theft, or a client that lost the answer, or two tabs at once.

    live token                               -> swap: revoke it, issue its child
    revoked, parent of the active token      -> the active token again, however late
    revoked, within the reuse interval       -> swap: a sibling
    revoked otherwise                        -> refused, and the whole chain is revoked

The session row is locked first, so that requests with tokens of one chain come one by one, and in
the order (user, session, token) every other writer uses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

import psycopg
from psycopg.rows import class_row
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import sessions, users
from .bodies import Body
from .database import Connection, transaction
from .errors import AuthError, OAuthError, invalid
from .objects import Json, Session, User
from .server import Origin, Server, origin
from .sessions import Validity
from .tokens import is_refresh_token

LOCK_TIMEOUT = "5s"
"""How long a request waits for another that refreshes the same session."""

_FIND = """select token, user_id, coalesce(revoked, false) as revoked, updated_at, session_id
from auth.refresh_tokens
where token = %s"""
_ACTIVE = """select token, parent
from auth.refresh_tokens
where session_id = %s and not revoked
order by id desc
limit 1"""
# A token that is already revoked keeps the time of its first use: the interval never grows.
_REVOKE = """update auth.refresh_tokens
set revoked = true, updated_at = %s
where token = %s and not revoked"""
_REVOKE_FAMILY = """update auth.refresh_tokens
set revoked = true, updated_at = %s
where session_id = %s and not revoked"""
_TOUCH = """update auth.sessions
set refreshed_at = %s at time zone 'utc', updated_at = %s, user_agent = %s, ip = %s
where id = %s"""
_SET_LOCK_TIMEOUT = "select pg_catalog.set_config('lock_timeout', %s, true)"

_EXPIRED = {
    Validity.EXPIRED: "Invalid Refresh Token: Session Expired",
    Validity.INACTIVE: "Invalid Refresh Token: Session Expired (Inactivity)",
}


class RefreshBody(Body):
    refresh_token: str = ""


@dataclass(frozen=True, kw_only=True)
class RefreshToken:
    """A row of ``auth.refresh_tokens``."""

    token: str = field(repr=False)
    user_id: str
    revoked: bool
    updated_at: datetime | None
    session_id: UUID | None


@dataclass(frozen=True)
class ActiveToken:
    """The newest live token of a session."""

    token: str = field(repr=False)
    parent: str | None = field(repr=False)


class Verdict(Enum):
    """What a presented token gets."""

    SWAP = "swap"
    ACTIVE = "active"
    REFUSE = "refuse"


def judge(
    presented: RefreshToken, active: ActiveToken | None, *, now: datetime, reuse: timedelta
) -> Verdict:
    """The rule of the module's table. ``active`` is None when the whole chain is revoked.

    Nothing of a revoked chain is ever usable again, not even within the reuse interval.
    """
    if not presented.revoked:
        return Verdict.SWAP
    if active is None:
        return Verdict.REFUSE
    if active.parent == presented.token:
        return Verdict.ACTIVE
    used_at = presented.updated_at
    return Verdict.SWAP if used_at is not None and now <= used_at + reuse else Verdict.REFUSE


async def grant(server: Server, request: Request, body: RefreshBody) -> Response:
    """A new session object for a refresh token."""
    if not body.refresh_token:
        raise OAuthError("invalid_request", "refresh_token required")
    if not is_refresh_token(body.refresh_token):
        raise invalid("Refresh token is not valid")
    try:
        # A refusal is given after the transaction, so that the revocation is kept.
        async with transaction(server.pool) as conn:
            answer = await _exchange(server, conn, body.refresh_token, origin(request))
    except psycopg.errors.LockNotAvailable as error:
        raise AuthError(409, "conflict", "Too many concurrent token refresh requests") from error
    if answer is None:
        raise AuthError(400, "refresh_token_already_used", "Invalid Refresh Token: Already Used")
    return JSONResponse(answer)


async def _exchange(server: Server, conn: Connection, text: str, source: Origin) -> Json | None:
    """The new session object, or None for a token that was used before."""
    await conn.execute(_SET_LOCK_TIMEOUT, (LOCK_TIMEOUT,))
    presented, session, user = await _load(conn, text)
    now = datetime.now(UTC)
    if user.is_banned(now):
        raise AuthError(400, "user_banned", "Invalid Refresh Token: User Banned")
    state = sessions.validity(session, presented.updated_at, now, server.settings.sessions)
    if state is not Validity.VALID:
        raise AuthError(400, "session_expired", _EXPIRED[state])
    active = await _active(conn, session.id)
    reuse = timedelta(seconds=server.settings.refresh_token_reuse_interval)
    verdict = judge(presented, active, now=now, reuse=reuse)
    if verdict is Verdict.REFUSE:
        if server.settings.enable_refresh_token_rotation:
            await conn.execute(_REVOKE_FAMILY, (now, session.id))
        return None
    if verdict is Verdict.ACTIVE:
        assert active is not None
        refresh_token = active.token
    else:
        await conn.execute(_REVOKE, (now, presented.token))
        refresh_token = await sessions.add_token(
            conn, user, session.id, parent=presented.token, now=now
        )
    await conn.execute(_TOUCH, (now, now, source.user_agent, source.ip, session.id))
    return await sessions.answer(
        server,
        conn,
        user,
        session_id=session.id,
        aal=session.aal,
        refresh_token=refresh_token,
        now=now,
    )


async def continue_session(server: Server, conn: Connection, user: User, session_id: UUID) -> Json:
    """The session object with a new refresh token, for a session that was just changed.

    Raises 403 ``session_not_found`` when it has ended meanwhile.
    """
    session = await sessions.find(conn, session_id, lock=True)
    if session is None:
        message = "Session from session_id claim in JWT does not exist"
        raise AuthError(403, "session_not_found", message)
    now, active = datetime.now(UTC), await _active(conn, session_id)
    if active is not None:
        await conn.execute(_REVOKE, (now, active.token))
    refresh_token = await sessions.add_token(
        conn, user, session_id, parent=active.token if active else None, now=now
    )
    return await sessions.answer(
        server,
        conn,
        user,
        session_id=session_id,
        aal=session.aal,
        refresh_token=refresh_token,
        now=now,
    )


async def _load(conn: Connection, text: str) -> tuple[RefreshToken, Session, User]:
    """The token, its session (locked) and its user. Raises what the client is told."""
    unlocked = await _by_token(conn, text)
    session_id = unlocked.session_id
    session = await sessions.find(conn, session_id, lock=True) if session_id else None
    if session is None:
        raise AuthError(400, "session_not_found", "Invalid Refresh Token: No Valid Session Found")
    # What was read before the lock was had may have changed while waiting for it.
    presented = await _by_token(conn, text)
    user = await users.by_id(conn, session.user_id)
    if user is None:
        raise _not_found()
    return presented, session, user


async def _by_token(conn: Connection, text: str) -> RefreshToken:
    async with conn.cursor(row_factory=class_row(RefreshToken)) as cursor:
        await cursor.execute(_FIND, (text,))
        if (row := await cursor.fetchone()) is None:
            raise _not_found()
        return row


async def _active(conn: Connection, session_id: UUID) -> ActiveToken | None:
    async with conn.cursor(row_factory=class_row(ActiveToken)) as cursor:
        await cursor.execute(_ACTIVE, (session_id,))
        return await cursor.fetchone()


def _not_found() -> AuthError:
    return AuthError(
        400, "refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found"
    )
