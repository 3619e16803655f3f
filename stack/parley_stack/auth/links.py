"""What holders of the service key do with mail: invite people, and make links without sending."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import identities, one_time, passwords, users
from .addresses import normal_email
from .bodies import Body, parse
from .caller import audience, require_admin
from .database import Connection, failing_as, transaction
from .duplicates import email_exists, naming_duplicates
from .errors import AuthError, invalid
from .mail import Kind, Mail
from .objects import Json, User
from .one_time import TokenType, new_code
from .profile import profile
from .redirects import redirect_url
from .sending import TYPES, send_link
from .server import Server


class InviteBody(Body):
    email: str = ""
    data: Json = Field(default_factory=dict)


class LinkBody(Body):
    type: Literal[
        "",
        "signup",
        "invite",
        "magiclink",
        "recovery",
        "email_change_current",
        "email_change_new",
    ] = ""
    email: str = ""
    new_email: str = ""
    password: str = Field(default="", repr=False)
    data: Json = Field(default_factory=dict)
    redirect_to: str = ""


@dataclass(frozen=True)
class _Wanted:
    """What a request for a link comes to: the user, the mail not sent, and its token."""

    user: User
    kind: Kind
    type: TokenType
    address: str


async def invite(server: Server, request: Request) -> Response:
    """The invited user, who gets a mail. Raises 422 ``email_exists`` for a confirmed one."""
    require_admin(server, request)
    body = await parse(request, InviteBody)
    email, redirect_to = normal_email(body.email), redirect_url(request, server.settings)
    with naming_duplicates(), failing_as("Database error inviting user"):
        async with transaction(server.pool) as conn:
            user = await _invited(conn, request, email, body.data)
            user = await send_link(server, conn, user, Kind.INVITE, redirect_to=redirect_to)
            return JSONResponse(await profile(conn, user))


async def generate_link(server: Server, request: Request) -> Response:
    """The user with the link, its code and its hash beside the user's own members."""
    require_admin(server, request)
    body = await parse(request, LinkBody)
    if not body.type:
        raise invalid("Invalid email action link type requested: ")
    email = normal_email(body.email)
    redirect_to = redirect_url(request, server.settings, body.redirect_to)
    password_hash = await _password_hash(server, body)
    with naming_duplicates(), failing_as("Error generating link"):
        async with transaction(server.pool) as conn:
            wanted = await _wanted(server, conn, request, body, email, password_hash)
            code = new_code(wanted.address, length=server.settings.email.otp_length)
            user = await one_time.store(
                conn, wanted.user, wanted.type, code.hash, relates_to=wanted.address
            )
            mail = Mail(wanted.kind, wanted.address, code, redirect_to)
            is_change = wanted.kind is Kind.EMAIL_CHANGE
            return JSONResponse(
                {
                    **await profile(conn, user),
                    "action_link": mail.url(server),
                    "email_otp": code.digits,
                    "hashed_token": code.hash,
                    "verification_type": body.type if is_change else wanted.kind.value,
                    "redirect_to": redirect_to,
                }
            )


async def _password_hash(server: Server, body: LinkBody) -> str:
    """Of a new user: the password given, or one that nobody knows."""
    if body.type == "signup":
        if not body.password:
            raise invalid("Signup requires a valid password")
        passwords.require_strength(body.password, server.settings)
        return await passwords.hash_password(body.password)
    if body.type == "magiclink":
        return await passwords.hash_password(passwords.random_password())
    return ""


async def _wanted(
    server: Server,
    conn: Connection,
    request: Request,
    body: LinkBody,
    email: str,
    password_hash: str,
) -> _Wanted:
    """Find, make or change the user as the type of link asks."""
    if body.type == "invite":
        user = await _invited(conn, request, email, body.data)
        return _Wanted(user, Kind.INVITE, TYPES[Kind.INVITE], email)
    user_found = await users.by_email(conn, email, audience(request), lock=True)
    if body.type in ("signup", "magiclink") and user_found is None:
        user = await _new(conn, request, email, body.data, password_hash)
        return _Wanted(user, Kind.SIGNUP, TYPES[Kind.SIGNUP], email)
    if user_found is None:
        raise AuthError(404, "user_not_found", "User with this email not found")
    if body.type == "signup":
        if user_found.email_confirmed_at is not None:
            raise email_exists()
        metadata = {**user_found.user_metadata, **body.data}
        user = await users.update(
            conn, user_found.id, encrypted_password=password_hash, raw_user_meta_data=metadata
        )
        return _Wanted(user, Kind.SIGNUP, TYPES[Kind.SIGNUP], email)
    if body.type in ("magiclink", "recovery"):
        kind = Kind(body.type)
        return _Wanted(user_found, kind, TYPES[kind], email)
    return await _change(conn, request, user_found, body)


async def _change(conn: Connection, request: Request, user: User, body: LinkBody) -> _Wanted:
    """One half of a change of address; the user's pending change becomes this one."""
    new_email = normal_email(body.new_email)
    if await users.by_email(conn, new_email, audience(request)):
        raise email_exists()
    user = await users.update(conn, user.id, email_change=new_email, email_change_confirm_status=0)
    if body.type == "email_change_new":
        return _Wanted(user, Kind.EMAIL_CHANGE, TokenType.EMAIL_CHANGE_NEW, new_email)
    return _Wanted(user, Kind.EMAIL_CHANGE, TokenType.EMAIL_CHANGE_CURRENT, user.email)


async def _invited(conn: Connection, request: Request, email: str, data: Json) -> User:
    """A user who is invited now, again if need be. Raises 422 for one who has confirmed."""
    user = await users.by_email(conn, email, audience(request), lock=True)
    if user is None:
        user = await _new(conn, request, email, data, "")
    elif user.email_confirmed_at is not None:
        raise email_exists()
    return await users.update(conn, user.id, invited_at=datetime.now(UTC))


async def _new(
    conn: Connection, request: Request, email: str, data: Json, password_hash: str
) -> User:
    """Somebody an administrator knows of; metadata is exactly ``data``."""
    user = await users.insert(
        conn,
        user_id=uuid.uuid4(),
        audience=audience(request),
        email=email,
        password_hash=password_hash,
        app_metadata={"provider": "email", "providers": ["email"]},
        user_metadata=data,
    )
    await identities.insert(conn, user.id, "email", identities.email_data(user, email))
    return user
