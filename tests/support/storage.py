"""Buckets of one's own, policies on them, and clients that speak the Storage wire format."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from .realtime_sockets import user_token
from .stacks import Stack

RULE = {"insert": "with check", "update": "using", "select": "using", "delete": "using"}
EVERYTHING = dict.fromkeys(RULE, "true")


def storage_client(stack: Stack, token: str | None) -> httpx.Client:
    """For paths below ``/storage/v1``; ``token`` None: without credentials."""
    headers = {}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}".strip()
        if token.startswith("sb_"):
            headers["apikey"] = token
    return httpx.Client(base_url=f"{stack.api_url}/storage/v1", headers=headers, timeout=20)


def user_client(stack: Stack, user_id: str | None = None) -> httpx.Client:
    """As a signed-in user."""
    return storage_client(stack, user_token(stack, sub=user_id or str(uuid.uuid4())))


@contextmanager
def temporary_bucket(stack: Stack, **settings: object) -> Iterator[str]:
    """The name of a new bucket, private unless it says otherwise; gone at the end."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    with storage_client(stack, stack.secret_key) as http:
        made = http.post("/bucket", json={"name": name, **settings})
        assert made.status_code == 200, made.text
        try:
            yield name
        finally:
            assert http.post(f"/bucket/{name}/empty").status_code == 200
            assert http.delete(f"/bucket/{name}").status_code == 200


@contextmanager
def object_policies(
    stack: Stack, bucket: str, rules: Mapping[str, str], *, role: str = "authenticated"
) -> Iterator[None]:
    """Policies on the objects of one bucket: a rule for each command."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        for command, rule in rules.items():
            connection.execute(
                sql.SQL(
                    "create policy {} on storage.objects for {} to {} {} (bucket_id = {} and ({}))"
                ).format(
                    sql.Identifier(f"test {bucket} {command}"),
                    sql.SQL(command),
                    sql.Identifier(role),
                    sql.SQL(RULE[command]),
                    sql.Literal(bucket),
                    sql.SQL(rule),
                )
            )
        try:
            yield
        finally:
            for command in rules:
                connection.execute(
                    sql.SQL("drop policy {} on storage.objects").format(
                        sql.Identifier(f"test {bucket} {command}")
                    )
                )


def error_of(response: httpx.Response, http_status: int = 400) -> tuple[str, str, str]:
    """``statusCode``, ``error`` and ``message`` of a refusal, which must have its shape."""
    assert response.status_code == http_status, (response.status_code, response.text)
    body = response.json()
    assert set(body) == {"statusCode", "error", "message", "code"}
    assert all(isinstance(value, str) for value in body.values())
    return body["statusCode"], body["error"], body["message"]


def files_of(folder: Path) -> set[Path]:
    """Everything on disk that is, or may become, an object's bytes."""
    return {
        path for path in folder.rglob("*") if path.is_file() and path.parent.name != "resumable"
    }
