"""Who is in which conversation, and how much was said there: numbers, made the same every time.

People and conversations have numbers from 1 on, and ids made of them. Person 1 is the power user;
conversation 1 is the largest. After those of the Zipf distribution come the big group, of which
everybody up to ``Scale.big_group`` is a member, and the hall: 200 rooms of 10 for senders.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from .scales import Scale

POWER_USER = 1
LARGE_ROOM = 1
HALL_ROOMS = 200
HALL_MEMBERS = 10


def person(number: int) -> str:
    """The id of a person."""
    return f"00000000-0000-4000-9000-{number:012x}"


def room(number: int) -> str:
    """The id of a conversation."""
    return f"00000000-0000-4000-a000-{number:012x}"


@dataclass
class Room:
    """One conversation: its members' numbers and how many messages it has."""

    number: int
    members: list[int]
    size: int
    sent: int = 0
    """Messages written so far, while loading."""
    last_mention: int = 0
    tail: list[int] = field(default_factory=list)
    """Who sent the newest messages, by place among the members."""

    @property
    def id(self) -> str:
        """Its id in the database."""
        return room(self.number)

    @property
    def is_direct(self) -> bool:
        """Whether it is of two people."""
        return len(self.members) == 2


@dataclass(frozen=True)
class Town:
    """All conversations of a scale."""

    scale: Scale
    rooms: list[Room]

    @property
    def big_group(self) -> Room:
        """The group of a thousand."""
        return self.rooms[self.scale.conversations]

    @property
    def hall(self) -> list[Room]:
        """Rooms for senders; a user of the hall is in ten of them."""
        return self.rooms[self.scale.conversations + 1 :]

    @property
    def own_rooms(self) -> list[Room]:
        """The power user's, the largest first."""
        return [made for made in self.rooms if POWER_USER in made.members]


def hall_user(scale: Scale, place: int) -> int:
    """A person of the hall, who is in the rooms ``place`` to ``place + 9``."""
    return scale.users - HALL_ROOMS + place % HALL_ROOMS + 1


def make_town(scale: Scale) -> Town:
    """The town of a scale. Sizes follow Zipf's law (Mandelbrot's form) but for the large room."""
    draw = random.Random(scale.conversations)  # noqa: S311 - data
    count = scale.conversations
    offset = max(1, count // 1000)
    weights = [1 / (rank + offset) for rank in range(2, count + 1)]
    share = (scale.messages - scale.large_room) / sum(weights)
    sizes = [scale.large_room, *(max(1, round(weight * share)) for weight in weights)]
    own = {1 + place * count // scale.own_conversations for place in range(scale.own_conversations)}
    pairs: set[tuple[int, int]] = set()
    rooms = []
    for number in range(1, count + 1):
        first = [POWER_USER] if number in own else []
        if number == LARGE_ROOM:
            members = _people(draw, scale, 10, first)
        elif draw.random() < 0.2:
            members = _people(draw, scale, draw.randint(3, 20), first)
        else:
            members = _people(draw, scale, 2, first)
            while (pair := (min(members), max(members))) in pairs:
                members = _people(draw, scale, 2, first)
            pairs.add(pair)
        rooms.append(Room(number, members, sizes[number - 1]))
    rooms.append(Room(count + 1, list(range(1, scale.big_group + 1)), 1))
    rooms += [
        Room(
            count + 2 + place,
            [hall_user(scale, place - back) for back in range(HALL_MEMBERS)],
            1,
        )
        for place in range(HALL_ROOMS)
    ]
    return Town(scale, rooms)


def _people(draw: random.Random, scale: Scale, count: int, first: list[int]) -> list[int]:
    """So many different people, of whom some are in more conversations than others."""
    found = dict.fromkeys(first)
    while len(found) < count:
        found[2 + int(draw.random() ** 1.5 * (scale.users - 1))] = None
    return list(found)
