"""``/factors``: time-based one-time passwords (RFC 6238) as a second factor."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pyotp
import segno
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import factors, refresh, sessions, users
from .bodies import Body, parse
from .caller import Caller, require_admin, require_user
from .database import Connection, transaction, violates
from .errors import AuthError, invalid
from .factors import Factor
from .server import Server, origin

_NO_ADDRESS = "127.0.0.1"
_STEPS_OF_DRIFT = 1


class EnrollBody(Body):
    friendly_name: str = ""
    factor_type: str = ""
    issuer: str = ""


class VerifyBody(Body):
    challenge_id: str = ""
    code: str = ""


async def enroll(server: Server, request: Request) -> Response:
    """A new factor with its secret: as text, as an ``otpauth:`` address, as a picture."""
    caller = await _require_permanent(server, request)
    body = await parse(request, EnrollBody)
    if body.factor_type != "totp":
        raise invalid("factor_type needs to be totp")
    if not server.settings.mfa.totp.enroll_enabled:
        raise AuthError(422, "mfa_totp_enroll_not_enabled", "MFA enroll is disabled for TOTP")
    secret = pyotp.random_base32()
    issuer = body.issuer or urlsplit(server.settings.site_url).netloc
    uri = pyotp.TOTP(secret).provisioning_uri(
        name=caller.user.email or caller.user.phone, issuer_name=issuer
    )
    async with transaction(server.pool) as conn:
        await _require_room(server, conn, caller)
        try:
            factor_id = await factors.insert(conn, caller.user.id, body.friendly_name, secret)
        except psycopg.errors.UniqueViolation as error:
            if not violates(error, factors.NAME_KEY):
                raise
            message = (
                f"A factor with the friendly name {body.friendly_name!r} for this user "
                "already exists"
            )
            raise AuthError(422, "mfa_factor_name_conflict", message) from error
    return JSONResponse(
        {
            "id": str(factor_id),
            "type": "totp",
            "friendly_name": body.friendly_name,
            "totp": {"qr_code": _picture(uri), "secret": secret, "uri": uri},
        }
    )


async def challenge(server: Server, request: Request) -> Response:
    """A challenge to answer with a code. ``expires_at`` in Unix seconds."""
    caller = await _require_permanent(server, request)
    now = datetime.now(UTC)
    async with transaction(server.pool) as conn:
        factor = await _find(conn, request, caller.user.id)
        _require_verifiable(server)
        ip = origin(request).ip or _NO_ADDRESS
        challenge_id = await factors.challenge(conn, factor.id, now, ip)
    expires_at = int((now + factors.CHALLENGE_LIFETIME).timestamp())
    return JSONResponse({"id": str(challenge_id), "type": "totp", "expires_at": expires_at})


async def verify(server: Server, request: Request) -> Response:
    """The session raised to ``aal2``; the user's sessions that are not end."""
    caller = await _require_permanent(server, request)
    body = await parse(request, VerifyBody)
    session = caller.session
    if session is None:
        raise AuthError(403, "session_not_found", "A session is needed to verify a factor")
    async with transaction(server.pool) as conn:
        await users.by_id(conn, caller.user.id, lock=True)
        factor = await _find(conn, request, caller.user.id)
        _require_verifiable(server)
        challenge_id = _uuid(body.challenge_id)
        made_at = await factors.challenged_at(conn, challenge_id, factor.id)
        if challenge_id is None or made_at is None:
            message = "MFA factor with the provided challenge ID not found"
            raise AuthError(422, "mfa_challenge_not_found", message)
        if datetime.now(UTC) > made_at + factors.CHALLENGE_LIFETIME:
            message = (
                f"MFA challenge {challenge_id} has expired, verify against another challenge "
                "or create a new challenge."
            )
            raise AuthError(422, "mfa_challenge_expired", message)
        if not pyotp.TOTP(factor.secret).verify(body.code, valid_window=_STEPS_OF_DRIFT):
            raise AuthError(422, "mfa_verification_failed", "Invalid TOTP code entered")
        await factors.answered(conn, challenge_id)
        await factors.verify(conn, factor)
        await sessions.raise_to_aal2(conn, session, factor.id)
        answer = await refresh.continue_session(server, conn, caller.user, session.id)
    return JSONResponse(answer)


