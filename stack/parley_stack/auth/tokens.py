"""Access tokens: the claims of a session's JSON Web Token, and refresh tokens' text."""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from parley_stack.keys import Claims

from .objects import User

REFRESH_TOKEN_CHARACTERS = string.ascii_lowercase + string.digits
REFRESH_TOKEN_LENGTH = 12
_REFRESH_TOKEN = re.compile(rf"[A-Za-z0-9_-]{{{REFRESH_TOKEN_LENGTH},255}}")
"""Any this or an earlier release, or a seed, can have made."""


@dataclass(frozen=True)
class Method:
    """One way a session was authenticated, and when."""

    name: str
    at: datetime


def access_claims(
    user: User,
    *,
    session_id: UUID,
    aal: str,
    methods: Sequence[Method],
    issuer: str,
    now: datetime,
    lifetime_seconds: int,
) -> Claims:
    """The claims PostgreSQL will see; times are Unix seconds, methods newest first.

    Metadata is as it is now and stays so until the session is refreshed.
    """
    issued_at = int(now.timestamp())
    newest_first = sorted(methods, key=lambda method: method.at, reverse=True)
    return {
        "iss": issuer,
        "sub": str(user.id),
        "aud": user.aud,
        "exp": issued_at + lifetime_seconds,
        "iat": issued_at,
        "email": user.email,
        "phone": user.phone,
        "app_metadata": user.app_metadata,
        "user_metadata": user.user_metadata,
        "role": user.role,
        "aal": aal,
        "amr": [
            {"method": method.name, "timestamp": int(method.at.timestamp())}
            for method in newest_first
        ],
        "session_id": str(session_id),
        "is_anonymous": user.is_anonymous,
    }


def new_refresh_token() -> str:
    """About 62 random bits."""
    return "".join(secrets.choice(REFRESH_TOKEN_CHARACTERS) for _ in range(REFRESH_TOKEN_LENGTH))


def is_refresh_token(text: str) -> bool:
    """Whether ``text`` could be a refresh token at all."""
    return _REFRESH_TOKEN.fullmatch(text) is not None
