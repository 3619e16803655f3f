from __future__ import annotations

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
def session(auth: httpx.Client) -> Any:
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "secret-1"}
    return auth.post("/signup", json=body).raise_for_status().json()


def sign_in(auth: httpx.Client, session: Any, password: str = "secret-1") -> httpx.Response:
    body = {"email": session["user"]["email"], "password": password}
    return auth.post("/token?grant_type=password", json=body)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def get(auth: httpx.Client, session: Any) -> httpx.Response:
    return auth.get("/user", headers=bearer(session["access_token"]))


def put(auth: httpx.Client, session: Any, **body: Any) -> httpx.Response:
    return auth.put("/user", json=body, headers=bearer(session["access_token"]))


def signed(stack: Any, **claims: Any) -> dict[str, str]:
    """A bearer header the stack must take for its own; ``exp`` is far away unless given."""
    return bearer(jwt.encode({"exp": 4102444800, **claims}, stack.jwt_secret, algorithm="HS256"))


def test_the_user_is_the_session_s(auth: httpx.Client, session: Any) -> None:
    answer = get(auth, session)
    assert answer.status_code == 200
    assert answer.json() == session["user"]


class TestCallers:
    def refused(self, answer: httpx.Response, status: int, code: str, message: str) -> None:
        assert answer.status_code == status
        assert answer.json() == {"code": code, "message": message}
        assert answer.headers["x-sb-error-code"] == code
        assert answer.headers["x-supabase-api-version"] == "2024-01-01"

    def test_no_key_at_all(self, stack: Any) -> None:
        answer = httpx.get(f"{stack.api_url}/auth/v1/user", headers=VERSION)
        message = "This endpoint requires a valid Bearer token"
        self.refused(answer, 401, "no_authorization", message)

    def test_the_anon_key(self, auth: httpx.Client) -> None:
        message = "invalid claim: missing sub claim"
        self.refused(auth.get("/user"), 403, "bad_jwt", message)

    @pytest.mark.parametrize("token", ["garbage", "a.b.c", "e30.e30.e30"])
    def test_garbage(self, auth: httpx.Client, token: str) -> None:
        answer = auth.get("/user", headers=bearer(token))
        assert (answer.status_code, answer.json()["code"]) == (403, "bad_jwt")
        assert answer.json()["message"].startswith("invalid JWT: unable to parse or verify")

    def test_another_signature(self, auth: httpx.Client, session: Any) -> None:
        forged = jwt.encode({"sub": session["user"]["id"]}, "x" * 32, algorithm="HS256")
        answer = auth.get("/user", headers=bearer(forged))
        assert (answer.status_code, answer.json()["code"]) == (403, "bad_jwt")

    def test_an_expired_token(self, auth: httpx.Client, stack: Any, session: Any) -> None:
        answer = auth.get("/user", headers=signed(stack, sub=session["user"]["id"], exp=1))
        assert (answer.status_code, answer.json()["code"]) == (403, "bad_jwt")
        assert "expired" in answer.json()["message"]

    def test_a_subject_that_is_no_uuid(self, auth: httpx.Client, stack: Any) -> None:
        answer = auth.get("/user", headers=signed(stack, sub="1234567890"))
        self.refused(answer, 400, "bad_jwt", "invalid claim: sub claim must be a UUID")

    def test_a_user_that_is_gone(self, auth: httpx.Client, stack: Any) -> None:
        answer = auth.get("/user", headers=signed(stack, sub=str(uuid.uuid4())))
        message = "User from sub claim in JWT does not exist"
        self.refused(answer, 403, "user_not_found", message)

    def test_a_session_that_is_gone(self, auth: httpx.Client, session: Any) -> None:
        auth.post("/logout", headers=bearer(session["access_token"])).raise_for_status()
        message = "Session from session_id claim in JWT does not exist"
        self.refused(get(auth, session), 403, "session_not_found", message)

    def test_another_user_s_session(self, auth: httpx.Client, stack: Any, session: Any) -> None:
        body = {"email": f"{uuid.uuid4().hex}@example.com", "password": "secret-1"}
        stranger = auth.post("/signup", json=body).json()["user"]["id"]
        claims = jwt.decode(session["access_token"], options={"verify_signature": False})
        mixed = signed(stack, sub=stranger, session_id=claims["session_id"])
        answer = auth.get("/user", headers=mixed)
        assert (answer.status_code, answer.json()["code"]) == (403, "session_not_found")

    def test_a_banned_user(
        self, auth: httpx.Client, db: psycopg.Connection[Any], session: Any
    ) -> None:
        db.execute(
            "update auth.users set banned_until = now() + interval '1 hour' where id = %s",
            (session["user"]["id"],),
        )
        self.refused(get(auth, session), 403, "user_banned", "User is banned")

    def test_another_audience(self, auth: httpx.Client, session: Any) -> None:
        headers = {**bearer(session["access_token"]), "X-JWT-AUD": "other"}
        message = "Token audience doesn't match request audience"
        self.refused(auth.get("/user", headers=headers), 400, "validation_failed", message)


