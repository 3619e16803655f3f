"""What a signed-in user does with the account: read it, change it, sign out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import identities, mfa, one_time, passwords, sessions, users
from .addresses import normal_email, normal_phone
from .bodies import parse
from .caller import Caller, audience, require_user
from .database import Connection, failing_as, transaction
from .duplicates import email_exists, naming_duplicates, phone_exists
from .errors import AuthError, invalid
from .objects import Json, User, merged
from .one_time import TokenType
from .pkce import ChallengeBody
from .profile import profile
from .redirects import redirect_url
from .sending import send_change
from .server import Server
from .sessions import Scope

RECENT_SIGN_IN = timedelta(hours=24)
"""How old a session may be to change a password under ``secure_password_change``."""

RECOVERY_METHODS = frozenset({"otp", "magiclink", "recovery"})
"""Ways to sign in for those who forgot the password."""


class UserBody(ChallengeBody):
    email: str = ""
    phone: str = ""
    password: str | None = Field(default=None, repr=False)
    current_password: str = Field(default="", repr=False)
    nonce: str = Field(default="", repr=False)
    data: Json | None = None
    app_metadata: Json | None = None


async def get_user(server: Server, request: Request) -> Response:
    """The caller. Raises ``validation_failed`` for a token of another audience."""
    caller = await require_user(server, request)
    if caller.token_audience != audience(request, caller.token_audience):
        raise invalid("Token audience doesn't match request audience")
    async with transaction(server.pool) as conn:
        return JSONResponse(await profile(conn, caller.user))


async def update_user(server: Server, request: Request) -> Response:
    """The caller as changed. A new password ends the user's other sessions."""
    caller = await require_user(server, request)
    body = _checked(server, caller, await parse(request, UserBody))
    if body.email or body.phone or body.password is not None:
        await mfa.require_aal2(server, caller)
    await _require_free(server, caller, body)
    if body.password is not None:
        await _require_new_password(server, caller, body)
    password_hash = await passwords.hash_password(body.password) if body.password else None
    with naming_duplicates(), failing_as("Error updating user"):
        redirect_to = redirect_url(request, server.settings)
        return JSONResponse(await _apply(server, caller, body, password_hash, redirect_to))


def _checked(server: Server, caller: Caller, body: UserBody) -> UserBody:
    """The body with addresses in stored form, '' where nothing changes. Raises what is wrong."""
    user = caller.user
    email = normal_email(body.email) if body.email else ""
    phone = normal_phone(body.phone) if body.phone else ""
    body.require_challenge()
    if body.password is not None:
        passwords.require_strength(body.password, server.settings)
    if body.app_metadata is not None:
        message = "Updating app_metadata requires admin privileges"
        raise AuthError(403, "not_admin", message)
    if user.is_anonymous and body.password and not email and not phone:
        message = "Updating password of an anonymous user without an email or phone is not allowed"
        raise AuthError(422, "validation_failed", message)
    return body.model_copy(
        update={
            "email": "" if email == user.email else email,
            "phone": "" if phone == user.phone else phone,
        }
    )


async def _require_free(server: Server, caller: Caller, body: UserBody) -> None:
    """Raises when a new address is taken, or a number would have to be confirmed."""
    aud = caller.user.aud
    async with transaction(server.pool) as conn:
        if body.email and await users.by_email(conn, body.email, aud):
            raise email_exists()
        if body.phone and await users.by_phone(conn, body.phone, aud):
            raise phone_exists()
    if body.phone and not (server.offers_phone and server.confirms_phone):
        raise AuthError(400, "phone_provider_disabled", "Unsupported phone provider")


async def _require_new_password(server: Server, caller: Caller, body: UserBody) -> None:
    """Raises unless the sign-in is recent enough and the password is another one."""
    if server.settings.email.secure_password_change and _is_old(caller):
        await _require_nonce(server, caller, body.nonce)
    if server.settings.email.require_current_password:
        await _require_current_password(server, caller, body.current_password)
    if await passwords.matches(body.password or "", caller.user.encrypted_password):
        message = "New password should be different from the old password."
        raise AuthError(422, "same_password", message)


