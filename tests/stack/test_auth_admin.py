from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}


@pytest.fixture
def auth(stack: Any) -> Iterator[httpx.Client]:
    headers = {"apikey": stack.publishable_key, **VERSION}
    with httpx.Client(base_url=f"{stack.api_url}/auth/v1", headers=headers) as client:
        yield client


@pytest.fixture
def admin(stack: Any) -> Iterator[httpx.Client]:
    headers = {"apikey": stack.secret_key, **VERSION}
    with httpx.Client(base_url=f"{stack.api_url}/auth/v1", headers=headers) as client:
        yield client


@pytest.fixture
def db(stack: Any) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def email() -> str:
    return f"{uuid.uuid4().hex}@example.com"


@pytest.fixture
def user(admin: httpx.Client, email: str) -> Any:
    return create(admin, email=email, password="secret-1", email_confirm=True).json()


def create(admin: httpx.Client, **body: Any) -> httpx.Response:
    return admin.post("/admin/users", json=body)


def sign_in(auth: httpx.Client, email: str, password: str = "secret-1") -> httpx.Response:
    body = {"email": email, "password": password}
    return auth.post("/token?grant_type=password", json=body)


class TestWho:
    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/admin/users"),
            ("POST", "/admin/users"),
            ("GET", f"/admin/users/{uuid.UUID(int=1)}"),
            ("PUT", f"/admin/users/{uuid.UUID(int=1)}"),
            ("DELETE", f"/admin/users/{uuid.UUID(int=1)}"),
        ],
    )
    def test_only_the_service_key_administers(
        self, auth: httpx.Client, stack: Any, user: Any, method: str, path: str
    ) -> None:
        anon = auth.request(method, path)
        assert anon.status_code == 403
        assert anon.json() == {"code": "not_admin", "message": "User not allowed"}
        token = sign_in(auth, user["email"]).json()["access_token"]
        signed_in = auth.request(method, path, headers={"Authorization": f"Bearer {token}"})
        assert (signed_in.status_code, signed_in.json()["code"]) == (403, "not_admin")
        nobody = httpx.request(method, f"{stack.api_url}/auth/v1{path}", headers=VERSION)
        assert (nobody.status_code, nobody.json()["code"]) == (401, "no_authorization")

    def test_the_legacy_key_works_as_well(self, stack: Any) -> None:
        headers = {
            "apikey": stack.service_role_key,
            "Authorization": f"Bearer {stack.service_role_key}",
        }
        answer = httpx.get(f"{stack.api_url}/auth/v1/admin/users", headers=headers)
        assert answer.status_code == 200


