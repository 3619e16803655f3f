from __future__ import annotations

import json
import logging
from typing import Any

import psycopg
import pytest
from starlette.requests import Request

from parley_stack.auth.database import failing_as
from parley_stack.auth.errors import AuthError, OAuthError, on_oauth_error, respond

WEAK = AuthError(422, "weak_password", "Too short.", weak_password=("length",))


def request(version: str | None = None) -> Request:
    headers = [(b"x-supabase-api-version", version.encode())] if version else []
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


def body(response: Any) -> Any:
    return json.loads(response.body)


@pytest.mark.parametrize("version", ["2024-01-01", "2025-06-30"])
def test_a_client_with_a_version_gets_string_codes_and_the_header(version: str) -> None:
    response = respond(request(version), WEAK)
    assert response.status_code == 422
    assert response.headers["x-supabase-api-version"] == "2024-01-01"
    assert response.headers["x-sb-error-code"] == "weak_password"
    assert body(response) == {
        "code": "weak_password",
        "message": "Too short.",
        "weak_password": {"reasons": ["length"]},
    }


@pytest.mark.parametrize("version", [None, "2023-12-31", "soon"])
def test_any_other_client_gets_numbers_and_no_header(version: str | None) -> None:
    response = respond(request(version), WEAK)
    assert "x-supabase-api-version" not in response.headers
    assert response.headers["x-sb-error-code"] == "weak_password"
    assert body(response) == {
        "code": 422,
        "error_code": "weak_password",
        "msg": "Too short.",
        "weak_password": {"reasons": ["length"]},
    }


def test_only_failures_of_the_server_carry_an_id_to_look_up() -> None:
    assert "error_id" in body(respond(request(), AuthError(500, "unexpected_failure", "No.")))
    assert "error_id" not in body(respond(request(), AuthError(404, "user_not_found", "No.")))


async def test_oauth_errors_have_their_own_shape() -> None:
    response = await on_oauth_error(
        request("2024-01-01"), OAuthError("invalid_request", "refresh_token required")
    )
    assert response.status_code == 400
    assert body(response) == {
        "error": "invalid_request",
        "error_description": "refresh_token required",
    }


def test_a_database_failure_shows_only_the_wrapper() -> None:
    with pytest.raises(AuthError) as shown, failing_as("Database error saving new user"):
        raise psycopg.errors.RaiseException("trigger says: secret detail")
    assert shown.value.message == "Database error saving new user"
    assert (shown.value.status, shown.value.code) == (500, "unexpected_failure")


def test_a_refusal_passes_through_the_wrapper() -> None:
    with pytest.raises(AuthError) as shown, failing_as("Database error saving new user"):
        raise WEAK
    assert shown.value is WEAK


def test_the_log_has_no_row_of_the_failed_statement(caplog: pytest.LogCaptureFixture) -> None:
    text = "new row violates check\nDETAIL: Failing row contains ($2a$10$hash)."
    with caplog.at_level(logging.ERROR), pytest.raises(AuthError), failing_as("Saving"):
        raise psycopg.errors.CheckViolation(text)
    assert "23514" in caplog.text
    assert "$2a$10$hash" not in caplog.text
