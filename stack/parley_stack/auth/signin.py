"""``POST /token``: a session for a password or a refresh token."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import passwords, pkce, refresh, users
from .addresses import bare_phone
from .bodies import Body, check, read_fields
from .caller import audience
from .database import transaction
from .errors import AuthError, invalid
from .objects import User
from .server import Server, origin
from .sessions import open_session

_HOSTED = "the local stack serves none, a hosted project does"


class PasswordBody(Body):
    email: str = ""
    phone: str = ""
    password: str = Field(default="", repr=False)


async def token(server: Server, request: Request) -> Response:
    """The grant that ``grant_type``, in the query or a form, names."""
    fields = await read_fields(request)
    grant_type = request.query_params.get("grant_type") or fields.get("grant_type")
    if grant_type == "password":
        return await _password_grant(server, request, check(PasswordBody, fields))
    if grant_type == "refresh_token":
        return await refresh.grant(server, request, check(refresh.RefreshBody, fields))
    if grant_type == "pkce":
        return await pkce.grant(server, request, check(pkce.ExchangeBody, fields))
    if grant_type == "id_token":
        named = f"Provider {fields.get('provider', '')} is not enabled"
        raise AuthError(400, "provider_disabled", f"{named}; {_HOSTED}")
    if grant_type == "web3":
        raise AuthError(422, "web3_provider_disabled", f"Web3 provider is disabled; {_HOSTED}")
    raise AuthError(400, "invalid_credentials", "unsupported_grant_type")


async def _password_grant(server: Server, request: Request, body: PasswordBody) -> Response:
    """A session for an address and its password.

    A password that today's rules would refuse still signs in; the answer then says so in
    ``weak_password``.
    """
    _require_provider(server, body)
    user = await _find(server, body, audience(request))
    if user is None or not user.encrypted_password:
        raise _invalid_credentials()
    if user.is_banned(datetime.now(UTC)):
        raise AuthError(400, "user_banned", "User is banned")
    if not await passwords.matches(body.password, user.encrypted_password):
        raise _invalid_credentials()
    if body.email and user.email_confirmed_at is None:
        raise AuthError(400, "email_not_confirmed", "Email not confirmed")
    if body.phone and user.phone_confirmed_at is None:
        raise AuthError(400, "phone_not_confirmed", "Phone not confirmed")
    async with transaction(server.pool) as conn:
        # The password may have been changed while it was being checked without a lock.
        current = await users.by_id(conn, user.id, lock=True)
        if current is None or current.encrypted_password != user.encrypted_password:
            raise _invalid_credentials()
        source = origin(request)
        answer = await open_session(server, conn, current, method="password", origin=source)
    if weak := passwords.weakness(body.password, server.settings):
        answer["weak_password"] = {"message": weak.message, "reasons": list(weak.reasons)}
    return JSONResponse(answer)


def _require_provider(server: Server, body: PasswordBody) -> None:
    if body.email and body.phone:
        raise invalid("Only an email address or phone number should be provided on login.")
    if body.email and not server.offers_email:
        raise AuthError(422, "email_provider_disabled", "Email logins are disabled")
    if body.phone and not server.offers_phone:
        raise AuthError(422, "phone_provider_disabled", "Phone logins are disabled")
    if not body.email and not body.phone:
        raise invalid("missing email or phone")


async def _find(server: Server, body: PasswordBody, aud: str) -> User | None:
    async with transaction(server.pool) as conn:
        if body.email:
            return await users.by_email(conn, body.email, aud)
        return await users.by_phone(conn, bare_phone(body.phone), aud)


def _invalid_credentials() -> AuthError:
    return AuthError(400, "invalid_credentials", "Invalid login credentials")
