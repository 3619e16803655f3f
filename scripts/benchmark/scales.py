"""How much data there is and how long is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """One size of everything."""

    name: str
    messages: int
    users: int
    conversations: int
    own_conversations: int
    """Those of the one power user, whose inbox is measured."""
    large_room: int
    """Messages of the largest conversation."""
    rounds: int
    """Times that each piece of work is done, after a warm-up."""
    seconds: float
    """How long each throughput is measured."""
    repeats: int
    """How many times each throughput is measured."""
    sockets: tuple[int, ...]
    """Numbers of subscribers."""
    growth: tuple[int, ...]
    """Numbers of messages that ``growth`` loads anew."""

    @property
    def big_group(self) -> int:
        """Members of the largest group."""
        return min(1000, self.users)


SMALL = Scale("small", 60_000, 1_000, 1_500, 500, 20_000, 60, 0.5, 1, (100,), (6_000,))
MEDIUM = Scale(
    "medium", 1_000_000, 10_000, 12_000, 500, 20_000, 300, 5.0, 3, (100, 1000), (100_000,)
)
FULL = Scale(
    "full", 5_000_000, 10_000, 50_000, 500, 20_000, 500, 10.0, 3, (100, 1000), (100_000, 1_000_000)
)
SCALES = {scale.name: scale for scale in (SMALL, MEDIUM, FULL)}
