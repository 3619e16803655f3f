"""Databases as projects have them before Parley."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from parley_stack.database import install_platform
from support.databases import Database, clone, conninfo
from support.stacks import Stack


@pytest.fixture(scope="session")
def bare_template(stack: Stack) -> str:
    """Name of what ``bare`` is cloned from."""
    name = f"bare_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(conninfo(stack, "supabase_admin", "postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template template0 owner postgres").format(
                sql.Identifier(name)
            )
        )
    install_platform(
        conninfo(stack, "supabase_admin", name), jwt_secret=stack.jwt_secret, jwt_expiry=3600
    )
    return name


@pytest.fixture
def bare(stack: Stack, bare_template: str) -> Iterator[Database]:
    """A database of the test's own, with the platform alone."""
    with clone(stack, bare_template) as made:
        yield made
