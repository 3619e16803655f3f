"""The table ``auth.identities``: the address or number, or provider account, a user signs in with.

An identity of provider ``email`` or ``phone`` has the user's id as its provider id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from .database import Connection
from .objects import Identity, Json, User

_OF_USERS = """select id, provider_id, user_id, identity_data, provider,
    last_sign_in_at, created_at, updated_at, email
from auth.identities
where user_id = any (%s)
order by created_at, id"""
_INSERT = """insert into auth.identities (
    provider_id, user_id, identity_data, provider, last_sign_in_at, created_at, updated_at
)
values (%s, %s, %s, %s, now(), now(), now())"""
_MERGE = """update auth.identities
set identity_data = identity_data || %s, updated_at = now()
where user_id = %s and provider = %s"""
_DELETE = "delete from auth.identities where id = %s"
_DELETE_OF_USER = "delete from auth.identities where user_id = %s"


async def of_users(
    conn: Connection, user_ids: Iterable[UUID]
) -> Mapping[UUID, tuple[Identity, ...]]:
    """The identities of each user, oldest first."""
    grouped: dict[UUID, tuple[Identity, ...]] = defaultdict(tuple)
    async with conn.cursor(row_factory=class_row(Identity)) as cursor:
        await cursor.execute(_OF_USERS, (list(user_ids),))
        async for identity in cursor:
            grouped[identity.user_id] += (identity,)
    return grouped


async def of_user(conn: Connection, user_id: UUID) -> tuple[Identity, ...]:
    return (await of_users(conn, [user_id])).get(user_id, ())


def email_data(user: User, email: str, *, verified: bool = False) -> Json:
    """What an email identity says of its user."""
    return {
        "sub": str(user.id),
        "email": email,
        "email_verified": verified,
        "phone_verified": False,
    }


def phone_data(user: User, phone: str, *, verified: bool = False) -> Json:
    """What a phone identity says of its user."""
    return {
        "sub": str(user.id),
        "phone": phone,
        "email_verified": False,
        "phone_verified": verified,
    }


async def insert(conn: Connection, user_id: UUID, provider: str, data: Json) -> None:
    await conn.execute(_INSERT, (str(user_id), user_id, Jsonb(data), provider))


async def put(conn: Connection, user_id: UUID, provider: str, data: Json, change: Json) -> None:
    """Merge ``change`` into the user's identity, or make one of ``data``."""
    cursor = await conn.execute(_MERGE, (Jsonb(change), user_id, provider))
    if not cursor.rowcount:
        await insert(conn, user_id, provider, data)


async def delete(conn: Connection, identity_id: UUID) -> None:
    await conn.execute(_DELETE, (identity_id,))


async def delete_of_user(conn: Connection, user_id: UUID) -> None:
    await conn.execute(_DELETE_OF_USER, (user_id,))
