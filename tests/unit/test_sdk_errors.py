"""How responses become errors."""

from __future__ import annotations

import json
import re

import pytest

from parley import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ParleyError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
    _errors,
)
from parley._wire import error_of_auth, error_of_response
from parley._wire.constraints import RULES
from support.stacks import ROOT

ERRORS_PAGE = ROOT / "docs/reference/errors.md"
MIGRATIONS = ROOT / "supabase/migrations"


def classes(root: type[ParleyError]) -> list[type[ParleyError]]:
    return [root, *(found for child in root.__subclasses__() for found in classes(child))]


def answer(status: int, **fields: str | None) -> ParleyError:
    return error_of_response(status, json.dumps(fields).encode())


def test_the_tree_is_drawn() -> None:
    for found in classes(ParleyError):
        assert found.__name__ in (_errors.__doc__ or "")


def test_the_docstring_is_the_default_message() -> None:
    assert NotFoundError().message == "There is no such thing among yours."


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, NotFoundError),
        (406, InvalidRequestError),
        (409, ConflictError),
        (429, RateLimitedError),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_the_status_chooses_the_class(status: int, expected: type[ParleyError]) -> None:
    error = answer(status, message="No.")
    assert type(error) is expected
    assert error.status == status


def test_the_code_of_a_raised_error_is_in_its_details() -> None:
    error = answer(
        404,
        code="PT404",
        message="There is no such conversation among yours.",
        details="conversation_not_found",
        hint="Check the id.",
    )
    assert isinstance(error, NotFoundError)
    assert (error.code, error.sqlstate) == ("conversation_not_found", "PT404")
    assert error.hint == "Check the id."


def test_nobody_signed_in_is_told_apart_from_not_allowed() -> None:
    signed_out = answer(403, code="42501", message="No.", details="sign_in_required")
    assert isinstance(signed_out, AuthenticationError)
    assert isinstance(answer(403, code="42501", message="No."), PermissionDeniedError)


def test_the_code_of_a_violated_constraint_is_its_name_and_the_row_is_left_out() -> None:
    error = answer(
        400,
        code="23514",
        message='new row for relation "messages" violates check constraint "messages_body_check"',
        details="Failing row contains (secret, words).",
    )
    assert error.code == "messages_body_check"
    assert "secret" not in str(error)


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"[]", b'"text"', b"null"])
def test_a_body_that_is_no_error_of_postgrest_is_left_out(body: bytes) -> None:
    error = error_of_response(502, body)
    assert isinstance(error, ServerError)
    assert error.message == "The server failed."


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "invalid_credentials", AuthenticationError),
        (422, "user_already_exists", ConflictError),
        (422, "weak_password", InvalidRequestError),
        (429, "over_request_rate_limit", RateLimitedError),
        (403, None, PermissionDeniedError),
        (500, "unexpected_failure", ServerError),
    ],
)
def test_errors_of_the_auth_server(
    status: int, code: str | None, expected: type[ParleyError]
) -> None:
    error = error_of_auth("No.", status, code)
    assert type(error) is expected
    assert (error.status, error.code, error.message) == (status, code, "No.")


def test_every_error_says_what_to_do() -> None:
    for found in classes(ParleyError):
        assert found().hint
    violated = answer(
        400, code="23514", message='violates check constraint "profiles_username_check"'
    )
    assert violated.hint == RULES["profiles_username_check"]
    assert violated.message == "A value breaks a rule."


def test_the_rules_of_constraints_are_those_of_the_migrations() -> None:
    named = set(re.findall(r"\| `(\w+_(?:check|key))` \|", ERRORS_PAGE.read_text()))
    assert named <= RULES.keys()
    migrations = "\n".join(path.read_text() for path in MIGRATIONS.glob("*.sql"))
    for name in RULES:
        assert f"constraint {name} " in migrations or f"index {name} on" in migrations, name
