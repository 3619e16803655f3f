"""The table ``auth.mfa_factors``: second factors of users, and their challenges."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from .database import Connection
from .objects import NO_TIME, Json, time_text

CHALLENGE_LIFETIME = timedelta(seconds=300)
NAME_KEY = "mfa_factors_user_friendly_name_unique"

_COLUMNS = """select f.id, f.user_id, coalesce(f.friendly_name, '') as friendly_name,
    f.factor_type::text, f.status::text, coalesce(f.secret, '') as secret,
    coalesce(f.phone, '') as phone, f.created_at, f.updated_at, f.last_challenged_at
from auth.mfa_factors as f"""
_OF_USER = f"{_COLUMNS} where f.user_id = %s order by f.created_at, f.id"
_ONE = f"{_COLUMNS} where f.user_id = %s and f.id = %s for update"
_INSERT = """insert into auth.mfa_factors (
    id, user_id, friendly_name, factor_type, status, secret, created_at, updated_at
)
values (%s, %s, %s, 'totp', 'unverified', %s, now(), now())"""
_VERIFY = "update auth.mfa_factors set status = 'verified', updated_at = now() where id = %s"
_DELETE = "delete from auth.mfa_factors where id = %s"
_DELETE_UNVERIFIED = """delete from auth.mfa_factors
where user_id = %s and factor_type = 'totp' and status = 'unverified'"""
_CHALLENGE = """insert into auth.mfa_challenges (id, factor_id, created_at, ip_address)
values (%s, %s, %s, %s)"""
_CHALLENGED = "update auth.mfa_factors set last_challenged_at = clock_timestamp() where id = %s"
_FIND_CHALLENGE = """select created_at
from auth.mfa_challenges
where id = %s and factor_id = %s and verified_at is null"""
_CHALLENGE_DONE = "update auth.mfa_challenges set verified_at = now() where id = %s"


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A second factor. ``secret`` is base32."""

    id: UUID
    user_id: UUID
    friendly_name: str
    factor_type: str
    status: str
    secret: str = field(repr=False)
    phone: str
    created_at: datetime | None
    updated_at: datetime | None
    last_challenged_at: datetime | None

    @property
    def is_verified(self) -> bool:
        return self.status == "verified"


def factor_json(factor: Factor) -> Json:
    """A factor as clients see it, without its secret."""
    optional = {
        "friendly_name": factor.friendly_name,
        "phone": factor.phone,
        "last_challenged_at": time_text(factor.last_challenged_at),
    }
    return {
        "id": str(factor.id),
        "created_at": time_text(factor.created_at) or NO_TIME,
        "updated_at": time_text(factor.updated_at) or NO_TIME,
        "status": factor.status,
        "factor_type": factor.factor_type,
        **{name: value for name, value in optional.items() if value},
    }


async def of_user(conn: Connection, user_id: UUID) -> list[Factor]:
    """The user's factors, oldest first."""
    async with conn.cursor(row_factory=class_row(Factor)) as cursor:
        await cursor.execute(_OF_USER, (user_id,))
        return await cursor.fetchall()


async def find(conn: Connection, user_id: UUID, factor_id: UUID) -> Factor | None:
    """The user's factor, kept from others' changes until the transaction ends."""
    async with conn.cursor(row_factory=class_row(Factor)) as cursor:
        await cursor.execute(_ONE, (user_id, factor_id))
        return await cursor.fetchone()


async def insert(conn: Connection, user_id: UUID, name: str, secret: str) -> UUID:
    """A new, unverified factor."""
    factor_id = uuid.uuid4()
    await conn.execute(_INSERT, (factor_id, user_id, name, secret))
    return factor_id


async def verify(conn: Connection, factor: Factor) -> None:
    """It has been proven; the user's unverified ones go."""
    await conn.execute(_VERIFY, (factor.id,))
    await conn.execute(_DELETE_UNVERIFIED, (factor.user_id,))


async def delete(conn: Connection, factor_id: UUID) -> None:
    await conn.execute(_DELETE, (factor_id,))


async def challenge(conn: Connection, factor_id: UUID, now: datetime, ip: str) -> UUID:
    """A new challenge, alive for CHALLENGE_LIFETIME."""
    challenge_id = uuid.uuid4()
    await conn.execute(_CHALLENGE, (challenge_id, factor_id, now, ip))
    await conn.execute(_CHALLENGED, (factor_id,))
    return challenge_id


async def challenged_at(
    conn: Connection, challenge_id: UUID | None, factor_id: UUID
) -> datetime | None:
    """When a challenge that is not answered yet was made."""
    cursor = await conn.execute(_FIND_CHALLENGE, (challenge_id, factor_id))
    row = await cursor.fetchone()
    return row[0] if row else None


async def answered(conn: Connection, challenge_id: UUID) -> None:
    """The challenge cannot be used again."""
    await conn.execute(_CHALLENGE_DONE, (challenge_id,))
