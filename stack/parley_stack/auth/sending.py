"""Requests that end in a mail: sign-in links, recovery, another confirmation, a nonce."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import mail, passwords, pkce, registration, telephone, users
from .addresses import normal_email, normal_phone
from .bodies import parse
from .caller import audience, require_user
from .database import Connection, failing_as, transaction
from .errors import AuthError, invalid
from .mail import Kind, Mail
from .objects import Json, User
from .one_time import TokenType, clear, new_code, require_interval, store
from .pkce import ChallengeBody
from .redirects import redirect_url
from .server import Server

TYPES = {
    Kind.SIGNUP: TokenType.CONFIRMATION,
    Kind.INVITE: TokenType.CONFIRMATION,
    Kind.MAGICLINK: TokenType.RECOVERY,
    Kind.RECOVERY: TokenType.RECOVERY,
}
"""The token a mail of each kind carries."""

FLOWS = {Kind.SIGNUP: "email/signup", Kind.INVITE: "invite"}
"""What ``amr`` calls a proof-key flow where it is not the kind's own name."""


class OtpBody(ChallengeBody):
    email: str = ""
    phone: str = ""
    create_user: bool = True
    data: Json = Field(default_factory=dict)
    channel: str = ""


class RecoverBody(ChallengeBody):
    email: str = ""


class ResendBody(ChallengeBody):
    type: str = ""
    email: str = ""
    phone: str = ""


async def send_link(
    server: Server,
    conn: Connection,
    user: User,
    kind: Kind,
    *,
    redirect_to: str,
    challenge: ChallengeBody | None = None,
) -> User:
    """Mail the user a new link of this kind; links of this kind mailed before are void.

    Raises 429 when the last one was sent less than ``max_frequency`` ago.
    """
    type_ = TYPES[kind]
    require_interval(user, type_, server.settings.email.max_frequency)
    is_pkce = challenge is not None and bool(challenge.code_challenge)
    code = new_code(user.email, length=server.settings.email.otp_length, is_pkce=is_pkce)
    if challenge is not None and is_pkce:
        await pkce.begin(conn, user, challenge, FLOWS.get(kind, kind.value))
    user = await store(conn, user, type_, code.hash, relates_to=user.email)
    await mail.send(server, conn, user, Mail(kind, user.email, code, redirect_to))
    return user


async def one_time_password(server: Server, request: Request) -> Response:
    """``POST /otp`` and ``/magiclink``: a link and a code to sign in with; ``{}``."""
    body = await parse(request, OtpBody)
    if bool(body.email) == bool(body.phone):
        raise invalid("One of email or phone must be set")
    body.require_challenge()
    if body.phone:
        phone = normal_phone(body.phone)
        return await telephone.send_code(
            server, request, phone, create_user=body.create_user, data=body.data
        )
    if body.channel:
        raise invalid("Channel should only be specified with Phone OTP")
    if not server.offers_email:
        raise AuthError(422, "email_provider_disabled", "Email logins are disabled")
    email = normal_email(body.email)
    redirect_to = redirect_url(request, server.settings)
    with failing_as("Database error saving new user"):
        async with transaction(server.pool) as conn:
            user = await users.by_email(conn, email, audience(request), lock=True)
            if user is None:
                user = await _new_user(server, request, conn, email, body)
            kind = Kind.MAGICLINK if user.email_confirmed_at else Kind.SIGNUP
            await send_link(server, conn, user, kind, redirect_to=redirect_to, challenge=body)
    return JSONResponse({})


async def _new_user(
    server: Server, request: Request, conn: Connection, email: str, body: OtpBody
) -> User:
    """Somebody who has no password, confirmed where addresses are taken at their word."""
    if not body.create_user:
        raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
    registration.require_open(server)
    user = await registration.register(
        server,
        request,
        conn,
        email=email,
        password_hash=await passwords.hash_password(passwords.random_password()),
        data=body.data,
    )
    if server.confirms_email:
        user = await users.confirm_email(conn, user, datetime.now(UTC))
    return user


