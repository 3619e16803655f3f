"""One-time tokens: the codes and links that prove an address.

A code has six digits; its hash, which the link carries, is over address and code:
``hex(sha224(address + code))``, with ``pkce_`` before it when a proof-key flow asked for it. The
hash is kept in a column of ``auth.users`` and in ``auth.one_time_tokens``, one for each user and
type: asking again replaces it.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from uuid import UUID

from . import users
from .database import Connection
from .errors import AuthError
from .objects import User

PKCE_PREFIX = "pkce_"


class TokenType(Enum):
    """``auth.one_time_token_type``; also the column of ``auth.users`` that has the hash."""

    CONFIRMATION = "confirmation_token"
    RECOVERY = "recovery_token"
    EMAIL_CHANGE_NEW = "email_change_token_new"
    EMAIL_CHANGE_CURRENT = "email_change_token_current"
    PHONE_CHANGE = "phone_change_token"
    REAUTHENTICATION = "reauthentication_token"


SENT_AT = {
    TokenType.CONFIRMATION: "confirmation_sent_at",
    TokenType.RECOVERY: "recovery_sent_at",
    TokenType.EMAIL_CHANGE_NEW: "email_change_sent_at",
    TokenType.EMAIL_CHANGE_CURRENT: "email_change_sent_at",
    TokenType.PHONE_CHANGE: "phone_change_sent_at",
    TokenType.REAUTHENTICATION: "reauthentication_sent_at",
}
"""When a token was sent, which is when its life begins."""

_DELETE_ONE = "delete from auth.one_time_tokens where user_id = %s and token_type = %s"
_DELETE_ALL = "delete from auth.one_time_tokens where user_id = %s"
_INSERT = """insert into auth.one_time_tokens (id, user_id, token_type, token_hash, relates_to)
values (%s, %s, %s, %s, lower(%s))"""
_FIND = """select user_id, token_type::text, token_hash
from auth.one_time_tokens
where token_hash = any (%s) and token_type::text = any (%s)"""


@dataclass(frozen=True)
class Code:
    """A new token: the digits a person types, and the hash a link carries."""

    digits: str = field(repr=False)
    hash: str = field(repr=False)


@dataclass(frozen=True)
class Found:
    """A stored token, not yet known to be alive."""

    user_id: UUID
    type: TokenType
    hash: str = field(repr=False)


def new_code(address: str, *, length: int, is_pkce: bool = False) -> Code:
    """A code of ``length`` digits for ``address``."""
    digits = "".join(secrets.choice("0123456789") for _ in range(length))
    return Code(digits, (PKCE_PREFIX if is_pkce else "") + hash_of(address, digits))


def hash_of(address: str, digits: str) -> str:
    """56 hexadecimal characters."""
    return hashlib.sha224(f"{address}{digits}".encode()).hexdigest()


def require_interval(user: User, type_: TokenType, interval: timedelta) -> None:
    """Raises 429 when the last token of this type was sent less than ``interval`` ago."""
    sent_at: datetime | None = getattr(user, SENT_AT[type_])
    if sent_at is None:
        return
    left = (sent_at + interval - datetime.now(UTC)).total_seconds()
    if left > 0:
        message = (
            f"For security purposes, you can only request this after {max(1, round(left))} seconds."
        )
        raise AuthError(429, "over_email_send_rate_limit", message)


async def store(
    conn: Connection, user: User, type_: TokenType, token_hash: str, *, relates_to: str
) -> User:
    """Replace the user's token of this type; it was sent now."""
    await conn.execute(_DELETE_ONE, (user.id, type_.value))
    await conn.execute(_INSERT, (uuid.uuid4(), user.id, type_.value, token_hash, relates_to))
    return await users.update(
        conn, user.id, **{type_.value: token_hash, SENT_AT[type_]: datetime.now(UTC)}
    )


async def find(conn: Connection, token_hash: str, types: tuple[TokenType, ...]) -> Found | None:
    """The token with this hash, or with this hash behind the prefix of proof-key flows."""
    hashes = [token_hash, f"{PKCE_PREFIX}{token_hash}"]
    cursor = await conn.execute(_FIND, (hashes, [type_.value for type_ in types]))
    row = await cursor.fetchone()
    return Found(row[0], TokenType(row[1]), row[2]) if row else None


def is_alive(user: User, type_: TokenType, lifetime_seconds: int) -> bool:
    """Whether a token of this type that the user has may still be used."""
    sent_at: datetime | None = getattr(user, SENT_AT[type_])
    return sent_at is not None and datetime.now(UTC) <= sent_at + timedelta(
        seconds=lifetime_seconds
    )


async def clear(conn: Connection, user: User, *types: TokenType) -> User:
    """Remove the user's tokens of ``types``, or all of them."""
    if types:
        for type_ in types:
            await conn.execute(_DELETE_ONE, (user.id, type_.value))
    else:
        await conn.execute(_DELETE_ALL, (user.id,))
    return await users.update(conn, user.id, **{type_.value: "" for type_ in types or TokenType})
