"""``/admin/users``: what holders of the service key do with users."""

from __future__ import annotations

import hashlib
import uuid
from datetime import UTC, datetime
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from . import identities, pagination, passwords, sessions, users
from .addresses import normal_email, normal_phone
from .bodies import Body, check, parse, read_fields
from .caller import audience, require_admin
from .database import Connection, failing_as, transaction
from .duplicates import naming_duplicates
from .durations import parse_duration
from .errors import AuthError, invalid
from .objects import Json, User, merged, user_json
from .profile import profile
from .server import Server
from .sessions import Scope


class AdminUserBody(Body):
    """Of a new user, or of what changes. ``ban_duration``: ``24h``, or ``none`` to lift a ban."""

    id: str = ""
    aud: str = ""
    role: str = ""
    email: str = ""
    phone: str = ""
    password: str = Field(default="", repr=False)
    password_hash: str = Field(default="", repr=False)
    email_confirm: bool = False
    phone_confirm: bool = False
    user_metadata: Json | None = None
    app_metadata: Json | None = None
    ban_duration: str = ""


class DeleteBody(Body):
    should_soft_delete: bool = False


async def list_users(server: Server, request: Request) -> Response:
    """One page of an audience's users, newest first; headers say how many there are."""
    require_admin(server, request)
    page, aud = pagination.page_of(request.query_params), audience(request)
    async with transaction(server.pool) as conn:
        total = await users.count(conn, aud)
        found = await users.page(conn, aud, limit=page.size, offset=page.offset)
        owned = await identities.of_users(conn, [user.id for user in found])
    listed = [user_json(user, owned.get(user.id, ())) for user in found]
    return JSONResponse({"users": listed, "aud": aud}, headers=page.headers(total))


async def get_user(server: Server, request: Request) -> Response:
    require_admin(server, request)
    async with transaction(server.pool) as conn:
        user = await _find(conn, request)
        return await _respond(conn, user)


async def create_user(server: Server, request: Request) -> Response:
    """A new user, unconfirmed unless asked for, with metadata exactly as given."""
    require_admin(server, request)
    body = _checked(await parse(request, AdminUserBody))
    if not body.email and not body.phone:
        raise invalid("Cannot create a user without either an email or phone")
    user_id = _parsed_id(body.id) if body.id else uuid.uuid4()
    password_hash = await _password_hash(body) or await passwords.hash_password(
        passwords.random_password()
    )
    with naming_duplicates(), failing_as("Database error creating new user"):
        async with transaction(server.pool) as conn:
            user = await _insert(conn, request, body, user_id, password_hash)
            return await _respond(conn, await _confirm(conn, user, body))


async def update_user(server: Server, request: Request) -> Response:
    """The user as changed, at once and without mail. A new password ends all sessions."""
    require_admin(server, request)
    body = _checked(await parse(request, AdminUserBody))
    if body.password:
        passwords.require_strength(body.password, server.settings)
    password_hash = await _password_hash(body)
    with naming_duplicates(), failing_as("Error updating user"):
        async with transaction(server.pool) as conn:
            user = await _find(conn, request, lock=True)
            if password_hash:
                user = await users.update(conn, user.id, encrypted_password=password_hash)
                await sessions.end(conn, user.id, None, Scope.GLOBAL)
            user = await _change(conn, user, body)
            return await _respond(conn, await _confirm(conn, user, body))


async def delete_user(server: Server, request: Request) -> Response:
    """``{}``. A soft deletion keeps the id, so that references hold, and nothing personal."""
    require_admin(server, request)
    fields = await read_fields(request, optional=True)
    body = check(DeleteBody, fields)
    with failing_as("Database error deleting user"):
        async with transaction(server.pool) as conn:
            user = await _find(conn, request, lock=True)
            if body.should_soft_delete:
                await _soft_delete(conn, user)
            else:
                await users.delete(conn, user.id)
    return JSONResponse({})


async def _find(conn: Connection, request: Request, *, lock: bool = False) -> User:
    try:
        user_id = UUID(request.path_params["user_id"])
    except ValueError as error:
        raise AuthError(404, "validation_failed", "user_id must be an UUID") from error
    user = await users.by_id(conn, user_id, lock=lock)
    if user is None:
        raise AuthError(404, "user_not_found", "User not found")
    return user


async def _respond(conn: Connection, user: User) -> Response:
    return JSONResponse(await profile(conn, user))


