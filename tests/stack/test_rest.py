"""PostgREST as a hosted project has it: configured in the database, open without a key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import psycopg
import pytest

from parley_stack.testing import Stack
from support.stacks import eventually

SETTINGS = ("db_schemas", "db_plan_enabled", "db_aggregates_enabled", "db_tx_end")


@pytest.fixture
def rest(notes: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{notes.api_url}/rest/v1") as client:
        yield client


def test_the_owner_configures_postgrest_in_the_database(notes: Stack, rest: httpx.Client) -> None:
    plan = {"Accept": "application/vnd.pgrst.plan+json"}
    rollback = {"Prefer": "tx=rollback, return=representation"}
    hidden = {"Accept-Profile": "hidden"}
    assert rest.get("/notes", headers=plan).status_code == 415
    assert rest.get("/notes?select=count()").json()["code"] == "PGRST123"
    assert rest.get("/things", headers=hidden).json()["code"] == "PGRST106"

    with psycopg.connect(notes.db_url, autocommit=True) as owner:
        owner.execute("create schema hidden")
        owner.execute("create table hidden.things (id int)")
        owner.execute("grant usage on schema hidden to anon; grant select on hidden.things to anon")
        for name, value in zip(
            SETTINGS, ("public, hidden", "true", "true", "commit-allow-override"), strict=True
        ):
            owner.execute(f"alter role authenticator set pgrst.{name} = '{value}'".encode())
        owner.execute("notify pgrst, 'reload config'")
        owner.execute("notify pgrst, 'reload schema'")
        eventually(lambda: rest.get("/things", headers=hidden).status_code == 200)
        assert rest.get("/notes", headers=plan).json()[0]["Plan"]
        assert rest.get("/notes?select=count()").json() == [{"count": 1}]
        added = rest.post("/notes", json={"body": "not kept"}, headers=rollback)
        assert (added.status_code, added.json()[0]["body"]) == (201, "not kept")
        assert [row["body"] for row in rest.get("/notes").json()] == ["seeded"]

        for name in SETTINGS:
            owner.execute(f"alter role authenticator reset pgrst.{name}".encode())
        owner.execute("notify pgrst, 'reload config'")
        eventually(lambda: rest.get("/notes", headers=plan).status_code == 415)


def test_no_key_is_demanded(notes: Stack, rest: httpx.Client) -> None:
    assert rest.get("/notes").status_code == 200
    assert httpx.get(f"{notes.api_url}/auth/v1/settings").status_code == 200
    body = {"email": "owner@example.com", "password": "secret-1"}
    assert httpx.post(f"{notes.api_url}/auth/v1/signup", json=body).status_code == 200


def test_what_migrations_make_in_public_is_open_and_extensions_are_found(notes: Stack) -> None:
    with psycopg.connect(notes.db_url) as owner:
        owner.execute(
            "create table public.made (id uuid default uuid_generate_v4(), at timestamptz)"
        )
        owner.execute("create sequence public.counter")
        owner.execute("create function public.answer() returns int language sql return 42")
        for role in ("anon", "authenticated", "service_role"):
            owner.execute(f"set local role {role}".encode())
            owner.execute("insert into public.made (at) values (now())")
            assert owner.execute("select nextval('public.counter'), public.answer()").fetchone()
            owner.execute("reset role")
        found = owner.execute(
            "select extname from pg_extension where extnamespace = 'extensions'::regnamespace"
        ).fetchall()
        assert {("uuid-ossp",), ("pgcrypto",)} <= set(found)
        assert owner.execute("select crypt('a', gen_salt('bf')) is not null").fetchone() == (True,)


def test_times_are_rfc_3339(notes: Stack, rest: httpx.Client) -> None:
    with psycopg.connect(notes.db_url, autocommit=True) as owner:
        owner.execute(
            "create function public.moment() returns timestamptz language sql "
            "return timestamptz '2026-01-02 03:04:05.5+02'"
        )
    eventually(lambda: rest.get("/rpc/moment").status_code == 200)
    assert rest.get("/rpc/moment").json() == "2026-01-02T01:04:05.5+00:00"


def test_seeds_may_turn_triggers_off(notes: Stack) -> None:
    with psycopg.connect(notes.db_url) as owner:
        owner.execute("set session_replication_role = replica")
