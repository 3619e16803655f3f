from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import bcrypt
import httpx
import psycopg
import pytest

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
ZERO = uuid.UUID(int=0)


@pytest.fixture
def auth(stack: Any) -> Iterator[httpx.Client]:
    headers = {"apikey": stack.publishable_key, **VERSION}
    with httpx.Client(base_url=f"{stack.api_url}/auth/v1", headers=headers) as client:
        yield client


@pytest.fixture
def db(stack: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def email(auth: httpx.Client) -> str:
    """The address of a user whose password is ``secret-1``."""
    address = f"{uuid.uuid4().hex}@example.com"
    auth.post("/signup", json={"email": address, "password": "secret-1"}).raise_for_status()
    return address


def sign_in(auth: httpx.Client, **body: Any) -> httpx.Response:
    return auth.post("/token?grant_type=password", json={"password": "secret-1", **body})


def test_the_address_counts_in_any_case(auth: httpx.Client, email: str) -> None:
    answer = sign_in(auth, email=email.upper())
    assert answer.status_code == 200
    assert answer.json()["user"]["email"] == email
    assert "weak_password" not in answer.json()


def test_signing_in_is_noted(auth: httpx.Client, email: str) -> None:
    user = sign_in(auth, email=email).json()["user"]
    assert user["last_sign_in_at"] > user["email_confirmed_at"]


@pytest.mark.parametrize(
    ("query", "body", "status", "code", "message"),
    [
        (
            "password",
            {"email": "no@no.no"},
            400,
            "invalid_credentials",
            "Invalid login credentials",
        ),
        ("password", {}, 400, "validation_failed", "missing email or phone"),
        (
            "password",
            {"email": "a@b.c", "phone": "1"},
            400,
            "validation_failed",
            "Only an email address or phone number should be provided on login.",
        ),
        ("password", {"email": " "}, 400, "invalid_credentials", "Invalid login credentials"),
        ("magic", {}, 400, "invalid_credentials", "unsupported_grant_type"),
    ],
)
def test_what_is_refused(
    auth: httpx.Client, query: str, body: dict[str, Any], status: int, code: str, message: str
) -> None:
    answer = auth.post(f"/token?grant_type={query}", json=body)
    assert answer.status_code == status
    assert answer.json() == {"code": code, "message": message}


@pytest.mark.parametrize("password", ["secret-2", "", None, "x" * 100])
def test_a_wrong_password_reads_like_an_unknown_address(
    auth: httpx.Client, email: str, password: str | None
) -> None:
    answer = sign_in(auth, email=email, password=password)
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "invalid_credentials",
        "message": "Invalid login credentials",
    }


def test_a_ban_shows_before_the_password_is_looked_at(
    auth: httpx.Client, db: psycopg.Connection[Any], email: str
) -> None:
    db.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where email = %s", (email,)
    )
    answer = sign_in(auth, email=email, password="wrong")
    assert (answer.status_code, answer.json()["code"]) == (400, "user_banned")
    db.execute("update auth.users set banned_until = now() where email = %s", (email,))
    assert sign_in(auth, email=email).status_code == 200


def test_an_unconfirmed_address_shows_only_to_who_knows_the_password(
    auth: httpx.Client, db: psycopg.Connection[Any], email: str
) -> None:
    db.execute("update auth.users set email_confirmed_at = null where email = %s", (email,))
    wrong = sign_in(auth, email=email, password="wrong")
    assert wrong.json()["code"] == "invalid_credentials"
    right = sign_in(auth, email=email)
    assert right.status_code == 400
    assert right.json() == {"code": "email_not_confirmed", "message": "Email not confirmed"}


def test_json_that_calls_itself_a_form_is_read(auth: httpx.Client, email: str) -> None:
    answer = auth.post(
        "/token?grant_type=password",
        content=f'{{"email": "{email}", "password": "secret-1"}}',
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert answer.status_code == 200


class TestSeeds:
    """Users that ``seed.sql`` files insert with nothing but SQL."""

    INSERT = """insert into auth.users
        (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at)
        values (%s, gen_random_uuid(), %s, 'authenticated', %s, %s, now())"""

    @pytest.fixture
    def seeded(self, db: psycopg.Connection[Any]) -> Iterator[str]:
        address = f"{uuid.uuid4().hex}@example.com"
        yield address
        db.execute("delete from auth.users where email = %s", (address,))

    @pytest.fixture
    def password_hash(self) -> str:
        return bcrypt.hashpw(b"secret-1", bcrypt.gensalt(4, prefix=b"2a")).decode()

    def test_null_columns_are_tolerated(
        self, auth: httpx.Client, db: psycopg.Connection[Any], seeded: str, password_hash: str
    ) -> None:
        db.execute(self.INSERT, (ZERO, "authenticated", seeded, password_hash))
        answer = sign_in(auth, email=seeded)
        assert answer.status_code == 200
        user = answer.json()["user"]
        assert (user["user_metadata"], user["identities"]) == ({}, [])
        token = answer.json()["access_token"]
        read = auth.get("/user", headers={"Authorization": f"Bearer {token}"})
        assert read.status_code == 200
        assert read.json()["created_at"] == "0001-01-01T00:00:00Z"

    @pytest.mark.parametrize(
        ("instance_id", "audience"), [(None, "authenticated"), (ZERO, None), (ZERO, "other")]
    )
    def test_rows_the_platform_would_not_find_are_not_found(
        self,
        auth: httpx.Client,
        db: psycopg.Connection[Any],
        seeded: str,
        password_hash: str,
        instance_id: uuid.UUID | None,
        audience: str | None,
    ) -> None:
        db.execute(self.INSERT, (instance_id, audience, seeded, password_hash))
        answer = sign_in(auth, email=seeded)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_credentials")

    def test_confirmed_at_is_generated(self, db: psycopg.Connection[Any]) -> None:
        with pytest.raises(psycopg.errors.GeneratedAlways):
            db.execute("insert into auth.users (id, confirmed_at) values (%s, now())", (ZERO,))