async def recover(server: Server, request: Request) -> Response:
    """``{}``, whether or not the address is known; if it is, a link to choose a password."""
    body = await parse(request, RecoverBody)
    if not body.email:
        raise invalid("Password recovery requires an email")
    body.require_challenge()
    redirect_to = redirect_url(request, server.settings)
    async with transaction(server.pool) as conn:
        user = await users.by_email(conn, normal_email(body.email), audience(request), lock=True)
        if user is not None:
            await send_link(
                server, conn, user, Kind.RECOVERY, redirect_to=redirect_to, challenge=body
            )
    return JSONResponse({})


async def resend(server: Server, request: Request) -> Response:
    """``{}``, whether or not something was waiting to be confirmed."""
    body = await parse(request, ResendBody)
    if body.type not in ("signup", "email_change", "sms", "phone_change"):
        raise invalid("Missing one of these types: signup, email_change, sms, phone_change")
    if bool(body.email) == bool(body.phone):
        if body.email:
            raise invalid("Only an email address or phone number should be provided.")
        raise invalid("Missing email address or phone number")
    if body.type in ("sms", "phone_change"):
        return JSONResponse({})
    redirect_to = redirect_url(request, server.settings)
    async with transaction(server.pool) as conn:
        user = await users.by_email(conn, normal_email(body.email), audience(request), lock=True)
        if user is not None and body.type == "signup" and user.email_confirmed_at is None:
            await send_link(server, conn, user, Kind.SIGNUP, redirect_to=redirect_to)
        if user is not None and body.type == "email_change" and user.email_change:
            await send_change(server, conn, user, redirect_to=redirect_to)
    return JSONResponse({})


async def send_change(
    server: Server,
    conn: Connection,
    user: User,
    *,
    redirect_to: str,
    challenge: ChallengeBody | None = None,
) -> User:
    """Mail the new address a link, and the old one too under ``double_confirm_changes``."""
    require_interval(user, TokenType.EMAIL_CHANGE_NEW, server.settings.email.max_frequency)
    is_pkce = challenge is not None and bool(challenge.code_challenge)
    if challenge is not None and is_pkce:
        await pkce.begin(conn, user, challenge, "email_change")
    user = await clear(conn, user, TokenType.EMAIL_CHANGE_NEW, TokenType.EMAIL_CHANGE_CURRENT)
    addresses = {TokenType.EMAIL_CHANGE_NEW: user.email_change}
    if server.settings.email.double_confirm_changes and user.email:
        addresses[TokenType.EMAIL_CHANGE_CURRENT] = user.email
    for type_, address in addresses.items():
        code = new_code(address, length=server.settings.email.otp_length, is_pkce=is_pkce)
        user = await store(conn, user, type_, code.hash, relates_to=address)
        await mail.send(server, conn, user, Mail(Kind.EMAIL_CHANGE, address, code, redirect_to))
    return user


async def reauthenticate(server: Server, request: Request) -> Response:
    """``{}``; mails a nonce with which ``PUT /user`` takes a new password."""
    caller = await require_user(server, request)
    user = caller.user
    if not user.email:
        raise invalid("Reauthentication requires the user to have an email or a phone number")
    if user.email_confirmed_at is None:
        raise AuthError(422, "email_not_confirmed", "Please verify your email first.")
    type_ = TokenType.REAUTHENTICATION
    require_interval(user, type_, server.settings.email.max_frequency)
    code = new_code(user.email, length=server.settings.email.otp_length)
    async with transaction(server.pool) as conn:
        await users.by_id(conn, user.id, lock=True)
        user = await store(conn, user, type_, code.hash, relates_to=user.email)
        await mail.send(server, conn, user, Mail(Kind.REAUTHENTICATION, user.email, code, ""))
    return JSONResponse({})
