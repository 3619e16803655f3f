"""Schema auth as applications use it: claims, grants, routes that do not exist."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

VERSION = {"X-Supabase-Api-Version": "2024-01-01"}
USER = str(uuid.UUID(int=1))


@pytest.fixture
def db(stack: Any) -> Iterator[psycopg.Connection[Any]]:
    """A transaction as postgres that is rolled back."""
    with psycopg.connect(stack.db_url) as connection, connection.transaction(force_rollback=True):
        yield connection


def claim(db: psycopg.Connection[Any], name: str, value: str) -> None:
    db.execute("select set_config(%s, %s, true)", (name, value))


def read(db: psycopg.Connection[Any], expression: str) -> Any:
    row = db.execute(f"select {expression}").fetchone()
    assert row is not None
    return row[0]


def test_outside_a_request_all_is_null(db: psycopg.Connection[Any]) -> None:
    for name in ("uid", "role", "email", "jwt"):
        assert read(db, f"auth.{name}()") is None


def test_claims_are_read_from_json(db: psycopg.Connection[Any]) -> None:
    claims = {"sub": USER, "role": "authenticated", "email": "owner@example.com"}
    claim(db, "request.jwt.claims", json.dumps(claims))
    assert str(read(db, "auth.uid()")) == USER
    assert read(db, "auth.role()") == "authenticated"
    assert read(db, "auth.email()") == "owner@example.com"
    assert read(db, "auth.jwt()") == claims


def test_a_single_claim_comes_first_and_empty_counts_as_absent(
    db: psycopg.Connection[Any],
) -> None:
    other = str(uuid.UUID(int=2))
    claim(db, "request.jwt.claims", json.dumps({"sub": USER}))
    claim(db, "request.jwt.claim.sub", other)
    assert str(read(db, "auth.uid()")) == other
    claim(db, "request.jwt.claim.sub", "")
    assert str(read(db, "auth.uid()")) == USER
    claim(db, "request.jwt.claims", "")
    assert read(db, "auth.uid()") is None


def test_a_subject_that_is_no_uuid_raises(db: psycopg.Connection[Any]) -> None:
    claim(db, "request.jwt.claims", json.dumps({"sub": "1234567890"}))
    with pytest.raises(psycopg.errors.InvalidTextRepresentation), db.transaction():
        read(db, "auth.uid()")


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
def test_api_roles_may_ask_who_calls_and_read_no_table(
    db: psycopg.Connection[Any], role: str
) -> None:
    db.execute(f"set local role {role}")
    claim(db, "request.jwt.claims", json.dumps({"sub": USER}))
    assert str(read(db, "auth.uid()")) == USER
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="table users"):
        db.execute("select from auth.users")


def test_every_table_has_row_security_and_one_owner(db: psycopg.Connection[Any]) -> None:
    rows = db.execute(
        """select relname, relrowsecurity, relowner::regrole::text from pg_catalog.pg_class
        where relnamespace = 'auth'::regnamespace and relkind = 'r'"""
    ).fetchall()
    assert len(rows) >= 12
    wrong = [row for row in rows if row[1:] != (True, "supabase_auth_admin")]
    assert wrong == []


def test_migrations_may_use_the_schema(db: psycopg.Connection[Any]) -> None:
    db.execute(
        """
        create table public.auth_probe (user_id uuid references auth.users on delete cascade);
        create function public.auth_probe() returns trigger language plpgsql
        as $$ begin return new; end $$;
        create trigger auth_probe after insert on auth.users
        for each row execute function public.auth_probe();
        create policy auth_probe on auth.users using (true);
        select count(*) from auth.users
        """
    )


def test_the_email_of_an_identity_is_generated(db: psycopg.Connection[Any]) -> None:
    db.execute("insert into auth.users (id) values (%s)", (USER,))
    row = db.execute(
        """insert into auth.identities (user_id, provider_id, provider, identity_data)
        values (%s, %s, 'email', '{"email": "Owner@Example.com"}') returning email""",
        (USER, USER),
    ).fetchone()
    assert row == ("owner@example.com",)


class TestRoutes:
    @pytest.fixture
    def auth(self, stack: Any) -> Iterator[httpx.Client]:
        headers = {"apikey": stack.publishable_key}
        with httpx.Client(base_url=f"{stack.api_url}/auth/v1", headers=headers) as client:
            yield client

    def test_health_needs_no_key(self, stack: Any) -> None:
        answer = httpx.get(f"{stack.api_url}/auth/v1/health")
        assert (answer.status_code, answer.json()["name"]) == (200, "GoTrue")

    def test_head_is_not_allowed(self, auth: httpx.Client) -> None:
        assert auth.head("/health").status_code == 405

    def test_an_unknown_path(self, auth: httpx.Client) -> None:
        assert auth.get("/nowhere", headers=VERSION).json()["code"] == "not_found"
        old = auth.get("/nowhere")
        assert (old.status_code, old.json()["code"]) == (404, 404)

    @pytest.mark.parametrize("content", ["", "{", "[]", '"text"', '{"email": 1}', "\xff"])
    def test_a_body_that_is_no_object(self, auth: httpx.Client, content: str) -> None:
        answer = auth.post("/signup", content=content.encode("latin-1"), headers=VERSION)
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
        assert answer.json()["message"].startswith("Could not parse request body as JSON: ")

    def test_a_body_over_the_limit(self, auth: httpx.Client) -> None:
        body = {"email": "a@b.c", "password": "secret-1", "data": {"x": "y" * (1 << 20)}}
        answer = auth.post("/signup", json=body, headers=VERSION)
        assert answer.status_code == 413
        assert answer.json()["code"] == "request_entity_too_large"
