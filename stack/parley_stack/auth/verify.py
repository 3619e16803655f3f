"""``/verify``: what a mailed link or code proves.

GET is for links in mails: it always leads on to the application, with a session or an error in
the address. POST is for codes typed into the application, and answers with the session.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from . import account, identities, one_time, passwords, pkce, redirects, users
from .addresses import normal_email, normal_phone
from .bodies import Body, parse
from .database import Connection, failing_as, transaction
from .duplicates import naming_duplicates
from .errors import AuthError, invalid
from .mail import Kind
from .objects import Json, User
from .one_time import Found, TokenType
from .sending import FLOWS
from .server import Server, origin
from .sessions import open_session

_EMAIL_CHANGE = (TokenType.EMAIL_CHANGE_NEW, TokenType.EMAIL_CHANGE_CURRENT)
TYPES: dict[str, tuple[TokenType, ...]] = {
    "signup": (TokenType.CONFIRMATION,),
    "invite": (TokenType.CONFIRMATION,),
    "magiclink": (TokenType.RECOVERY,),
    "recovery": (TokenType.RECOVERY,),
    "email": (TokenType.CONFIRMATION, TokenType.RECOVERY),
    "email_change": _EMAIL_CHANGE,
    "sms": (TokenType.CONFIRMATION,),
    "phone_change": (),
}
"""The tokens that a ``type`` may name; there is none for a change of number, which is refused."""

HALF_DONE = "Confirmation link accepted. Please proceed to confirm link sent to the other email"
_WRONG_LINK = "Email link is invalid or has expired"
_WRONG_CODE = "Token has expired or is invalid"
_ERRORS = {
    400: "invalid_request",
    401: "unauthorized_client",
    403: "access_denied",
    422: "access_denied",
}


class VerifyBody(Body):
    type: str = ""
    token: str = Field(default="", repr=False)
    token_hash: str = Field(default="", repr=False)
    email: str = ""
    phone: str = ""
    redirect_to: str = ""


async def follow(server: Server, request: Request) -> Response:
    """303 to the application: with a session, a code to exchange, or an error."""
    query = request.query_params
    token, kind = query.get("token", ""), query.get("type", "")
    if not token or not kind:
        raise invalid("Verify requires a token and a type")
    target = redirects.redirect_url(request, server.settings)
    try:
        with naming_duplicates(), failing_as("Error confirming user"):
            async with transaction(server.pool) as conn:
                found, user = await _take(server, conn, kind, token, _WRONG_LINK)
                kind = _named(kind, found)
                confirmed = await _apply(server, conn, user, found)
                if confirmed is None:
                    answer = urlencode({"message": HALF_DONE, "sb": ""})
                    return _redirect(redirects.with_fragment(target, answer))
                if found.hash.startswith(one_time.PKCE_PREFIX):
                    method = FLOWS.get(Kind(kind), kind)
                    code = await pkce.issue_code(conn, confirmed.id, method)
                    return _redirect(redirects.with_query(target, urlencode({"code": code})))
                session = await open_session(
                    server, conn, confirmed, method="otp", origin=origin(request)
                )
    except AuthError as error:
        return _redirect(_with_error(target, error, is_pkce=token.startswith("pkce_")))
    parts = {
        name: session[name]
        for name in ("access_token", "expires_at", "expires_in", "refresh_token")
    }
    answer = urlencode({**parts, "sb": "", "token_type": "bearer", "type": kind})
    return _redirect(redirects.with_fragment(target, answer))


async def verify(server: Server, request: Request) -> Response:
    """A session for a code with its address, or for the hash of a link."""
    body = _checked(await parse(request, VerifyBody))
    token_hash, wrong = body.token_hash, _WRONG_LINK
    if body.token:
        address = normal_phone(body.phone) if body.phone else _email(body.email)
        token_hash, wrong = one_time.hash_of(address, body.token), _WRONG_CODE
    with naming_duplicates(), failing_as("Error confirming user"):
        async with transaction(server.pool) as conn:
            found, user = await _take(server, conn, body.type, token_hash, wrong)
            confirmed = await _apply(server, conn, user, found)
            if confirmed is None:
                return JSONResponse({"code": "200", "msg": HALF_DONE})
            session = await open_session(
                server, conn, confirmed, method="otp", origin=origin(request)
            )
    return JSONResponse(session)


def _checked(body: VerifyBody) -> VerifyBody:
    """Raises ``validation_failed`` for what does not go together."""
    if not body.type:
        raise invalid("Verify requires a verification type")
    if bool(body.token) == bool(body.token_hash):
        raise invalid("Verify requires either a token or a token hash")
    if body.token_hash and (body.email or body.phone or body.redirect_to):
        raise invalid("Only the token_hash and type should be provided")
    if body.token and not (body.email or body.phone):
        raise invalid("Only an email address or phone number should be provided on verify")
    if body.type not in TYPES:
        raise invalid("Unsupported verification type")
    return body


def _email(text: str) -> str:
    try:
        return normal_email(text)
    except AuthError as error:
        raise AuthError(422, "validation_failed", "Invalid email format") from error


async def _take(
    server: Server, conn: Connection, kind: str, token_hash: str, wrong: str
) -> tuple[Found, User]:
    """The token and its user, who is locked. Raises 403 ``otp_expired`` or ``user_banned``."""
    types = TYPES.get(kind, ())
    found = await one_time.find(conn, token_hash, types)
    user = await users.by_id(conn, found.user_id, lock=True) if found else None
    # It may have been used while the lock was waited for.
    found = await one_time.find(conn, token_hash, types)
    settings = server.settings
    lifetime = settings.sms.otp_expiry if kind == "sms" else settings.email.otp_expiry
    if found is None or user is None or not one_time.is_alive(user, found.type, lifetime):
        raise AuthError(403, "otp_expired", wrong)
    if user.is_banned(datetime.now(UTC)):
        raise AuthError(403, "user_banned", "User is banned")
    return found, user


def _named(kind: str, found: Found) -> str:
    """What ``type=email`` turned out to be."""
    if kind != "email":
        return kind
    return "signup" if found.type is TokenType.CONFIRMATION else "magiclink"


async def _apply(server: Server, conn: Connection, user: User, found: Found) -> User | None:
    """Confirm what the token proves; None when the other half of a change is missing."""
    now = datetime.now(UTC)
    if found.type in _EMAIL_CHANGE:
        return await _change_email(server, conn, user, found)
    if user.phone and not user.email:
        if user.phone_confirmed_at is None:
            user = await users.confirm_phone(conn, user, now)
    elif user.email_confirmed_at is None:
        user = await _confirm_email(conn, user, now)
    if user.invited_at is not None and not user.encrypted_password:
        password_hash = await passwords.hash_password(passwords.random_password())
        user = await users.update(conn, user.id, encrypted_password=password_hash)
    return await one_time.clear(conn, user)


async def _confirm_email(conn: Connection, user: User, now: datetime) -> User:
    data = identities.email_data(user, user.email, verified=True)
    await identities.put(conn, user.id, "email", data, {"email_verified": True})
    return await users.confirm_email(conn, user, now)


async def _change_email(server: Server, conn: Connection, user: User, found: Found) -> User | None:
    needs_both = (
        server.settings.email.double_confirm_changes
        and not server.confirms_email
        and bool(user.email)
    )
    if needs_both and user.email_change_confirm_status == 0:
        await one_time.clear(conn, user, found.type)
        await users.update(conn, user.id, email_change_confirm_status=1)
        return None
    user = await account.adopt_email(conn, user, user.email_change)
    user = await users.update(
        conn, user.id, email_change="", email_change_sent_at=None, email_change_confirm_status=0
    )
    return await one_time.clear(conn, user)


def _with_error(target: str, error: AuthError, *, is_pkce: bool) -> str:
    parts: Json = {
        "error": _ERRORS.get(error.status, "server_error"),
        "error_code": error.code,
        "error_description": error.message,
    }
    if is_pkce:
        target = redirects.with_query(target, urlencode(parts))
    return redirects.with_fragment(target, urlencode({**parts, "sb": ""}))


def _redirect(url: str) -> Response:
    return RedirectResponse(url, status_code=303)
