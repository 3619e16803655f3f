"""Errors of the servers, as exceptions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from parley._errors import (
    AuthenticationError,
    ConflictError,
    ParleyError,
    RateLimitedError,
    class_for_status,
)

from .constraints import MESSAGES, RULES

_CONSTRAINT = re.compile(r'constraint "([^"]+)"')
_CODE = re.compile(r"[a-z]+(_[a-z]+)*")


def error_of_response(status: int, content: bytes) -> ParleyError:
    """The error of a response of PostgREST or a gateway with status 400 and up.

    Only PostgREST's own fields are used: an HTML page of a proxy never becomes a message. The
    details of a violated constraint hold the row, so they are left out too.
    """
    fields = _error_fields(content)
    sqlstate = fields.get("code")
    message = fields.get("message")
    code = _error_code(fields)
    error_class = class_for_status(status)
    if code == "sign_in_required":
        error_class = AuthenticationError
    hint = fields.get("hint") or RULES.get(code or "")
    # PostgreSQL's own words about a constraint are for who wrote the table.
    message = MESSAGES.get(sqlstate or "", message)
    return error_class(message, status=status, code=code, hint=hint, sqlstate=sqlstate)


def _error_fields(content: bytes) -> dict[str, str]:
    try:
        fields = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {key: value for key, value in fields.items() if isinstance(value, str) and value}


def _error_code(fields: Mapping[str, str]) -> str | None:
    if fields.get("code", "").startswith("23"):
        found = _CONSTRAINT.search(fields.get("message", ""))
        return found.group(1) if found else None
    details = fields.get("details", "")
    return details if _CODE.fullmatch(details) else None


_AUTH_CLASSES: dict[str, type[ParleyError]] = {
    "email_exists": ConflictError,
    "user_already_exists": ConflictError,
    "invalid_credentials": AuthenticationError,
    "email_not_confirmed": AuthenticationError,
    "refresh_token_already_used": AuthenticationError,
    "refresh_token_not_found": AuthenticationError,
    "session_expired": AuthenticationError,
    "session_not_found": AuthenticationError,
    "over_request_rate_limit": RateLimitedError,
    "over_email_send_rate_limit": RateLimitedError,
}


def error_of_auth(message: str, status: int, code: str | None) -> ParleyError:
    """The error of an answer of the Auth server with status 400 and up."""
    error_class = _AUTH_CLASSES.get(code or "", class_for_status(status))
    return error_class(message or None, status=status, code=code)


def error_of_storage(status: int, content: bytes) -> ParleyError:
    """The error of an answer of the Storage server, which says 400 for nearly everything.

    The status that it means is in the body.
    """
    fields = _error_fields(content)
    meant = fields.get("statusCode", "")
    status = int(meant) if re.fullmatch(r"[45]\d\d", meant) else status
    code = fields.get("error")
    return class_for_status(status)(fields.get("message"), status=status, code=code)