async def unenroll(server: Server, request: Request) -> Response:
    """``{"id"}``. A verified factor goes only at ``aal2``; with it the raised level."""
    caller = await _require_permanent(server, request)
    async with transaction(server.pool) as conn:
        factor = await _find(conn, request, caller.user.id)
        if factor.is_verified and not _is_raised(caller):
            message = "AAL2 required to unenroll verified factor"
            raise AuthError(422, "insufficient_aal", message)
        await _remove(conn, factor)
    return JSONResponse({"id": str(factor.id)})


async def list_of_user(server: Server, request: Request) -> Response:
    """All factors of a user, for administrators."""
    require_admin(server, request)
    async with transaction(server.pool) as conn:
        user_id = _required_uuid(request, "user_id")
        if await users.by_id(conn, user_id) is None:
            raise AuthError(404, "user_not_found", "User not found")
        found = await factors.of_user(conn, user_id)
    return JSONResponse([factors.factor_json(factor) for factor in found])


async def delete_of_user(server: Server, request: Request) -> Response:
    """Remove a user's factor, for administrators."""
    require_admin(server, request)
    async with transaction(server.pool) as conn:
        factor = await _find(conn, request, _required_uuid(request, "user_id"))
        await _remove(conn, factor)
    return JSONResponse(factors.factor_json(factor))


async def require_aal2(server: Server, caller: Caller) -> None:
    """Raises 401 ``insufficient_aal`` for a user with a second factor who has not shown it."""
    if _is_raised(caller):
        return
    async with transaction(server.pool) as conn:
        found = await factors.of_user(conn, caller.user.id)
    if any(factor.is_verified for factor in found):
        message = "AAL2 session is required to update email or password when MFA is enabled."
        raise AuthError(401, "insufficient_aal", message)


async def _remove(conn: Connection, factor: Factor) -> None:
    await sessions.lower_to_aal1(conn, factor.id)
    await factors.delete(conn, factor.id)


def _is_raised(caller: Caller) -> bool:
    return caller.session is not None and caller.session.aal == "aal2"


async def _require_permanent(server: Server, request: Request) -> Caller:
    caller = await require_user(server, request)
    if caller.user.is_anonymous:
        message = "Anonymous users have no second factors"
        raise AuthError(403, "no_authorization", message)
    return caller


async def _require_room(server: Server, conn: Connection, caller: Caller) -> None:
    found = await factors.of_user(conn, caller.user.id)
    if len(found) >= server.settings.mfa.max_enrolled_factors:
        message = "Maximum number of verified factors reached, unenroll to continue"
        raise AuthError(422, "too_many_enrolled_mfa_factors", message)
    if any(factor.is_verified for factor in found) and not _is_raised(caller):
        raise AuthError(403, "insufficient_aal", "AAL2 required to enroll a new factor")


def _require_verifiable(server: Server) -> None:
    if not server.settings.mfa.totp.verify_enabled:
        message = "MFA verification is disabled for TOTP"
        raise AuthError(422, "mfa_totp_verify_not_enabled", message)


async def _find(conn: Connection, request: Request, user_id: UUID) -> Factor:
    factor = await factors.find(conn, user_id, _required_uuid(request, "factor_id"))
    if factor is None:
        raise AuthError(404, "mfa_factor_not_found", "Factor not found")
    return factor


def _required_uuid(request: Request, name: str) -> UUID:
    found = _uuid(request.path_params[name])
    if found is None:
        raise AuthError(404, "validation_failed", f"{name} must be an UUID")
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _picture(uri: str) -> str:
    """A QR code as SVG."""
    out = io.BytesIO()
    segno.make(uri, error="m").save(out, kind="svg", xmldecl=False, scale=4)
    return out.getvalue().decode()
