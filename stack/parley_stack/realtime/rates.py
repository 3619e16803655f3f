"""How many events a second there were over the last minute."""

from __future__ import annotations

import time
from collections import deque

_WINDOW_SECONDS = 60
_TICK_SECONDS = 5


class RateMeter:
    """Counts events in ticks of five seconds and averages them over a minute."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._ticks: deque[list[float]] = deque()
        self._total = 0.0

    def add(self, count: int = 1) -> None:
        """Count events that happen now."""
        tick = time.monotonic() // _TICK_SECONDS
        if self._ticks and self._ticks[-1][0] == tick:
            self._ticks[-1][1] += count
        else:
            self._expire(tick)
            self._ticks.append([tick, count])
        self._total += count

    def average(self) -> float:
        """Events per second over the last minute."""
        self._expire(time.monotonic() // _TICK_SECONDS)
        return self._total / _WINDOW_SECONDS

    def is_exceeded(self) -> bool:
        """Whether the average is over the limit."""
        return self._total > self.limit * _WINDOW_SECONDS and self.average() > self.limit

    def _expire(self, tick: float) -> None:
        oldest = tick - _WINDOW_SECONDS // _TICK_SECONDS
        while self._ticks and self._ticks[0][0] <= oldest:
            self._total -= self._ticks.popleft()[1]
