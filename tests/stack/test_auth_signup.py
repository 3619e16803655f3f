from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import psycopg
import pytest

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}


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
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


def sign_up(auth: httpx.Client, **body: Any) -> httpx.Response:
    return auth.post("/signup", json={"password": "secret-1", **body})


def test_signing_up_signs_in(auth: httpx.Client, stack: Any, email: str) -> None:
    answer = sign_up(auth, email=email.upper(), data={"name": "Owner", "sub": "forged"})
    assert answer.status_code == 200
    session = answer.json()
    assert session["token_type"] == "bearer"
    assert session["expires_in"] == 3600
    user = session["user"]
    assert user["email"] == email
    assert user["aud"] == user["role"] == "authenticated"
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert user["user_metadata"] == {
        "sub": user["id"],
        "email": email,
        "email_verified": True,
        "phone_verified": False,
        "name": "Owner",
    }
    assert [identity["provider"] for identity in user["identities"]] == ["email"]
    assert user["identities"][0]["id"] == user["id"]
    assert user["email_confirmed_at"] == user["confirmed_at"]
    assert "encrypted_password" not in answer.text

    claims = jwt.decode(session["access_token"], options={"verify_signature": False})
    assert claims["iss"] == f"{stack.api_url}/auth/v1"
    assert (claims["sub"], claims["aud"]) == (user["id"], "authenticated")
    assert claims["exp"] == session["expires_at"] == claims["iat"] + 3600
    assert [entry["method"] for entry in claims["amr"]] == ["password"]
    assert claims["is_anonymous"] is False


def test_null_fields_and_unknown_fields_count_as_absent(auth: httpx.Client, email: str) -> None:
    answer = sign_up(
        auth,
        email=email,
        phone=None,
        data=None,
        code_challenge=None,
        code_challenge_method=None,
        gotrue_meta_security={"captcha_token": None},
    )
    assert answer.status_code == 200


def test_a_row_has_no_null_where_the_platform_reads_text(
    auth: httpx.Client, db: psycopg.Connection[Any], email: str
) -> None:
    sign_up(auth, email=email)
    columns = db.execute(
        """select confirmation_token, recovery_token, email_change_token_new, email_change,
            email_change_token_current, phone_change, phone_change_token, reauthentication_token
        from auth.users where email = %s""",
        (email,),
    ).fetchone()
    assert columns == ("",) * 8


def test_a_known_address_is_refused(auth: httpx.Client, email: str) -> None:
    sign_up(auth, email=email)
    answer = sign_up(auth, email=email)
    assert answer.status_code == 422
    assert answer.json() == {"code": "user_already_exists", "message": "User already registered"}


@pytest.mark.parametrize(
    ("body", "status", "code", "message"),
    [
        ({"password": None}, 400, "validation_failed", "Signup requires a valid password"),
        (
            {"password": "x" * 73},
            400,
            "validation_failed",
            "Password cannot be longer than 72 characters",
        ),
        ({"password": "12345"}, 422, "weak_password", "Password should be at least 6 characters."),
        (
            {"phone": "+15550100000"},
            400,
            "validation_failed",
            "Only an email address or phone number should be provided on signup.",
        ),
        (
            {"code_challenge": "x" * 43},
            400,
            "validation_failed",
            "PKCE flow requires code_challenge_method and code_challenge",
        ),
        (
            {"email": "nobody"},
            400,
            "validation_failed",
            "Unable to validate email address: invalid format",
        ),
    ],
)
def test_what_is_refused(
    auth: httpx.Client, email: str, body: dict[str, Any], status: int, code: str, message: str
) -> None:
    answer = sign_up(auth, **{"email": email, **body})
    assert answer.status_code == status
    assert answer.json()["code"] == answer.headers["x-sb-error-code"] == code
    assert answer.json()["message"] == message


def test_text_postgresql_cannot_store_is_the_caller_s_fault(auth: httpx.Client, email: str) -> None:
    answer = sign_up(auth, email=email, data={"name": "a\x00b"})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")


async def test_of_many_racing_for_one_address_one_wins(stack: Any, email: str) -> None:
    headers = {"apikey": stack.publishable_key, **VERSION}
    body = {"email": email, "password": "secret-1"}
    async with httpx.AsyncClient(base_url=f"{stack.api_url}/auth/v1", headers=headers) as auth:
        answers = await asyncio.gather(*(auth.post("/signup", json=body) for _ in range(6)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [200, 422, 422, 422, 422, 422]


class TestTriggers:
    """What applications hang on ``auth.users``; each test cleans up after itself."""

    @pytest.fixture
    def schema(self, db: psycopg.Connection[Any]) -> Iterator[str]:
        name = f"trigger_{uuid.uuid4().hex}"
        db.execute(f"create schema {name}")
        yield name
        db.execute(f"drop schema {name} cascade")

    def test_insert_sees_the_caller_s_metadata_alone_and_no_confirmation(
        self, auth: httpx.Client, db: psycopg.Connection[Any], schema: str, email: str
    ) -> None:
        db.execute(
            f"""
            create table {schema}.seen (event text, metadata jsonb, confirmed boolean);
            create function {schema}.watch() returns trigger
            language plpgsql security definer set search_path = ''
            as $$
            begin
                insert into {schema}.seen
                values (tg_op, new.raw_user_meta_data, new.email_confirmed_at is not null);
                return new;
            end
            $$;
            create trigger watch_{schema} after insert or update on auth.users
            for each row execute function {schema}.watch()
            """
        )
        sign_up(auth, email=email, data={"full_name": "Owner"})
        rows = db.execute(f"select event, metadata, confirmed from {schema}.seen").fetchall()
        assert rows[0] == ("INSERT", {"full_name": "Owner"}, False)
        assert rows[-1][0] == "UPDATE"
        assert rows[-1][1]["email_verified"] is True
        assert rows[-1][2] is True

    def test_what_a_trigger_changes_is_in_the_answer(
        self, auth: httpx.Client, db: psycopg.Connection[Any], schema: str, email: str
    ) -> None:
        db.execute(
            f"""
            create function {schema}.mark() returns trigger language plpgsql
            as $$
            begin
                new.raw_app_meta_data = new.raw_app_meta_data || '{{"tenant": "t1"}}';
                return new;
            end
            $$;
            create trigger mark_{schema} before insert on auth.users
            for each row execute function {schema}.mark()
            """
        )
        session = sign_up(auth, email=email).json()
        assert session["user"]["app_metadata"]["tenant"] == "t1"
        claims = jwt.decode(session["access_token"], options={"verify_signature": False})
        assert claims["app_metadata"]["tenant"] == "t1"

    def test_a_raise_rolls_everything_back_and_is_not_shown(
        self, auth: httpx.Client, db: psycopg.Connection[Any], schema: str, email: str
    ) -> None:
        db.execute(
            f"""
            create function {schema}.refuse() returns trigger language plpgsql
            as $$ begin raise 'only staff: %', new.email; end $$;
            create trigger refuse_{schema} after update on auth.users
            for each row execute function {schema}.refuse()
            """
        )
        answer = sign_up(auth, email=email)
        assert answer.status_code == 500
        assert answer.json() == {
            "code": "unexpected_failure",
            "message": "Database error saving new user",
        }
        count = db.execute("select count(*) from auth.users where email = %s", (email,)).fetchone()
        assert count == (0,)