class TestCreate:
    def test_metadata_is_exactly_as_sent_and_nothing_is_confirmed(
        self, admin: httpx.Client, auth: httpx.Client, email: str
    ) -> None:
        answer = create(
            admin,
            email=email,
            password="1",
            user_metadata={"name": "Member"},
            app_metadata={"tenant": "t1"},
        )
        assert answer.status_code == 200
        user = answer.json()
        assert user["user_metadata"] == {"name": "Member"}
        assert user["app_metadata"] == {
            "provider": "email",
            "providers": ["email"],
            "tenant": "t1",
        }
        assert user["role"] == "authenticated"
        assert "email_confirmed_at" not in user
        assert [identity["email"] for identity in user["identities"]] == [email]
        assert sign_in(auth, email, "1").json()["code"] == "email_not_confirmed"

    def test_a_weak_password_signs_in_and_says_so(
        self, admin: httpx.Client, auth: httpx.Client, email: str
    ) -> None:
        user = create(admin, email=email, password="1", email_confirm=True).json()
        assert user["user_metadata"] == {"email_verified": True}
        session = sign_in(auth, email, "1").json()
        assert session["weak_password"] == {
            "message": "Password should be at least 6 characters.",
            "reasons": ["length"],
        }

    def test_everything_else(self, admin: httpx.Client, auth: httpx.Client, email: str) -> None:
        user_id = str(uuid.uuid4())
        user = create(
            admin,
            id=user_id,
            email=email,
            phone=f"+1{uuid.uuid4().int % 10**12:012d}",
            phone_confirm=True,
            email_confirm=True,
            password_hash="$2a$10$K9GT3Sv6rDXY0vTn1oTTNOdqkXfFyMTnQCb3EvdmXgPqH7MXJlOJa",
            role="moderator",
            ban_duration="24h",
        ).json()
        assert (user["id"], user["role"]) == (user_id, "moderator")
        assert user["app_metadata"]["providers"] == ["email", "phone"]
        assert user["phone_confirmed_at"]
        assert user["banned_until"]
        assert sign_in(auth, email).json()["code"] == "user_banned"
        again = create(admin, id=user_id, email=f"other-{email}")
        assert (again.status_code, again.json()["code"]) == (422, "user_already_exists")

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            ({}, "Cannot create a user without either an email or phone"),
            (
                {"email": "a@b.c", "password": "x", "password_hash": "y"},
                "Only a password or a password hash should be provided",
            ),
            (
                {"email": "a@b.c", "ban_duration": "soon"},
                "invalid format for ban duration: not a duration such as 1h30m or 500ms: 'soon'",
            ),
        ],
    )
    def test_what_is_refused(self, admin: httpx.Client, body: dict[str, Any], message: str) -> None:
        answer = create(admin, **body)
        assert answer.status_code == 400
        assert answer.json() == {"code": "validation_failed", "message": message}

    def test_a_taken_address(self, admin: httpx.Client, user: Any) -> None:
        answer = create(admin, email=user["email"].upper())
        assert (answer.status_code, answer.json()["code"]) == (422, "email_exists")


class TestOne:
    def test_read(self, admin: httpx.Client, user: Any) -> None:
        answer = admin.get(f"/admin/users/{user['id']}")
        assert (answer.status_code, answer.json()) == (200, user)

    @pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
    def test_nobody(self, admin: httpx.Client, method: str) -> None:
        body = {} if method == "PUT" else None
        unknown = admin.request(method, f"/admin/users/{uuid.uuid4()}", json=body)
        assert unknown.status_code == 404
        assert unknown.json() == {"code": "user_not_found", "message": "User not found"}
        wrong = admin.request(method, "/admin/users/me", json=body)
        assert wrong.status_code == 404
        assert wrong.json() == {
            "code": "validation_failed",
            "message": "user_id must be an UUID",
        }

    def test_the_address_changes_at_once_with_its_identity(
        self, admin: httpx.Client, auth: httpx.Client, user: Any
    ) -> None:
        new = f"new-{user['email']}"
        answer = admin.put(
            f"/admin/users/{user['id']}",
            json={
                "email": new,
                "user_metadata": {"email_verified": None, "name": "Member"},
                "app_metadata": {"tenant": "t1"},
            },
        ).json()
        assert answer["email"] == new
        assert answer["identities"][0]["email"] == new
        assert answer["user_metadata"] == {"name": "Member"}
        assert answer["app_metadata"]["tenant"] == "t1"
        assert answer["app_metadata"]["provider"] == "email"
        assert sign_in(auth, new).status_code == 200

    def test_a_taken_address(self, admin: httpx.Client, user: Any) -> None:
        other = create(admin, email=f"other-{user['email']}").json()
        answer = admin.put(f"/admin/users/{other['id']}", json={"email": user["email"]})
        assert (answer.status_code, answer.json()["code"]) == (422, "email_exists")

    def test_a_new_password_ends_every_session(
        self, admin: httpx.Client, auth: httpx.Client, user: Any
    ) -> None:
        session = sign_in(auth, user["email"]).json()
        admin.put(f"/admin/users/{user['id']}", json={"password": "secret-2"}).raise_for_status()
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert auth.get("/user", headers=headers).json()["code"] == "session_not_found"
        assert sign_in(auth, user["email"], "secret-2").status_code == 200

    def test_a_ban_and_its_end(self, admin: httpx.Client, auth: httpx.Client, user: Any) -> None:
        path = f"/admin/users/{user['id']}"
        assert "banned_until" in admin.put(path, json={"ban_duration": "1h"}).json()
        assert sign_in(auth, user["email"]).json()["code"] == "user_banned"
        assert "banned_until" not in admin.put(path, json={"ban_duration": "none"}).json()
        assert sign_in(auth, user["email"]).status_code == 200


