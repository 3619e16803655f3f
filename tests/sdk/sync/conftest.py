"""People with synchronous clients of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest

from parley import Conversation, Parley
from support.stacks import Stack

PASSWORD = "parley-demo"


@dataclass(frozen=True)
class Person:
    """A fresh user, signed in."""

    id: uuid.UUID
    username: str
    email: str
    parley: Parley


People = Callable[..., Person]


@pytest.fixture
def people(stack: Stack) -> Iterator[People]:
    """Makes a fresh user whose username begins with a name."""
    made: list[Parley] = []
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.service_role_key}"}
    with httpx.Client(base_url=stack.api_url, headers=headers, timeout=20) as admin:

        def make(name: str) -> Person:
            username = f"{name}_{uuid.uuid4().hex[:12]}"
            email = f"{username}@example.com"
            about = {"email": email, "password": PASSWORD, "email_confirm": True}
            user_metadata = {"username": username}
            answer = admin.post(
                "/auth/v1/admin/users", json={**about, "user_metadata": user_metadata}
            )
            assert answer.status_code == 200, answer.text
            parley = Parley(stack.api_url, stack.publishable_key)
            made.append(parley)
            user = parley.auth.sign_in_with_password(email, PASSWORD)
            return Person(user.id, username, email, parley)

        yield make
        for parley in made:
            parley.close()


@dataclass(frozen=True)
class Room:
    """A direct conversation, as either of its two sees it."""

    alice: Person
    bob: Person
    as_alice: Conversation
    as_bob: Conversation


@pytest.fixture
def room(people: People) -> Room:
    """Alice and Bob, who can talk."""
    alice, bob = people("alice"), people("bob")
    as_alice = alice.parley.conversations.start_direct(bob.username)
    return Room(alice, bob, as_alice, bob.parley.conversations.get(as_alice.id))
