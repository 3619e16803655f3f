"""Passwords: strength, hashing and checking.

bcrypt takes some 60 ms of processor time, so it runs in a thread and never on the event loop.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import string
from dataclasses import dataclass

import bcrypt

from .errors import AuthError, invalid
from .settings import AuthSettings

COST = 10
MAX_BYTES = 72
"""bcrypt reads no further."""
_BCRYPT = re.compile(r"\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}")

_LOWER, _UPPER, _DIGITS = string.ascii_lowercase, string.ascii_uppercase, string.digits
_SYMBOLS = "!@#$%^&*()_+-=[]{};'\\:\"|<>?,./`~"
REQUIRED_SETS: dict[str, tuple[str, ...]] = {
    "": (),
    "letters_digits": (_LOWER + _UPPER, _DIGITS),
    "lower_upper_letters_digits": (_LOWER, _UPPER, _DIGITS),
    "lower_upper_letters_digits_symbols": (_LOWER, _UPPER, _DIGITS, _SYMBOLS),
}


@dataclass(frozen=True)
class Weakness:
    """Why a password is too weak; ``reasons`` are ``length`` and ``characters``."""

    message: str
    reasons: tuple[str, ...]


def weakness(password: str, settings: AuthSettings) -> Weakness | None:
    """What ``settings`` demand and ``password`` lacks, or None."""
    messages, reasons = [], []
    if len(password) < settings.minimum_password_length:
        reasons.append("length")
        messages.append(
            f"Password should be at least {settings.minimum_password_length} characters."
        )
    required = REQUIRED_SETS[settings.password_requirements]
    if not all(set(characters) & set(password) for characters in required):
        reasons.append("characters")
        sets = ", ".join(required)
        messages.append(f"Password should contain at least one character of each: {sets}.")
    return Weakness(" ".join(messages), tuple(reasons)) if reasons else None


def require_length(password: str) -> None:
    """Raises ``validation_failed`` for more than bcrypt can take."""
    if len(password.encode()) > MAX_BYTES:
        raise invalid("Password cannot be longer than 72 characters")


def require_strength(password: str, settings: AuthSettings) -> None:
    """Raises ``validation_failed`` or 422 ``weak_password``."""
    require_length(password)
    if weak := weakness(password, settings):
        raise AuthError(422, "weak_password", weak.message, weak_password=weak.reasons)


def is_hash(text: str) -> bool:
    """Whether ``text`` is a bcrypt hash that can be stored as it is."""
    return _BCRYPT.fullmatch(text) is not None


def random_password() -> str:
    """A password nobody knows, for users made without one."""
    return secrets.token_urlsafe(48)


async def hash_password(password: str) -> str:
    """The bcrypt hash of at most MAX_BYTES bytes."""
    encoded, salt = password.encode(), bcrypt.gensalt(COST, prefix=b"2a")
    return (await asyncio.to_thread(bcrypt.hashpw, encoded, salt)).decode()


async def matches(password: str, stored: str) -> bool:
    """Whether ``password`` gives the hash ``stored``; False for one of another kind.

    Seeds hash with ``extensions.crypt``, which like bcrypt ignores what follows byte 72.
    """
    if not is_hash(stored):
        return False
    encoded = password.encode()[:MAX_BYTES]
    return await asyncio.to_thread(bcrypt.checkpw, encoded, stored.encode())