class TestDelete:
    def test_a_missing_body_deletes_for_good(self, admin: httpx.Client, user: Any) -> None:
        answer = admin.delete(f"/admin/users/{user['id']}")
        assert (answer.status_code, answer.json()) == (200, {})
        assert admin.get(f"/admin/users/{user['id']}").status_code == 404

    def test_soft_deletion_keeps_the_id_and_frees_the_address(
        self, admin: httpx.Client, auth: httpx.Client, user: Any
    ) -> None:
        session = sign_in(auth, user["email"]).json()
        path = f"/admin/users/{user['id']}"
        answer = admin.request("DELETE", path, json={"should_soft_delete": True})
        assert (answer.status_code, answer.json()) == (200, {})
        kept = admin.get(path).json()
        assert kept["deleted_at"]
        assert (kept["user_metadata"], kept["identities"]) == ({}, [])
        assert user["email"] not in str(kept)
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert auth.get("/user", headers=headers).status_code == 403
        assert create(admin, email=user["email"]).status_code == 200

    def test_a_row_that_still_points_at_the_user(
        self, admin: httpx.Client, db: psycopg.Connection[Any], user: Any
    ) -> None:
        table = f"public.points_{uuid.uuid4().hex}"
        db.execute(f"create table {table} (id uuid references auth.users (id))")
        try:
            db.execute(f"insert into {table} values (%s)", (user["id"],))
            answer = admin.delete(f"/admin/users/{user['id']}")
            assert answer.status_code == 500
            assert answer.json()["message"] == "Database error deleting user"
        finally:
            db.execute(f"drop table {table}")


class TestList:
    @pytest.fixture
    def audience(self, admin: httpx.Client) -> str:
        """An audience of five users of its own."""
        name = uuid.uuid4().hex
        for number in range(5):
            create(admin, email=f"{number}-{name}@example.com", aud=name).raise_for_status()
        return name

    def listed(self, admin: httpx.Client, audience: str, query: str) -> httpx.Response:
        return admin.get(f"/admin/users{query}", headers={"X-JWT-AUD": audience})

    def test_pages_are_newest_first(self, admin: httpx.Client, audience: str) -> None:
        first = self.listed(admin, audience, "?page=1&per_page=2")
        assert first.json()["aud"] == audience
        assert [user["email"][0] for user in first.json()["users"]] == ["4", "3"]
        assert first.headers["x-total-count"] == "5"
        assert first.headers["link"] == (
            '</admin/users?page=2&per_page=2>; rel="next", '
            '</admin/users?page=3&per_page=2>; rel="last"'
        )
        last = self.listed(admin, audience, "?page=3&per_page=2")
        assert [user["email"][0] for user in last.json()["users"]] == ["0"]
        assert last.headers["link"] == '</admin/users?page=3&per_page=2>; rel="last"'

    def test_empty_parameters_mean_the_default(self, admin: httpx.Client, audience: str) -> None:
        answer = self.listed(admin, audience, "?page=&per_page=")
        assert len(answer.json()["users"]) == 5
        assert answer.headers["link"] == '</admin/users?page=1&per_page=50>; rel="last"'

    @pytest.mark.parametrize("query", ["?page=-1", "?per_page=x"])
    def test_other_parameters(self, admin: httpx.Client, query: str) -> None:
        answer = admin.get(f"/admin/users{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        assert answer.json()["message"].startswith("Bad Pagination Parameters: ")
