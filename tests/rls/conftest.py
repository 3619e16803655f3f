"""The people of the story, by what they are to one conversation."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest

from parley_stack.testing import clone
from support.matrix_world import World
from support.people import Person, api_key, sign_in, sign_up
from support.stacks import Stack


@dataclass(frozen=True)
class People:
    """Everybody; ``other_tenant`` shares no tenant with the rest."""

    owner: Person
    member: Person
    former_member: Person
    stranger: Person
    other_tenant: Person
    anon: Person
    service_role: Person


@dataclass(frozen=True)
class Story:
    """A group of ``owner`` and ``member``, which ``former_member`` has left; one message."""

    people: People
    conversation_id: str
    message: dict[str, object]
    db: psycopg.Connection


@pytest.fixture(scope="session")
def db(stack: Stack) -> Iterator[psycopg.Connection]:
    """The owner's view of the database: what is really there."""
    with psycopg.connect(stack.db_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def people(stack: Stack, db: psycopg.Connection) -> Iterator[People]:
    """Signed in once for all tests; each test has a conversation of its own."""
    other_tenant = sign_up(stack, "other")
    db.execute("delete from chat.tenant_members where user_id = %s", (other_tenant.id,))
    tenant_id = uuid.uuid4()
    db.execute(
        "insert into chat.tenants (id, slug, name) values (%s, %s, 'Other')",
        (tenant_id, f"other-{tenant_id.hex[:12]}"),
    )
    db.execute(
        "insert into chat.tenant_members (tenant_id, user_id) values (%s, %s)",
        (tenant_id, other_tenant.id),
    )
    made = People(
        owner=sign_in(stack, "alice@example.com"),
        member=sign_in(stack, "bob@example.com"),
        former_member=sign_in(stack, "charlie@example.com"),
        stranger=sign_up(stack, "stranger"),
        other_tenant=other_tenant,
        anon=api_key(stack, "anon"),
        service_role=api_key(stack, "service_role"),
    )
    yield made
    for person in vars(made).values():
        person.http.close()


@pytest.fixture
def story(people: People, db: psycopg.Connection) -> Story:
    """A conversation that only this test knows."""
    group = people.owner.call(
        "start_group", title="Story", user_ids=[people.member.id, people.former_member.id]
    )
    message = people.owner.call("send_message", conversation_id=group["id"], body="for members")
    db.execute(
        "update chat.participants set left_at = now() where conversation_id = %s and user_id = %s",
        (group["id"], people.former_member.id),
    )
    return Story(people, group["id"], message, db)


@pytest.fixture
def newcomer(stack: Stack) -> Iterator[Person]:
    """Somebody new in the tenant, for tests that change them."""
    person = sign_up(stack, "newcomer")
    yield person
    person.http.close()


@pytest.fixture(scope="session")
def world(stack: Stack, database_template: str) -> Iterator[World]:
    """The world of the matrix. Whoever uses it leaves it as it was."""
    with clone(stack, database_template) as database:
        yield World(database)
