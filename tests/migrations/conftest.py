"""Databases as projects have them before Parley."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from drift_catalogue import Catalogue
from migration_files import RECORDS, read_files
from psycopg import sql
from scratch import add_cron

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


@pytest.fixture(scope="session")
def installed_template(stack: Stack, bare_template: str) -> str:
    """Name of what ``installed`` is cloned from."""
    name = f"installed_{uuid.uuid4().hex[:16]}"
    with psycopg.connect(conninfo(stack, "supabase_admin", "postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {} owner postgres").format(
                sql.Identifier(name), sql.Identifier(bare_template)
            )
        )
    with psycopg.connect(conninfo(stack, "postgres", name), autocommit=True) as connection:
        add_cron(connection)
        connection.execute(RECORDS.encode())
        for migration in read_files():
            migration.apply(connection)
            connection.execute(migration.record().encode())
    return name


@pytest.fixture
def installed(stack: Stack, installed_template: str) -> Iterator[Database]:
    """A database as the Supabase CLI leaves it: pg_cron, the migrations and their records."""
    with clone(stack, installed_template) as made:
        yield made


@pytest.fixture(scope="session")
def wanted(stack: Stack, installed_template: str) -> Iterator[Catalogue]:
    """What ``installed`` is before anything happens to it."""
    with clone(stack, installed_template) as made:
        yield Catalogue(made.owner)