async def _require_nonce(server: Server, caller: Caller, nonce: str) -> None:
    """Raises unless ``nonce`` is what ``/reauthenticate`` mailed."""
    if not nonce:
        message = "Password update requires reauthentication"
        raise AuthError(400, "reauthentication_needed", message)
    type_, lifetime = TokenType.REAUTHENTICATION, server.settings.email.otp_expiry
    token_hash = one_time.hash_of(caller.user.email, nonce)
    async with transaction(server.pool) as conn:
        found = await one_time.find(conn, token_hash, (type_,))
    is_own = found is not None and found.user_id == caller.user.id
    if not is_own or not one_time.is_alive(caller.user, type_, lifetime):
        message = "Nonce has expired or is invalid"
        raise AuthError(422, "reauthentication_not_valid", message)


async def _require_current_password(server: Server, caller: Caller, given: str) -> None:
    """Raises unless ``given`` is the password, or there is none, or it was just recovered."""
    if not caller.user.encrypted_password or await _has_recovered(server, caller):
        return
    message = "Current password required when setting new password."
    if not given:
        raise AuthError(400, "current_password_required", message)
    if not await passwords.matches(given, caller.user.encrypted_password):
        raise AuthError(400, "current_password_invalid", message)


async def _has_recovered(server: Server, caller: Caller) -> bool:
    if caller.session is None:
        return False
    async with transaction(server.pool) as conn:
        used = await sessions.methods(conn, caller.session.id)
    return any(method.name in RECOVERY_METHODS for method in used)


def _is_old(caller: Caller) -> bool:
    session = caller.session
    return session is None or datetime.now(UTC) > session.created_at + RECENT_SIGN_IN


async def _apply(
    server: Server, caller: Caller, body: UserBody, password_hash: str | None, redirect_to: str
) -> Json:
    async with transaction(server.pool) as conn:
        user = await users.by_id(conn, caller.user.id, lock=True)
        if user is None:
            message = "User from sub claim in JWT does not exist"
            raise AuthError(403, "user_not_found", message)
        if password_hash is not None:
            user = await users.update(conn, user.id, encrypted_password=password_hash)
            await sessions.end(conn, user.id, caller.session_id, Scope.OTHERS)
            user = await one_time.clear(conn, user)
        if body.data is not None:
            metadata = merged(user.user_metadata, body.data)
            user = await users.update(conn, user.id, raw_user_meta_data=metadata)
        if body.email and user.is_anonymous and server.confirms_email:
            user = await adopt_email(conn, user, body.email)
        elif body.email:
            user = await users.update(
                conn, user.id, email_change=body.email, email_change_confirm_status=0
            )
            user = await send_change(server, conn, user, redirect_to=redirect_to, challenge=body)
        if body.phone:
            user = await adopt_phone(conn, user, body.phone)
        return await profile(conn, user)


async def adopt_email(conn: Connection, user: User, email: str) -> User:
    """Give ``user`` a confirmed address and its identity; an anonymous user becomes permanent."""
    data = identities.email_data(user, email, verified=True)
    await identities.put(conn, user.id, "email", data, {"email": email, "email_verified": True})
    return await users.update(
        conn,
        user.id,
        email=email,
        email_confirmed_at=datetime.now(UTC),
        is_anonymous=False,
        raw_app_meta_data=_with_provider(user.app_metadata, "email"),
    )


async def adopt_phone(conn: Connection, user: User, phone: str) -> User:
    """As adopt_email, for a number."""
    data = identities.phone_data(user, phone, verified=True)
    await identities.put(conn, user.id, "phone", data, {"phone": phone, "phone_verified": True})
    return await users.update(
        conn,
        user.id,
        phone=phone,
        phone_confirmed_at=datetime.now(UTC),
        is_anonymous=False,
        raw_app_meta_data=_with_provider(user.app_metadata, "phone"),
    )


def _with_provider(app_metadata: Json, provider: str) -> Json:
    known = app_metadata.get("providers")
    providers = known if isinstance(known, list) else []
    return {
        **app_metadata,
        "provider": app_metadata.get("provider") or provider,
        "providers": [*providers, *({provider} - set(map(str, providers)))],
    }


async def log_out(server: Server, request: Request) -> Response:
    """204. ``scope``: ``global`` (default), ``local`` or ``others``."""
    caller = await require_user(server, request)
    try:
        scope = Scope(request.query_params.get("scope") or Scope.GLOBAL)
    except ValueError as error:
        raise invalid("Unsupported logout scope") from error
    async with transaction(server.pool) as conn:
        await sessions.end(conn, caller.user.id, caller.session_id, scope)
    return Response(status_code=204)
