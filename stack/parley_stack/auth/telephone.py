"""Codes by telephone: only for the numbers and codes of ``[auth.sms.test_otp]``.

No message leaves this stack. A number that has no test code is refused as on a project whose
provider is not configured.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import passwords, registration, users
from .caller import audience
from .database import Connection, failing_as, transaction
from .errors import AuthError
from .objects import Json, User
from .one_time import TokenType, hash_of, store
from .server import Server

MESSAGE_ID = "test-otp"


def require_test_code(server: Server, phone: str) -> str:
    """The code of ``phone``. Raises when telephones are off or the number has no code."""
    if not server.offers_phone:
        raise AuthError(400, "phone_provider_disabled", "Unsupported phone provider")
    code = server.settings.sms.test_otp.get(phone)
    if code is None:
        message = (
            "Error sending confirmation sms: this stack sends none; give the number a code in "
            "[auth.sms.test_otp], and configure a provider on a hosted project"
        )
        raise AuthError(422, "sms_send_failed", message)
    return code


async def offer_code(server: Server, conn: Connection, user: User) -> User:
    """From now on the number's test code is accepted."""
    code = require_test_code(server, user.phone)
    token_hash = hash_of(user.phone, code)
    return await store(conn, user, TokenType.CONFIRMATION, token_hash, relates_to=user.phone)


async def send_code(
    server: Server, request: Request, phone: str, *, create_user: bool, data: Json
) -> Response:
    """``{"message_id"}``, as if a message had been sent."""
    require_test_code(server, phone)
    with failing_as("Database error saving new user"):
        async with transaction(server.pool) as conn:
            user = await users.by_phone(conn, phone, audience(request))
            if user is None:
                if not create_user:
                    raise AuthError(422, "otp_disabled", "Signups not allowed for otp")
                registration.require_open(server)
                password_hash = await passwords.hash_password(passwords.random_password())
                user = await registration.register(
                    server, request, conn, phone=phone, password_hash=password_hash, data=data
                )
            await offer_code(server, conn, user)
    return JSONResponse({"message_id": MESSAGE_ID})
