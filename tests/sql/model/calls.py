"""The form of the model test's operations: a call of the database, then what is right.

An operation is made from a few small numbers, so that hypothesis can shrink them; what they stand
for depends on what there is: the newest message, one of those who take part.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, NamedTuple

from .state import Participant, Room
from .world import World


class Call(NamedTuple):
    """A statement as ``actor`` (None: the owner of the database), about ``room`` or anything."""

    actor: str | None
    sql: str
    args: dict[str, Any]
    room: Room | None = None


# Yields its call and is sent the answer, for ids that the database chose. What follows is the
# specification: it raises ``Refused`` before it changes anything, or changes the world and returns
# the answer that is right, as far as it is to be compared.
Operation = Generator[Call, Any, Any]
OPERATIONS: dict[str, Callable[[Draw], Operation]] = {}
# Each operation as often as its weight says.
DECK: list[str] = []


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

    def person(self) -> tuple[Room, str]:
        """A conversation and mostly somebody who takes part; now and then whoever."""
        room = self.room()
        active = sorted(p.user for p in room.active())
        if self.who == 15 or not active:
            return room, self.user()
        return room, active[self.who % len(active)]

    def other(self) -> str:
        """Mostly somebody else who takes part."""
        return self.mostly({p.user for p in self.room().active()}, self.user(self.what))

    def tenant(self) -> str:
        """One of the two."""
        return list(self.world.tenants)[self.where % 2]

    def seq(self) -> int:
        """Mostly one of the newest messages; now and then the next, which there is not yet."""
        last = self.room().last_seq
        back = self.what % 10
        return last + 1 if back == 9 or last == 0 else last - back % last

    def mostly(self, known: Any, otherwise: Any) -> Any:
        """One of these, where there are any; now and then something else."""
        return sorted(known)[self.what % len(known)] if known and self.which < 12 else otherwise

    def is_it(self, bit: int) -> bool:
        """A coin, of which ``which`` (up to 15) has four."""
        return bool(self.which >> bit & 1)

    def new_id(self, what: str) -> str:
        """An id that no other step chooses."""
        return f"{self.number:08x}-0000-4000-{what}000-000000000000"


def operation(weight: int) -> Callable[[Callable[[Draw], Operation]], Callable[[Draw], Operation]]:
    """Registers an operation, to be drawn this often."""

    def register(make: Callable[[Draw], Operation]) -> Callable[[Draw], Operation]:
        OPERATIONS[make.__name__] = make
        DECK.extend([make.__name__] * weight)
        return make

    return register


def call(actor: str, function: str, room: Room | None = None, **args: Any) -> Call:
    """A call of a function of schema chat, about a conversation or not."""
    if room is not None:
        args = {"conversation_id": room.id, **args}
    named = ", ".join(f"{name} => %({name})s" for name in args)
    return Call(actor, f"select to_jsonb(f) from chat.{function}({named}) as f", args, room)


def taking_part(room: Room, user: str) -> Participant | None:
    """Somebody, if they take part now."""
    person = room.people.get(user)
    return person if person is not None and person.left_at is None else None
