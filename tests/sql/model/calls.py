"""The operations of the model test: for each its SQL, and what the reference model says of it.

An operation is made from five small numbers, so that hypothesis can shrink them; what they stand
for depends on what there is: the newest message, one of those who take part.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from .things import Room
from .world import World


class Call(NamedTuple):
    """One call by ``actor`` (None: the owner of the database), and what the model does for it.

    ``apply`` is given the database's answer, for ids that the database chose; it returns the
    answer that is right, or None where there is none to compare, or raises ``Refused``.
    """

    actor: str | None
    sql: str
    args: dict[str, Any]
    apply: Callable[[Any], Any]
    room: Room | None = None


@dataclass(frozen=True)
class Draw:
    """The numbers of one step, and what they stand for."""

    world: World
    who: int
    where: int
    what: int
    which: int
    number: int  # of the step

    def user(self, pick: int | None = None) -> str:
        """Anybody who has an account."""
        users = sorted(self.world.users)
        return users[(self.who if pick is None else pick) % len(users)]

    def room(self) -> Room:
        """A conversation, most likely one of the first."""
        rooms = list(self.world.rooms.values())
        return rooms[self.where % len(rooms)]

    def person(self, room: Room) -> str:
        """Mostly somebody who takes part; now and then whoever."""
        active = sorted(p.user for p in room.active())
        return self.user() if self.who >= 10 or not active else active[self.who % len(active)]

    def tenant(self) -> str:
        """One of the two."""
        return list(self.world.tenants)[self.where % 2]

    def seq(self, room: Room) -> int:
        """Mostly one of the newest messages; 0 is the next, which there is not yet."""
        return room.last_seq + 1 - (self.what + 1) % 10

    def is_it(self, bit: int) -> bool:
        """A coin, of which ``which`` (up to 15) has four."""
        return bool(self.which >> bit & 1)

    def new_id(self, what: str) -> str:
        """An id that no other step chooses."""
        return f"{self.number:08x}-0000-4000-{what}000-000000000000"


Operation = Callable[[Draw], Call]
OPERATIONS: dict[str, Operation] = {}
DECK: list[str] = []


def operation(weight: int) -> Callable[[Operation], Operation]:
    """Registers an operation, to be drawn this often."""

    def register(make: Operation) -> Operation:
        OPERATIONS[make.__name__] = make
        DECK.extend([make.__name__] * weight)
        return make

    return register
