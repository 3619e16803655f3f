"""The table ``auth.users``.

A user is found by address only within an audience (``aud``), and never through single sign-on.
Rows without the zero instance id, which only a seed can make, do not exist for the API.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier
from psycopg.types.json import Jsonb

from .database import Connection
from .objects import Json, User

INSTANCE_ID = UUID(int=0)
AUTHENTICATED = "authenticated"
"""Audience and role of users, unless an administrator says otherwise."""

EMAIL_KEY = "users_email_partial_key"
PHONE_KEY = "users_phone_key"
ID_KEY = "users_pkey"

_COLUMNS = SQL(
    """id,
    coalesce(aud, '') as aud,
    coalesce(role, '') as role,
    coalesce(email, '') as email,
    coalesce(phone, '') as phone,
    coalesce(encrypted_password, '') as encrypted_password,
    email_confirmed_at,
    phone_confirmed_at,
    confirmed_at,
    invited_at,
    confirmation_sent_at,
    recovery_sent_at,
    coalesce(email_change, '') as email_change,
    email_change_sent_at,
    coalesce(email_change_confirm_status, 0) as email_change_confirm_status,
    coalesce(phone_change, '') as phone_change,
    phone_change_sent_at,
    reauthentication_sent_at,
    last_sign_in_at,
    case when jsonb_typeof(raw_app_meta_data) = 'object'
        then raw_app_meta_data else '{}' end as app_metadata,
    case when jsonb_typeof(raw_user_meta_data) = 'object'
        then raw_user_meta_data else '{}' end as user_metadata,
    created_at,
    updated_at,
    banned_until,
    deleted_at,
    is_anonymous"""
)
_FIND = SQL("select {columns} from auth.users where instance_id = %s and {condition} {lock}")
_BY_ID = SQL("id = %s")
_BY_EMAIL = SQL("lower(email) = lower(%s) and aud = %s and not is_sso_user")
_BY_PHONE = SQL("phone = %s and aud = %s and not is_sso_user")
_PAGE = SQL("aud = %s order by created_at desc nulls last, id limit %s offset %s")
_COUNT = SQL("select count(*) from auth.users where instance_id = %s and aud = %s")
_INSERT = SQL(
    """insert into auth.users (
        instance_id, id, aud, role, email, phone, encrypted_password,
        raw_app_meta_data, raw_user_meta_data, is_anonymous, created_at, updated_at,
        confirmation_token, recovery_token, email_change_token_new, email_change
    )
    values (%s, %s, %s, '', %s, %s, %s, %s, %s, %s, now(), now(), '', '', '', '')"""
)
_UPDATE = SQL("update auth.users set {assignments}, updated_at = now() where id = %s")
_RETURNING = SQL("{statement} returning {columns}")
_DELETE = SQL("delete from auth.users where id = %s")


def _find(condition: SQL, *, lock: bool = False) -> Composed:
    return _FIND.format(
        columns=_COLUMNS, condition=condition, lock=SQL("for update" if lock else "")
    )


async def _one(conn: Connection, query: Composed, *values: Any) -> User | None:
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(query, values)
        return await cursor.fetchone()


async def by_id(conn: Connection, user_id: UUID, *, lock: bool = False) -> User | None:
    """The user, kept from others' changes until the transaction ends when ``lock`` is set."""
    return await _one(conn, _find(_BY_ID, lock=lock), INSTANCE_ID, user_id)


async def by_email(
    conn: Connection, email: str, audience: str, *, lock: bool = False
) -> User | None:
    return await _one(conn, _find(_BY_EMAIL, lock=lock), INSTANCE_ID, email, audience)


async def by_phone(conn: Connection, phone: str, audience: str) -> User | None:
    return await _one(conn, _find(_BY_PHONE), INSTANCE_ID, phone, audience)


async def page(conn: Connection, audience: str, *, limit: int, offset: int) -> list[User]:
    """Users newest first."""
    async with conn.cursor(row_factory=class_row(User)) as cursor:
        await cursor.execute(_find(_PAGE), (INSTANCE_ID, audience, limit, offset))
        return await cursor.fetchall()


async def count(conn: Connection, audience: str) -> int:
    cursor = await conn.execute(_COUNT, (INSTANCE_ID, audience))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def insert(
    conn: Connection,
    *,
    user_id: UUID,
    audience: str,
    email: str = "",
    phone: str = "",
    password_hash: str = "",
    app_metadata: Json,
    user_metadata: Json,
    is_anonymous: bool = False,
) -> User:
    """A new, unconfirmed user, as the application's triggers left it.

    The role is set by a second statement, and confirmation by a later one: triggers that run on
    insert see neither, as on the platform.
    """
    await conn.execute(
        _INSERT,
        (
            *(INSTANCE_ID, user_id, audience, email or None, phone or None),
            *(password_hash, Jsonb(app_metadata), Jsonb(user_metadata), is_anonymous),
        ),
    )
    return await update(conn, user_id, role=AUTHENTICATED)


async def update(conn: Connection, user_id: UUID, **columns: Any) -> User:
    """Set ``columns`` of a row that exists, dictionaries as JSON, and give it as it then is."""
    names = list(columns)
    assignments = SQL(", ").join(SQL("{} = %s").format(Identifier(name)) for name in names)
    statement = _RETURNING.format(
        statement=_UPDATE.format(assignments=assignments), columns=_COLUMNS
    )
    values = [Jsonb(value) if isinstance(value, dict) else value for value in columns.values()]
    user = await _one(conn, statement, *values, user_id)
    assert user is not None
    return user


async def confirm_email(conn: Connection, user: User, now: datetime) -> User:
    """The address belongs to the user: said in the column, and in the metadata clients see."""
    return await update(
        conn,
        user.id,
        email_confirmed_at=now,
        confirmation_token="",
        raw_user_meta_data={**user.user_metadata, "email_verified": True},
    )


async def confirm_phone(conn: Connection, user: User, now: datetime) -> User:
    """The number belongs to the user."""
    return await update(
        conn,
        user.id,
        phone_confirmed_at=now,
        confirmation_token="",
        raw_user_meta_data={**user.user_metadata, "phone_verified": True},
    )


async def delete(conn: Connection, user_id: UUID) -> None:
    """Remove the row; what references it with ``on delete cascade`` goes too."""
    await conn.execute(_DELETE, (user_id,))
