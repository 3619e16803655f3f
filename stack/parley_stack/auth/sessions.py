"""Sessions: opening one at sign-in, answering with it, ending it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from enum import Enum
from uuid import UUID

from psycopg.rows import class_row

from . import hooks, users
from .database import Connection
from .objects import Json, Session, User
from .profile import profile
from .server import Origin, Server
from .settings import Sessions
from .tokens import Method, access_claims, new_refresh_token
from .users import INSTANCE_ID

_FIND = """select id, user_id, coalesce(created_at, 'epoch'::timestamptz) as created_at,
    refreshed_at at time zone 'utc' as refreshed_at, not_after,
    coalesce(aal, 'aal1')::text as aal
from auth.sessions
where id = %s"""
_LOCK = f"{_FIND} for update"
_INSERT = """insert into auth.sessions (
    id, user_id, created_at, updated_at, aal, user_agent, ip
)
values (%s, %s, %s, %s, 'aal1', %s, %s)"""
_CONTINUE = """insert into auth.refresh_tokens (
    instance_id, token, user_id, session_id, parent, revoked, created_at, updated_at
)
values (%s, %s, %s, %s, %s, false, %s, %s)"""
_ADD_METHOD = """insert into auth.mfa_amr_claims (
    id, session_id, authentication_method, created_at, updated_at
)
values (%s, %s, %s, %s, %s)
on conflict (session_id, authentication_method) do update
set updated_at = excluded.updated_at"""
_RAISE = "update auth.sessions set aal = 'aal2', factor_id = %s, updated_at = %s where id = %s"
_LOWER = """update auth.sessions
set aal = 'aal1', factor_id = null, updated_at = now()
where factor_id = %s"""
_END_LOWER = """delete from auth.sessions
where user_id = %s and id <> %s and coalesce(aal, 'aal1') = 'aal1'"""
_METHODS = """select authentication_method, updated_at
from auth.mfa_amr_claims
where session_id = %s"""
_END_ONE = "delete from auth.sessions where user_id = %s and id = %s"
_END_OTHERS = "delete from auth.sessions where user_id = %s and id is distinct from %s"
_END_ALL = "delete from auth.sessions where user_id = %s"


class Scope(Enum):
    """Which of a user's sessions a sign-out ends."""

    GLOBAL = "global"
    LOCAL = "local"
    OTHERS = "others"


class Validity(Enum):
    """Whether a session may be refreshed."""

    VALID = "valid"
    EXPIRED = "expired"
    INACTIVE = "inactive"


def validity(
    session: Session, token_updated_at: datetime | None, now: datetime, limits: Sessions
) -> Validity:
    """The state of ``session`` under the project's limits; zero means no limit.

    A session that was never refreshed was last active when its token was made.
    """
    if session.not_after is not None and now > session.not_after:
        return Validity.EXPIRED
    if limits.timebox and now > session.created_at + limits.timebox:
        return Validity.EXPIRED
    active = session.refreshed_at or max(session.created_at, token_updated_at or session.created_at)
    if limits.inactivity_timeout and now > active + limits.inactivity_timeout:
        return Validity.INACTIVE
    return Validity.VALID


async def find(conn: Connection, session_id: UUID, *, lock: bool = False) -> Session | None:
    """The session; ``lock`` makes others that would refresh or end it wait."""
    async with conn.cursor(row_factory=class_row(Session)) as cursor:
        await cursor.execute(_LOCK if lock else _FIND, (session_id,))
        return await cursor.fetchone()


async def add_token(
    conn: Connection, user: User, session_id: UUID, *, parent: str | None, now: datetime
) -> str:
    """A new live refresh token of the session."""
    token = new_refresh_token()
    await conn.execute(_CONTINUE, (INSTANCE_ID, token, str(user.id), session_id, parent, now, now))
    return token


async def methods(conn: Connection, session_id: UUID) -> list[Method]:
    """How the session was authenticated."""
    cursor = await conn.execute(_METHODS, (session_id,))
    return [Method(name, at) for name, at in await cursor.fetchall()]


async def open_session(
    server: Server, conn: Connection, user: User, *, method: str, origin: Origin
) -> Json:
    """Sign ``user`` in: the session object of the response. ``method`` goes into ``amr``."""
    now, session_id = datetime.now(UTC), uuid.uuid4()
    await conn.execute(_INSERT, (session_id, user.id, now, now, origin.user_agent, origin.ip))
    refresh_token = await add_token(conn, user, session_id, parent=None, now=now)
    await conn.execute(_ADD_METHOD, (uuid.uuid4(), session_id, method, now, now))
    user = await users.update(conn, user.id, last_sign_in_at=now)
    return await answer(
        server, conn, user, session_id=session_id, aal="aal1", refresh_token=refresh_token, now=now
    )


async def answer(
    server: Server,
    conn: Connection,
    user: User,
    *,
    session_id: UUID,
    aal: str,
    refresh_token: str,
    now: datetime,
) -> Json:
    """The session object: a fresh access token, the refresh token, the user.

    ``expires_in`` is in seconds, ``expires_at`` in Unix seconds.
    """
    own_claims = access_claims(
        user,
        session_id=session_id,
        aal=aal,
        methods=await methods(conn, session_id),
        issuer=server.issuer,
        now=now,
        lifetime_seconds=server.settings.jwt_expiry,
    )
    claims = await hooks.custom_access_token(server, conn, user, own_claims)
    return {
        "access_token": server.keys.sign(claims),
        "token_type": "bearer",
        "expires_in": server.settings.jwt_expiry,
        "expires_at": claims["exp"],
        "refresh_token": refresh_token,
        "user": await profile(conn, user),
    }


async def raise_to_aal2(conn: Connection, session: Session, factor_id: UUID) -> None:
    """A second factor was shown; the user's sessions that have shown none end."""
    now = datetime.now(UTC)
    await conn.execute(_RAISE, (factor_id, now, session.id))
    await conn.execute(_ADD_METHOD, (uuid.uuid4(), session.id, "totp", now, now))
    await conn.execute(_END_LOWER, (session.user_id, session.id))


async def lower_to_aal1(conn: Connection, factor_id: UUID) -> None:
    """The factor goes: sessions that showed it have shown one factor again."""
    await conn.execute(_LOWER, (factor_id,))


async def end(conn: Connection, user_id: UUID, session_id: UUID | None, scope: Scope) -> None:
    """End sessions of the user; their refresh tokens go with them.

    Access tokens already out still open the database until they expire.
    """
    if scope is Scope.GLOBAL:
        await conn.execute(_END_ALL, (user_id,))
    elif scope is Scope.LOCAL:
        await conn.execute(_END_ONE, (user_id, session_id))
    else:
        await conn.execute(_END_OTHERS, (user_id, session_id))
