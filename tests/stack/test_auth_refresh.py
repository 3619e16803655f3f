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
REFRESH = "/token?grant_type=refresh_token"
USED = {"code": "refresh_token_already_used", "message": "Invalid Refresh Token: Already Used"}


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


def refresh(auth: httpx.Client, token: str) -> httpx.Response:
    return auth.post(REFRESH, json={"refresh_token": token})


def renewed(auth: httpx.Client, token: str) -> str:
    answer = refresh(auth, token).raise_for_status().json()
    assert answer["refresh_token"] != token
    return str(answer["refresh_token"])


def pass_time(db: psycopg.Connection[Any], session: Any) -> None:
    """Let every token of the session have been used longer ago than the reuse interval."""
    db.execute(
        """update auth.refresh_tokens set updated_at = updated_at - interval '1 minute'
        where user_id = %s""",
        (session["user"]["id"],),
    )


def claims_of(answer: Any) -> Any:
    return jwt.decode(answer["access_token"], options={"verify_signature": False})


def test_a_token_is_swapped_for_its_child_in_the_same_session(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    answer = refresh(auth, session["refresh_token"]).json()
    before, after = claims_of(session), claims_of(answer)
    assert after["session_id"] == before["session_id"]
    assert after["amr"] == before["amr"]
    rows = db.execute(
        "select token, parent, revoked from auth.refresh_tokens where user_id = %s order by id",
        (session["user"]["id"],),
    ).fetchall()
    assert rows == [
        (session["refresh_token"], None, True),
        (answer["refresh_token"], session["refresh_token"], False),
    ]


def test_refreshing_brings_changed_metadata_into_the_token(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    db.execute(
        "update auth.users set raw_app_meta_data = %s where id = %s",
        ('{"tenant": "t2"}', session["user"]["id"]),
    )
    answer = refresh(auth, session["refresh_token"]).json()
    assert claims_of(answer)["app_metadata"] == {"tenant": "t2"}


def test_the_parent_of_the_active_token_gives_that_token_again_however_late(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    child = renewed(auth, session["refresh_token"])
    pass_time(db, session)
    assert refresh(auth, session["refresh_token"]).json()["refresh_token"] == child
    assert refresh(auth, session["refresh_token"]).json()["refresh_token"] == child
    assert renewed(auth, child)


def test_a_token_used_again_within_the_interval_is_swapped(
    auth: httpx.Client, session: Any
) -> None:
    first = session["refresh_token"]
    grandchild = renewed(auth, renewed(auth, first))
    sibling = renewed(auth, first)
    assert sibling != grandchild
    assert refresh(auth, sibling).status_code == 200


def test_reuse_ends_the_whole_family(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    first = session["refresh_token"]
    second = renewed(auth, first)
    third = renewed(auth, second)
    pass_time(db, session)
    answer = refresh(auth, first)
    assert (answer.status_code, answer.json()) == (400, USED)
    live = db.execute(
        "select count(*) from auth.refresh_tokens where user_id = %s and not revoked",
        (session["user"]["id"],),
    ).fetchone()
    assert live == (0,)
    # The newest ones were revoked a moment ago; that opens no interval.
    assert [refresh(auth, token).json() for token in (third, second, first)] == [USED] * 3


def test_reuse_ends_no_other_session(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    body = {"email": session["user"]["email"], "password": "secret-1"}
    other = auth.post("/token?grant_type=password", json=body).json()
    renewed(auth, renewed(auth, session["refresh_token"]))
    pass_time(db, session)
    assert refresh(auth, session["refresh_token"]).json() == USED
    assert refresh(auth, other["refresh_token"]).status_code == 200


async def test_two_tabs_refreshing_at_once_both_succeed(stack: Any, session: Any) -> None:
    body = {"refresh_token": session["refresh_token"]}
    headers = {"apikey": stack.publishable_key, **VERSION}
    async with httpx.AsyncClient(base_url=f"{stack.api_url}/auth/v1", headers=headers) as auth:
        answers = await asyncio.gather(*(auth.post(REFRESH, json=body) for _ in range(6)))
    assert [answer.status_code for answer in answers] == [200] * 6
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_a_request_that_waits_for_a_sign_out_finds_no_session(
    auth: httpx.Client, stack: Any, session: Any
) -> None:
    """Sign-out has deleted the session but not committed when the refresh arrives."""

    async def both() -> httpx.Response:
        connection = await psycopg.AsyncConnection.connect(stack.db_url)
        base = f"{stack.api_url}/auth/v1"
        async with connection, httpx.AsyncClient(base_url=base, headers=auth.headers) as client:
            await connection.execute(
                "delete from auth.sessions where user_id = %s", (session["user"]["id"],)
            )
            body = {"refresh_token": session["refresh_token"]}
            pending = asyncio.create_task(client.post(REFRESH, json=body))
            await until_someone_waits(stack.db_url)
            await connection.commit()
            return await pending

    answer = asyncio.run(both())
    assert answer.status_code == 400
    assert answer.json()["code"] in {"session_not_found", "refresh_token_not_found"}


async def until_someone_waits(db_url: str) -> None:
    query = """select exists (
        select from pg_stat_activity
        where wait_event_type = 'Lock' and query like '%%auth.sessions%%'
    )"""
    connection = await psycopg.AsyncConnection.connect(db_url, autocommit=True)
    async with connection, asyncio.timeout(10):
        while (await (await connection.execute(query)).fetchone()) != (True,):
            pass


def test_a_session_that_is_gone(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    db.execute("delete from auth.sessions where user_id = %s", (session["user"]["id"],))
    answer = refresh(auth, session["refresh_token"])
    assert (answer.status_code, answer.json()["code"]) == (400, "refresh_token_not_found")


def test_a_token_without_a_session(
    auth: httpx.Client, db: psycopg.Connection[Any], session: Any
) -> None:
    db.execute(
        "update auth.refresh_tokens set session_id = null where token = %s",
        (session["refresh_token"],),
    )
    answer = refresh(auth, session["refresh_token"])
    assert answer.json() == {
        "code": "session_not_found",
        "message": "Invalid Refresh Token: No Valid Session Found",
    }


def test_a_banned_user(auth: httpx.Client, db: psycopg.Connection[Any], session: Any) -> None:
    db.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = %s",
        (session["user"]["id"],),
    )
    answer = refresh(auth, session["refresh_token"])
    assert answer.json() == {
        "code": "user_banned",
        "message": "Invalid Refresh Token: User Banned",
    }


@pytest.mark.parametrize(
    ("token", "answer"),
    [
        ("short", {"code": "validation_failed", "message": "Refresh token is not valid"}),
        ("has a space", {"code": "validation_failed", "message": "Refresh token is not valid"}),
        (
            "unknown00000",
            {
                "code": "refresh_token_not_found",
                "message": "Invalid Refresh Token: Refresh Token Not Found",
            },
        ),
        ("", {"error": "invalid_request", "error_description": "refresh_token required"}),
        (None, {"error": "invalid_request", "error_description": "refresh_token required"}),
    ],
)
def test_what_is_no_token(auth: httpx.Client, token: str | None, answer: dict[str, str]) -> None:
    response = auth.post(REFRESH, json={"refresh_token": token})
    assert (response.status_code, response.json()) == (400, answer)
