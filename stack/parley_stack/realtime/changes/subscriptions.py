"""Who subscribes to what. Equal subscriptions of equal claims are one, however many channels share
it: PostgreSQL keeps one row for all, and judges once.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from parley_stack.keys import Claims

from .bindings import Binding
from .judge import Request


class Listener(Protocol):
    """A channel that is told of changes."""

    def resubscribed(self, error: str | None) -> None:
        """The subscription was made anew, or could not be."""

    def tell(self, ids: tuple[int, ...], data: bytes, frames: dict[object, bytes]) -> None:
        """A change for the bindings with ``ids``; ``frames`` is for reuse between channels."""


@dataclass(slots=True, eq=False)
class Shared:
    """One row (or one a table) of realtime.subscription, and the binding ids of its channels."""

    request: Request
    entities: frozenset[int] = frozenset()
    members: dict[Listener, set[int]] = field(default_factory=dict)


_Key = tuple[Binding, str]


class Subscriptions:
    """The index. Nothing here waits."""

    def __init__(self) -> None:
        self._by_key: dict[_Key, Shared] = {}
        self._by_id: dict[uuid.UUID, Shared] = {}
        self._entities: Counter[int] = Counter()
        self._keys: dict[Listener, set[_Key]] = {}
        self._unused: set[_Key] = set()

    def __bool__(self) -> bool:
        return bool(self._by_id)

    def is_wanted(self, entity: int) -> bool:
        """Whether anyone subscribes to the table with this oid."""
        return entity in self._entities

    def missing(self, bindings: Iterable[Binding], claims: Claims) -> list[Request]:
        """What has to be made for these bindings."""
        text = json.dumps(claims, sort_keys=True)
        wanted = dict.fromkeys((binding, text) for binding in bindings)
        return [Request(uuid.uuid4(), *key) for key in wanted if key not in self._by_key]

    def requests(self) -> list[Request]:
        """All there are."""
        return [shared.request for shared in self._by_id.values()]

    def add(self, request: Request, entities: frozenset[int]) -> None:
        """A subscription was made."""
        shared = Shared(request)
        self._by_key[request.binding, request.claims] = self._by_id[request.id] = shared
        self.moved(request.id, entities)

    def moved(self, subscription: uuid.UUID, entities: frozenset[int]) -> bool:
        """A subscription is to these tables now; whether they are others than before."""
        shared = self._by_id[subscription]
        if shared.entities == entities:
            return False
        self._entities -= Counter(shared.entities)
        shared.entities = entities
        self._entities += Counter(entities)
        return True

    def join(
        self, listener: Listener, bindings: Sequence[tuple[int, Binding]], claims: Claims
    ) -> None:
        """Make ``listener`` a member of these (they exist), and of no other."""
        text = json.dumps(claims, sort_keys=True)
        self.leave(listener)
        keys = self._keys[listener] = {(binding, text) for _, binding in bindings}
        for number, binding in bindings:
            self._by_key[binding, text].members.setdefault(listener, set()).add(number)
        self._unused -= keys

    def leave(self, listener: Listener) -> None:
        """Make ``listener`` a member of none."""
        for key in self._keys.pop(listener, ()):
            members = self._by_key[key].members
            del members[listener]
            if not members:
                self._unused.add(key)

    def take_unused(self) -> list[uuid.UUID]:
        """Forget what has no member; their ids."""
        ids = []
        for key in self._unused:
            shared = self._by_key.pop(key)
            self.moved(shared.request.id, frozenset())
            del self._by_id[shared.request.id]
            ids.append(shared.request.id)
        self._unused.clear()
        return ids

    def of(self, subscription: uuid.UUID) -> Shared | None:
        """The subscription with an id, if it is still there."""
        return self._by_id.get(subscription)

    def listeners(self, subscriptions: Collection[uuid.UUID]) -> set[Listener]:
        """The members of these."""
        return {
            listener
            for subscription in subscriptions
            if (shared := self._by_id.get(subscription))
            for listener in shared.members
        }