class TestUpdate:
    def test_data_is_merged_and_null_removes(self, auth: httpx.Client, session: Any) -> None:
        put(auth, session, data={"name": "Owner", "color": "red"})
        answer = put(auth, session, data={"color": None, "size": {"w": 1}})
        metadata = answer.json()["user_metadata"]
        assert (metadata["name"], metadata["size"]) == ("Owner", {"w": 1})
        assert "color" not in metadata
        assert metadata["email_verified"] is True
        assert get(auth, session).json() == answer.json()

    def test_app_metadata_is_not_the_user_s(self, auth: httpx.Client, session: Any) -> None:
        answer = put(auth, session, app_metadata={"role": "admin"}, data={"x": 1})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_admin")
        assert get(auth, session).json() == session["user"]

    def test_a_new_password_ends_the_other_sessions(self, auth: httpx.Client, session: Any) -> None:
        other = sign_in(auth, session).json()
        assert put(auth, session, password="secret-2").status_code == 200
        assert get(auth, session).status_code == 200
        assert get(auth, other).json()["code"] == "session_not_found"
        refresh = auth.post(
            "/token?grant_type=refresh_token", json={"refresh_token": other["refresh_token"]}
        )
        assert refresh.status_code == 400
        assert sign_in(auth, session).status_code == 400
        assert sign_in(auth, session, "secret-2").status_code == 200

    @pytest.mark.parametrize(
        ("password", "code"), [("secret-1", "same_password"), ("short", "weak_password")]
    )
    def test_a_password_that_is_refused(
        self, auth: httpx.Client, session: Any, password: str, code: str
    ) -> None:
        answer = put(auth, session, password=password)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert sign_in(auth, session).status_code == 200

    def test_a_taken_address(self, auth: httpx.Client, session: Any) -> None:
        taken = f"{uuid.uuid4().hex}@example.com"
        auth.post("/signup", json={"email": taken, "password": "secret-1"})
        answer = put(auth, session, email=taken.upper())
        assert (answer.status_code, answer.json()["code"]) == (422, "email_exists")

    def test_one_s_own_address_changes_nothing(self, auth: httpx.Client, session: Any) -> None:
        answer = put(auth, session, email=session["user"]["email"].upper())
        assert answer.status_code == 200
        assert answer.json()["email"] == session["user"]["email"]

    def test_an_address_never_changes_without_confirmation(
        self, auth: httpx.Client, session: Any
    ) -> None:
        put(auth, session, email=f"{uuid.uuid4().hex}@example.com")
        assert get(auth, session).json()["email"] == session["user"]["email"]


class TestLogout:
    @pytest.fixture
    def other(self, auth: httpx.Client, session: Any) -> Any:
        return sign_in(auth, session).json()

    @pytest.mark.parametrize(
        ("scope", "own", "others"),
        [
            (None, 403, 403),
            ("global", 403, 403),
            ("local", 403, 200),
            ("others", 200, 403),
        ],
    )
    def test_scope(
        self,
        auth: httpx.Client,
        session: Any,
        other: Any,
        scope: str | None,
        own: int,
        others: int,
    ) -> None:
        answer = auth.post(
            "/logout",
            params={"scope": scope} if scope else {},
            headers=bearer(session["access_token"]),
        )
        assert (answer.status_code, answer.content) == (204, b"")
        assert get(auth, session).status_code == own
        assert get(auth, other).status_code == others

    def test_another_scope(self, auth: httpx.Client, session: Any) -> None:
        answer = auth.post("/logout?scope=all", headers=bearer(session["access_token"]))
        assert answer.status_code == 400
        assert answer.json() == {
            "code": "validation_failed",
            "message": "Unsupported logout scope",
        }
        assert get(auth, session).status_code == 200

    def test_the_refresh_token_ends_too(self, auth: httpx.Client, session: Any) -> None:
        auth.post("/logout", headers=bearer(session["access_token"]))
        body = {"refresh_token": session["refresh_token"]}
        assert auth.post("/token?grant_type=refresh_token", json=body).status_code == 400
