"""Errors as clients of the Supabase Auth API read them.

    AuthError       a documented code, with its HTTP status
    OAuthError      the token endpoint's answer in the shape of RFC 6749

A client that sends ``X-Supabase-Api-Version`` of 2024-01-01 or later gets
``{"code": <code>, "message": <text>}`` and the same header back, without which it would ignore
``code``. Any other gets ``{"code": <HTTP status>, "error_code": <code>, "msg": <text>}``.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import date
from typing import Any

import psycopg
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

log = logging.getLogger(__name__)

VERSION_HEADER = "X-Supabase-Api-Version"
CODE_HEADER = "x-sb-error-code"
FIRST_VERSION = date(2024, 1, 1)

_UNHANDLED = "Unexpected failure, please check server logs for more information"
_ROUTING_CODES = {404: "not_found", 405: "method_not_allowed"}


class AuthError(Exception):
    """An answer other than success; the text is safe to show.

    ``weak_password``: why a password was refused (``length``, ``characters``).
    """

    def __init__(
        self, status: int, code: str, message: str, *, weak_password: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.weak_password = tuple(weak_password)


class OAuthError(Exception):
    """A token request that lacks what OAuth demands; always status 400."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def invalid(message: str) -> AuthError:
    """The commonest error: 400 ``validation_failed``."""
    return AuthError(400, "validation_failed", message)


def reads_codes(request: Request) -> bool:
    """Whether the client asked for the shape with string codes."""
    try:
        return date.fromisoformat(request.headers.get(VERSION_HEADER, "")) >= FIRST_VERSION
    except ValueError:
        return False


def respond(request: Request, error: AuthError) -> Response:
    """The response to ``error``, in the shape the client asked for."""
    headers = {CODE_HEADER: error.code}
    body: dict[str, Any]
    if reads_codes(request):
        headers[VERSION_HEADER] = FIRST_VERSION.isoformat()
        body = {"code": error.code, "message": error.message}
    else:
        body = {"code": error.status, "error_code": error.code, "msg": error.message}
        if error.status >= 500:
            body["error_id"] = str(uuid.uuid4())
    if error.weak_password:
        body["weak_password"] = {"reasons": list(error.weak_password)}
    return JSONResponse(body, status_code=error.status, headers=headers)


def log_database_error(doing: str, error: psycopg.Error) -> None:
    """One line per failure. Never the detail: it can hold a whole row, with its password hash."""
    summary = error.diag.message_primary or type(error).__name__
    log.error("%s: %s %s", doing, error.sqlstate, summary)


async def on_auth_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AuthError)
    return respond(request, error)


async def on_oauth_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, OAuthError)
    body = {"error": error.error, "error_description": error.description}
    return JSONResponse(body, status_code=400, headers={CODE_HEADER: error.error})


async def on_routing_error(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    code = _ROUTING_CODES.get(error.status_code, "validation_failed")
    return respond(request, AuthError(error.status_code, code, str(error.detail)))


async def on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, psycopg.Error)
    log_database_error(request.url.path, error)
    return respond(request, AuthError(500, "unexpected_failure", _UNHANDLED))


async def on_unhandled(request: Request, _error: Exception) -> Response:
    return respond(request, AuthError(500, "unexpected_failure", _UNHANDLED))