def _checked(body: AdminUserBody) -> AdminUserBody:
    """The body with addresses in stored form. Raises ``validation_failed``."""
    if body.password and body.password_hash:
        raise invalid("Only a password or a password hash should be provided")
    passwords.require_length(body.password)
    if body.password_hash and not passwords.is_hash(body.password_hash):
        raise invalid("Only bcrypt password hashes are supported")
    if body.ban_duration:
        _ban_end(body.ban_duration)
    return body.model_copy(
        update={
            "email": normal_email(body.email) if body.email else "",
            "phone": normal_phone(body.phone) if body.phone else "",
        }
    )


def _parsed_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise invalid("ID must conform to the uuid v4 format") from error


def _ban_end(duration: str) -> datetime | None:
    """When a ban that starts now ends; None for ``none``. Raises ``validation_failed``."""
    if duration == "none":
        return None
    try:
        return datetime.now(UTC) + parse_duration(duration)
    except ValueError as error:
        raise invalid(f"invalid format for ban duration: {error}") from error


async def _password_hash(body: AdminUserBody) -> str:
    """What to store, or '' when the body names no password."""
    if body.password:
        return await passwords.hash_password(body.password)
    return body.password_hash


async def _insert(
    conn: Connection, request: Request, body: AdminUserBody, user_id: UUID, password_hash: str
) -> User:
    providers = [name for name in ("email", "phone") if getattr(body, name)]
    user = await users.insert(
        conn,
        user_id=user_id,
        audience=body.aud or audience(request),
        email=body.email,
        phone=body.phone,
        password_hash=password_hash,
        app_metadata={"provider": providers[0], "providers": providers},
        user_metadata=body.user_metadata or {},
    )
    if body.email:
        await identities.insert(conn, user.id, "email", identities.email_data(user, body.email))
    if body.phone:
        await identities.insert(conn, user.id, "phone", identities.phone_data(user, body.phone))
    # Address and metadata of the user are in place already.
    rest = body.model_copy(update={"email": "", "phone": "", "user_metadata": None})
    return await _change(conn, user, rest)


async def _change(conn: Connection, user: User, body: AdminUserBody) -> User:
    """Apply what the body names of role, addresses, metadata and ban, in one update."""
    columns: dict[str, object] = {}
    if body.role:
        columns["role"] = body.role
    if body.email:
        columns["email"] = body.email
        data = identities.email_data(user, body.email)
        await identities.put(conn, user.id, "email", data, {"email": body.email})
    if body.phone:
        columns["phone"] = body.phone
        data = identities.phone_data(user, body.phone)
        await identities.put(conn, user.id, "phone", data, {"phone": body.phone})
    if body.app_metadata is not None:
        columns["raw_app_meta_data"] = merged(user.app_metadata, body.app_metadata)
    if body.user_metadata is not None:
        columns["raw_user_meta_data"] = merged(user.user_metadata, body.user_metadata)
    if body.ban_duration:
        columns["banned_until"] = _ban_end(body.ban_duration)
    return await users.update(conn, user.id, **columns) if columns else user


async def _confirm(conn: Connection, user: User, body: AdminUserBody) -> User:
    now = datetime.now(UTC)
    if body.email_confirm and user.email_confirmed_at is None:
        user = await users.confirm_email(conn, user, now)
    if body.phone_confirm and user.phone_confirmed_at is None:
        user = await users.confirm_phone(conn, user, now)
    return user


async def _soft_delete(conn: Connection, user: User) -> None:
    if user.deleted_at is not None:
        return
    await sessions.end(conn, user.id, None, Scope.GLOBAL)
    await identities.delete_of_user(conn, user.id)
    await users.update(
        conn,
        user.id,
        email=_obscured(user, user.email) or None,
        phone=_obscured(user, user.phone)[:15] or None,
        encrypted_password="",
        email_change="",
        phone_change="",
        confirmation_token="",
        recovery_token="",
        email_change_token_new="",
        email_change_token_current="",
        phone_change_token="",
        reauthentication_token="",
        raw_app_meta_data={},
        raw_user_meta_data={},
        deleted_at=datetime.now(UTC),
    )


def _obscured(user: User, address: str) -> str:
    """A text that frees the address for others and does not tell it."""
    return hashlib.sha256(f"{user.id}{address}".encode()).hexdigest() if address else ""
