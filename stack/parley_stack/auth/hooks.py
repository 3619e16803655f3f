"""Functions of the project's own that Auth asks: ``[auth.hook.*]`` with a ``pg-functions`` uri.

They take an event as ``jsonb`` and return ``jsonb``, run as ``supabase_auth_admin`` in the
transaction of the request, for at most two seconds. One that returns
``{"error": {"http_code", "message"}}`` refuses the request.
"""

from __future__ import annotations

import logging
import re
import uuid
from datetime import UTC, datetime

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb
from starlette.requests import Request

from .database import Connection
from .errors import AuthError
from .objects import Json, User, time_text
from .server import Server, origin
from .settings import Hook, Hooks

log = logging.getLogger(__name__)

SERVED = frozenset({"before_user_created", "custom_access_token"})
"""The hooks this stack calls."""

REQUIRED_CLAIMS = (
    *("aud", "exp", "iat", "sub", "email", "phone", "role"),
    *("aal", "session_id", "is_anonymous"),
)
_URI = re.compile(r"pg-functions://[^/]*/([^/]+)/([^/]+)")
_TIME_LIMIT = "set local statement_timeout = '2s'"
_NO_TIME_LIMIT = "set local statement_timeout = 0"
_DEFAULT_STATUS = 500


def warn_of_ignored(hooks: Hooks) -> None:
    """One warning for each hook that is enabled and not called."""
    for name in Hooks.model_fields:
        hook = getattr(hooks, name)
        if hook is None or not hook.enabled:
            continue
        if name not in SERVED:
            log.warning("auth.hook.%s is enabled, but this local stack does not call it", name)
        elif not _URI.fullmatch(hook.uri):
            log.warning("auth.hook.%s: only pg-functions:// is called, not %s", name, hook.uri)


async def custom_access_token(server: Server, conn: Connection, user: User, claims: Json) -> Json:
    """The claims as the project's function returns them. Raises 500 when one is missing."""
    event: Json = {
        "user_id": str(user.id),
        "claims": claims,
        "authentication_method": claims["amr"][0]["method"] if claims["amr"] else "",
    }
    answer = await _call(conn, server.settings.hook.custom_access_token, event)
    if answer is None:
        return claims
    returned = answer.get("claims")
    if not isinstance(returned, dict):
        raise _failed("the hook returned no claims")
    missing = [name for name in REQUIRED_CLAIMS if name not in returned]
    if missing:
        raise _failed(f"the hook's claims lack {', '.join(missing)}")
    return returned


async def before_user_created(
    server: Server, request: Request, conn: Connection, user: Json
) -> None:
    """Raises what the project's function answers, and 500 when it fails."""
    now = time_text(datetime.now(UTC))
    event: Json = {
        "metadata": {
            "uuid": str(uuid.uuid4()),
            "time": now,
            "name": "before-user-created",
            "ip_address": origin(request).ip,
        },
        "user": {**user, "created_at": now, "updated_at": now},
    }
    await _call(conn, server.settings.hook.before_user_created, event)


async def _call(conn: Connection, hook: Hook | None, event: Json) -> Json | None:
    """The function's answer, or None without a hook."""
    match = _URI.fullmatch(hook.uri) if hook and hook.enabled else None
    if match is None:
        return None
    call = sql.SQL("select {}.{}(%s)").format(*map(sql.Identifier, match.groups()))
    try:
        async with conn.transaction():
            await conn.execute(_TIME_LIMIT)
            cursor = await conn.execute(call, (Jsonb(event),))
            row = await cursor.fetchone()
            await conn.execute(_NO_TIME_LIMIT)
    except psycopg.Error as error:
        log.error("hook %s: %s %s", match[0], error.sqlstate, error.diag.message_primary)
        raise _failed("the hook's function failed, see the server's log") from error
    answer = row[0] if row else None
    if not isinstance(answer, dict):
        raise _failed("the hook returned no object")
    refusal = answer.get("error")
    if isinstance(refusal, dict):
        status = refusal.get("http_code")
        if not isinstance(status, int) or not 400 <= status < 600:
            status = _DEFAULT_STATUS
        raise AuthError(
            status,
            "unexpected_failure",
            str(refusal.get("message", "")),
        )
    return answer


def _failed(reason: str) -> AuthError:
    return AuthError(500, "unexpected_failure", f"Error running hook: {reason}")
