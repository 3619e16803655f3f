"""``POST /signup``: a new user with a password, or an anonymous one."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import hooks, passwords, registration, telephone, users
from .addresses import normal_email, normal_phone
from .bodies import parse
from .caller import audience
from .database import Connection, failing_as, transaction
from .errors import AuthError, invalid
from .mail import Kind
from .objects import Json, User, user_json
from .pkce import ChallengeBody
from .profile import profile
from .redirects import redirect_url
from .registration import AlreadyRegisteredError
from .sending import send_link
from .server import Server, origin
from .sessions import open_session


class SignupBody(ChallengeBody):
    email: str = ""
    phone: str = ""
    password: str = Field(default="", repr=False)
    data: Json = Field(default_factory=dict)


async def sign_up(server: Server, request: Request) -> Response:
    """A session; or, while the address is to be confirmed, the bare user."""
    body = await parse(request, SignupBody)
    if not body.email and not body.phone:
        return await _sign_up_anonymously(server, request, body)
    registration.require_open(server)
    body = _checked(server, body)
    password_hash = await passwords.hash_password(body.password)
    try:
        with failing_as("Database error saving new user"):
            return JSONResponse(await _register(server, request, body, password_hash))
    except AlreadyRegisteredError:
        return _already_registered(server, body, audience(request))


def _checked(server: Server, body: SignupBody) -> SignupBody:
    """The body with its address in stored form. Raises what is wrong with it, in this order."""
    if not body.password:
        raise invalid("Signup requires a valid password")
    passwords.require_strength(body.password, server.settings)
    if body.email and body.phone:
        raise invalid("Only an email address or phone number should be provided on signup.")
    body.require_challenge()
    if body.email:
        if not server.offers_email:
            raise AuthError(400, "email_provider_disabled", "Email signups are disabled")
        return body.model_copy(update={"email": normal_email(body.email)})
    if not server.offers_phone:
        raise AuthError(400, "phone_provider_disabled", "Unsupported phone provider")
    return body.model_copy(update={"phone": normal_phone(body.phone)})


async def _register(server: Server, request: Request, body: SignupBody, password_hash: str) -> Json:
    """Make or find the user and, when no confirmation is asked for, sign in; one transaction.

    A user who never confirmed keeps password and metadata: whoever calls has proven nothing.
    """
    confirms = server.confirms_email if body.email else server.confirms_phone
    redirect_to = redirect_url(request, server.settings)
    async with transaction(server.pool) as conn:
        user = await _existing(conn, body, audience(request))
        if user is None:
            user = await registration.register(
                server,
                request,
                conn,
                email=body.email,
                phone=body.phone,
                password_hash=password_hash,
                data=body.data,
            )
        if confirms:
            confirm = users.confirm_email if body.email else users.confirm_phone
            user = await confirm(conn, user, datetime.now(UTC))
            return await open_session(server, conn, user, method="password", origin=origin(request))
        if body.email:
            user = await send_link(
                server, conn, user, Kind.SIGNUP, redirect_to=redirect_to, challenge=body
            )
        else:
            user = await telephone.offer_code(server, conn, user)
        return await profile(conn, user)


async def _existing(conn: Connection, body: SignupBody, aud: str) -> User | None:
    """The unconfirmed user of the address. Raises AlreadyRegisteredError for a confirmed one."""
    if body.email:
        user = await users.by_email(conn, body.email, aud)
        confirmed_at = user and user.email_confirmed_at
    else:
        user = await users.by_phone(conn, body.phone, aud)
        confirmed_at = user and user.phone_confirmed_at
    if confirmed_at:
        raise AlreadyRegisteredError
    return user


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
    registration.require_open(server)
    with failing_as("Database error creating anonymous user"):
        async with transaction(server.pool) as conn:
            user_id = uuid.uuid4()
            new = {"id": str(user_id), "is_anonymous": True, "user_metadata": body.data}
            await hooks.before_user_created(server, request, conn, new)
            user = await users.insert(
                conn,
                user_id=user_id,
                audience=audience(request),
                app_metadata={},
                user_metadata=body.data,
                is_anonymous=True,
            )
            source = origin(request)
            answer = await open_session(server, conn, user, method="anonymous", origin=source)
    return JSONResponse(answer)
