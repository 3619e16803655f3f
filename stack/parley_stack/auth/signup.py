"""``POST /signup``: a new user with a password, or an anonymous one."""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import identities, passwords, users
from .addresses import normal_email, normal_phone
from .bodies import Body, parse
from .caller import audience
from .database import Connection, failing_as, transaction, violates
from .errors import AuthError, invalid
from .objects import Json, User, merged, user_json
from .server import Server, origin
from .sessions import open_session

_CHALLENGE = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE_METHODS = frozenset({"s256", "plain"})
_KEYS = (users.EMAIL_KEY, users.PHONE_KEY)


class SignupBody(Body):
    email: str = ""
    phone: str = ""
    password: str = Field(default="", repr=False)
    data: Json = Field(default_factory=dict)
    code_challenge: str = ""
    code_challenge_method: str = ""


class _AlreadyRegisteredError(Exception):
    """The address belongs to a user who confirmed it."""


async def sign_up(server: Server, request: Request) -> Response:
    """A session; or, while the address is to be confirmed, the bare user."""
    body = await parse(request, SignupBody)
    if not body.email and not body.phone:
        return await _sign_up_anonymously(server, request, body)
    _require_open(server)
    body = _checked(server, body)
    password_hash = await passwords.hash_password(body.password)
    try:
        with failing_as("Database error saving new user"):
            return JSONResponse(await _register(server, request, body, password_hash))
    except _AlreadyRegisteredError:
        return _already_registered(server, body, audience(request))


def _require_open(server: Server) -> None:
    if not server.settings.enable_signup:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")


def _checked(server: Server, body: SignupBody) -> SignupBody:
    """The body with its address in stored form. Raises what is wrong with it, in this order."""
    if not body.password:
        raise invalid("Signup requires a valid password")
    passwords.require_strength(body.password, server.settings)
    if body.email and body.phone:
        raise invalid("Only an email address or phone number should be provided on signup.")
    require_challenge(body.code_challenge, body.code_challenge_method)
    if body.email:
        if not server.offers_email:
            raise AuthError(400, "email_provider_disabled", "Email signups are disabled")
        return body.model_copy(update={"email": normal_email(body.email)})
    if not server.offers_phone:
        raise AuthError(400, "phone_provider_disabled", "Unsupported phone provider")
    return body.model_copy(update={"phone": normal_phone(body.phone)})


def require_challenge(challenge: str, method: str) -> None:
    """Raises ``validation_failed`` unless both or neither are given, and well-formed."""
    if bool(challenge) != bool(method):
        raise invalid("PKCE flow requires code_challenge_method and code_challenge")
    if challenge and not _CHALLENGE.fullmatch(challenge):
        raise invalid("code challenge must be 43 to 128 unreserved characters")
    if method and method.lower() not in _CHALLENGE_METHODS:
        raise invalid("code challenge method must be s256 or plain")


async def _register(server: Server, request: Request, body: SignupBody, password_hash: str) -> Json:
    """Make or find the user and, when no confirmation is asked for, sign in; one transaction.

    A user who never confirmed keeps password and metadata: whoever calls has proven nothing.
    """
    confirms = server.confirms_email if body.email else server.confirms_phone
    if body.phone and not confirms:
        raise AuthError(
            422, "sms_send_failed", "Error sending confirmation sms: no provider is configured"
        )
    async with transaction(server.pool) as conn:
        user = await _existing(conn, body, audience(request))
        if user is None:
            user = await _insert(conn, body, password_hash, audience(request))
        if not confirms:
            return user_json(user, await identities.of_user(conn, user.id))
        confirm = users.confirm_email if body.email else users.confirm_phone
        user = await confirm(conn, user, datetime.now(UTC))
        return await open_session(server, conn, user, method="password", origin=origin(request))


async def _existing(conn: Connection, body: SignupBody, aud: str) -> User | None:
    """The unconfirmed user of the address. Raises _AlreadyRegisteredError for a confirmed one."""
    if body.email:
        user = await users.by_email(conn, body.email, aud)
        confirmed_at = user and user.email_confirmed_at
    else:
        user = await users.by_phone(conn, body.phone, aud)
        confirmed_at = user and user.phone_confirmed_at
    if confirmed_at:
        raise _AlreadyRegisteredError
    return user


async def _insert(conn: Connection, body: SignupBody, password_hash: str, aud: str) -> User:
    """The new user and identity.

    Metadata is exactly the caller's when the row is inserted; what the identity says is added
    by a later update, so that triggers run as they do on the platform.
    """
    provider = "email" if body.email else "phone"
    try:
        user = await users.insert(
            conn,
            user_id=uuid.uuid4(),
            audience=aud,
            email=body.email,
            phone=body.phone,
            password_hash=password_hash,
            app_metadata={"provider": provider, "providers": [provider]},
            user_metadata=body.data,
        )
    except psycopg.errors.UniqueViolation as error:
        # Another request was faster, or the address is taken under another audience.
        if any(violates(error, key) for key in _KEYS):
            raise _AlreadyRegisteredError from error
        raise
    if body.email:
        data = {**body.data, **identities.email_data(user, body.email)}
    else:
        data = {**body.data, **identities.phone_data(user, body.phone)}
    await identities.insert(conn, user.id, provider, data)
    return await users.update(conn, user.id, raw_user_meta_data=merged(user.user_metadata, data))


def _already_registered(server: Server, body: SignupBody, aud: str) -> Response:
    """An error where sign-up needs no mail; else a made-up user, so that nobody learns who is
    registered. Applications recognise it by its empty ``identities``."""
    if server.confirms_email if body.email else server.confirms_phone:
        raise AuthError(422, "user_already_exists", "User already registered")
    now = datetime.now(UTC)
    provider = "email" if body.email else "phone"
    made_up = User(
        id=uuid.uuid4(),
        aud=aud,
        role="",
        email=body.email,
        phone=body.phone,
        encrypted_password="",
        app_metadata={"provider": provider, "providers": [provider]},
        user_metadata=body.data,
        created_at=now,
    )
    return JSONResponse(user_json(replace(made_up, updated_at=now, confirmation_sent_at=now), ()))


async def _sign_up_anonymously(server: Server, request: Request, body: SignupBody) -> Response:
    """A session of a new user without address, password or identity."""
    if not server.settings.enable_anonymous_sign_ins:
        message = "Anonymous sign-ins are disabled"
        raise AuthError(422, "anonymous_provider_disabled", message)
    _require_open(server)
    with failing_as("Database error creating anonymous user"):
        async with transaction(server.pool) as conn:
            user = await users.insert(
                conn,
                user_id=uuid.uuid4(),
                audience=audience(request),
                app_metadata={},
                user_metadata=body.data,
                is_anonymous=True,
            )
            source = origin(request)
            answer = await open_session(server, conn, user, method="anonymous", origin=source)
    return JSONResponse(answer)
