"""No secret reaches a log."""

from __future__ import annotations

import pytest

from parley_stack.keys import Keys
from parley_stack.redaction import Redactor

KEYS = Keys()
REDACT = Redactor([KEYS.jwt_secret, "hunter2 with spaces"])


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"Authorization: Bearer {KEYS.anon_key}", KEYS.anon_key),
        (f"GET /?apikey={KEYS.secret_key}", KEYS.secret_key),
        (f"jwt {KEYS.service_role_key} refused", KEYS.service_role_key),
        (f"secret {KEYS.jwt_secret}.", KEYS.jwt_secret),
        ("the word is hunter2 with spaces", "hunter2"),
        ("alter role x password 'hunter2'", "hunter2"),
        ('{"email": "a@b.c", "password": "hunter2"}', "hunter2"),
        ("host=x password=hunter2 user=y", "hunter2"),
        ("postgresql://postgres:hunter2@127.0.0.1/postgres", "hunter2"),
        ('{"refresh_token": "abcdefghijkl"}', "abcdefghijkl"),
        ("$2b$10$" + "a" * 53, "a" * 53),
    ],
)
def test_secrets_are_taken_out(text, secret):
    assert secret not in REDACT(text)


@pytest.mark.parametrize(
    "text",
    [
        'relation "public.nothing" does not exist',
        "FATAL:  password authentication failed for user",
        "listening on 127.0.0.1:54321",
    ],
)
def test_the_rest_stays_readable(text):
    assert len(REDACT(text)) >= len(text) - len("authentication") + len("[secret]") - 8
    assert REDACT(text).split()[0] == text.split()[0]
