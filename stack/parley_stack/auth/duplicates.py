"""Addresses and ids that belong to another user already."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from . import users
from .database import violates
from .errors import AuthError


def email_exists() -> AuthError:
    message = "A user with this email address has already been registered"
    return AuthError(422, "email_exists", message)


def phone_exists() -> AuthError:
    return AuthError(422, "phone_exists", "Phone number already registered by another user")


def id_exists() -> AuthError:
    return AuthError(422, "user_already_exists", "A user with this id already exists")


_ANSWERS = {
    users.EMAIL_KEY: email_exists,
    users.PHONE_KEY: phone_exists,
    users.ID_KEY: id_exists,
}


@contextmanager
def naming_duplicates() -> Iterator[None]:
    """Turn the breach of a unique index of ``auth.users`` into its 422.

    The indexes decide, not a look beforehand: another request may be faster. Goes outside of
    ``failing_as`` or directly around statements.
    """
    try:
        yield
    except (AuthError, psycopg.errors.UniqueViolation) as error:
        cause = error.__cause__ if isinstance(error, AuthError) else error
        if isinstance(cause, psycopg.errors.UniqueViolation):
            for key, answer in _ANSWERS.items():
                if violates(cause, key):
                    raise answer() from cause
        raise
