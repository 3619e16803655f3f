"""Throw-away databases, cloned from a template in milliseconds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from parley_stack.database import install_platform

from .stacks import Stack


def conninfo(stack: Stack, user: str, database: str) -> str:
    """A libpq string for a database of the stack's server."""
    return psycopg.conninfo.make_conninfo(stack.db_url, user=user, dbname=database)


def migrate(connection: psycopg.Connection, workdir: Path) -> None:
    """Runs every migration of a project, each in a transaction of its own."""
    for path in sorted((workdir / "supabase" / "migrations").glob("*.sql")):
        with connection.transaction():
            connection.execute(path.read_text(encoding="utf-8").encode())


@dataclass(frozen=True)
class Database:
    """A database of one test. ``owner`` is a connection as postgres, in autocommit."""

    url: str = field(repr=False)
    owner: psycopg.Connection

    def user(self, name: str) -> str:
        """The id of a new user, ``name@example.com``; ``name`` is their ``username`` too."""
        user_id = str(uuid.uuid4())
        self.owner.execute(
            "insert into auth.users (id, instance_id, aud, role, email, raw_user_meta_data) "
            "values (%s, '00000000-0000-0000-0000-000000000000', 'authenticated', "
            "'authenticated', %s, %s)",
            (user_id, f"{name}@example.com", json.dumps({"username": name})),
        )
        return user_id

    def connect(
        self, user_id: str | None = None, *, role: str = "authenticated", **claims: object
    ) -> psycopg.Connection:
        """A new connection that acts as PostgREST would for this user."""
        connection = psycopg.connect(self.url, autocommit=True)
        act_as(connection, user_id, role=role, **claims)
        return connection

    @contextmanager
    def acting(
        self, user_id: str | None, *, role: str = "authenticated", **claims: object
    ) -> Iterator[psycopg.Connection]:
        """A connection as a user, closed at the end."""
        with self.connect(user_id, role=role, **claims) as connection:
            yield connection


def act_as(
    connection: psycopg.Connection, user_id: str | None, *, role: str, **claims: object
) -> None:
    """Sets role and claims as PostgREST does, for the rest of the session."""
    all_claims = {"role": role, **({"sub": user_id} if user_id else {}), **claims}
    connection.execute(
        "select set_config('request.jwt.claims', %s, false), set_config('role', %s, false)",
        (json.dumps(all_claims), role),
    )


def make_template(stack: Stack, workdir: Path, name: str) -> None:
    """A database with platform and migrations, and nothing else, that nobody connects to.

    Raises psycopg.Error when a migration fails.
    """
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("create database {} template template0 owner postgres").format(
                sql.Identifier(name)
            )
        )
    install_platform(
        conninfo(stack, "supabase_admin", name), jwt_secret=stack.jwt_secret, jwt_expiry=3600
    )
    with psycopg.connect(conninfo(stack, "postgres", name), autocommit=True) as connection:
        migrate(connection, workdir)


@contextmanager
def clone(stack: Stack, template: str) -> Iterator[Database]:
    """A copy of ``template``, dropped at the end."""
    name = f"test_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(conninfo(stack, "supabase_admin", "postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} owner postgres strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
        url = conninfo(stack, "postgres", name)
        try:
            with psycopg.connect(url, autocommit=True) as owner:
                yield Database(url, owner)
        finally:
            admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
