"""New users who come by themselves: by sign-up, by a one-time password, by invitation."""

from __future__ import annotations

import uuid

import psycopg
from starlette.requests import Request

from . import hooks, identities, users
from .caller import audience
from .database import Connection, violates
from .errors import AuthError
from .objects import Json, User, merged
from .server import Server

_KEYS = (users.EMAIL_KEY, users.PHONE_KEY)


class AlreadyRegisteredError(Exception):
    """The address belongs to another user."""


def require_open(server: Server) -> None:
    """Raises 422 ``signup_disabled``."""
    if not server.settings.enable_signup:
        raise AuthError(422, "signup_disabled", "Signups not allowed for this instance")


async def register(
    server: Server,
    request: Request,
    conn: Connection,
    *,
    email: str = "",
    phone: str = "",
    password_hash: str = "",
    data: Json,
) -> User:
    """The new, unconfirmed user and the identity. Raises AlreadyRegisteredError.

    Metadata is exactly the caller's when the row is inserted; what the identity says is added
    by a later update, so that triggers run as they do on the platform.
    """
    user_id, aud = uuid.uuid4(), audience(request)
    provider = "email" if email else "phone"
    app_metadata: Json = {"provider": provider, "providers": [provider]}
    await hooks.before_user_created(
        server,
        request,
        conn,
        {
            "id": str(user_id),
            "aud": aud,
            "role": "",
            "email": email,
            "phone": phone,
            "app_metadata": app_metadata,
            "user_metadata": data,
            "identities": [],
            "is_anonymous": False,
        },
    )
    try:
        user = await users.insert(
            conn,
            user_id=user_id,
            audience=aud,
            email=email,
            phone=phone,
            password_hash=password_hash,
            app_metadata=app_metadata,
            user_metadata=data,
        )
    except psycopg.errors.UniqueViolation as error:
        # Another request was faster, or the address is taken under another audience.
        if any(violates(error, key) for key in _KEYS):
            raise AlreadyRegisteredError from error
        raise
    if email:
        identity = {**data, **identities.email_data(user, email)}
    else:
        identity = {**data, **identities.phone_data(user, phone)}
    await identities.insert(conn, user.id, provider, identity)
    metadata = merged(user.user_metadata, identity)
    return await users.update(conn, user.id, raw_user_meta_data=metadata)
