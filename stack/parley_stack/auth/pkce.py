"""Proof keys (RFC 7636): a link gives a code, and only who asked for the link can redeem it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import users
from .bodies import Body
from .database import Connection, transaction
from .errors import AuthError, invalid
from .objects import User
from .server import Server, origin
from .sessions import open_session

CODE_LIFETIME = timedelta(seconds=300)
_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_METHODS = frozenset({"s256", "plain"})

_INSERT = """insert into auth.flow_state (
    id, user_id, auth_code, code_challenge_method, code_challenge, provider_type,
    authentication_method, created_at, updated_at
)
values (%s, %s, %s, %s, %s, 'email', %s, now(), now())"""
_ISSUE = """update auth.flow_state
set auth_code_issued_at = now(), updated_at = now()
where id = (
    select f.id
    from auth.flow_state as f
    where f.user_id = %s and f.authentication_method = %s
    order by f.created_at desc
    limit 1
)
returning auth_code"""
_TAKE = """select id, user_id, code_challenge_method::text, code_challenge, authentication_method,
    coalesce(auth_code_issued_at, created_at)
from auth.flow_state
where auth_code = %s
for update"""
_DELETE = "delete from auth.flow_state where id = %s"


class ChallengeBody(Body):
    """Fields of every request that may begin a proof-key flow."""

    code_challenge: str = ""
    code_challenge_method: str = ""

    def require_challenge(self) -> None:
        """Raises ``validation_failed`` unless both or neither are given, and well-formed."""
        challenge, method = self.code_challenge, self.code_challenge_method
        if bool(challenge) != bool(method):
            raise invalid("PKCE flow requires code_challenge_method and code_challenge")
        if challenge and not _CHALLENGE.fullmatch(challenge):
            raise invalid("code challenge must be 43 to 128 unreserved characters")
        if method and method.lower() not in _METHODS:
            raise invalid("code challenge method must be s256 or plain")


class ExchangeBody(Body):
    auth_code: str = Field(default="", repr=False)
    code_verifier: str = Field(default="", repr=False)


async def begin(conn: Connection, user: User, body: ChallengeBody, method: str) -> None:
    """Remember the challenge until the link that is being mailed is opened."""
    values = (
        *(uuid.uuid4(), user.id, secrets.token_urlsafe(24)),
        *(body.code_challenge_method.lower(), body.code_challenge, method),
    )
    await conn.execute(_INSERT, values)


async def issue_code(conn: Connection, user_id: UUID, method: str) -> str:
    """The code of the user's newest flow of this kind, alive from now on.

    Raises 404 when there is none.
    """
    cursor = await conn.execute(_ISSUE, (user_id, method))
    row = await cursor.fetchone()
    if row is None:
        raise _not_found()
    return str(row[0])


async def grant(server: Server, request: Request, body: ExchangeBody) -> Response:
    """A session for a code and the verifier of its challenge; the code is used up."""
    if not body.auth_code or not body.code_verifier:
        raise invalid("invalid request: both auth code and code verifier should be non-empty")
    async with transaction(server.pool) as conn:
        cursor = await conn.execute(_TAKE, (body.auth_code,))
        row = await cursor.fetchone()
        if row is None or row[1] is None:
            raise _not_found()
        flow_id, user_id, challenge_method, challenge, method, began_at = row
        if datetime.now(UTC) > began_at + CODE_LIFETIME:
            message = "invalid flow state, flow state has expired"
            raise AuthError(422, "flow_state_expired", message)
        if not _proves(body.code_verifier, challenge, challenge_method):
            message = "code challenge does not match previously saved code verifier"
            raise AuthError(400, "bad_code_verifier", message)
        user = await users.by_id(conn, user_id, lock=True)
        if user is None or user.is_banned(datetime.now(UTC)):
            raise _not_found()
        await conn.execute(_DELETE, (flow_id,))
        answer = await open_session(server, conn, user, method=method, origin=origin(request))
    return JSONResponse(answer)


def _proves(verifier: str, challenge: str, method: str) -> bool:
    if method == "s256":
        digest = hashlib.sha256(verifier.encode()).digest()
        verifier = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(verifier.encode(), challenge.encode())


def _not_found() -> AuthError:
    message = "invalid flow state, no valid flow state found"
    return AuthError(404, "flow_state_not_found", message)
