"""When to try again: plain numbers, no waiting."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0
_RETRIED_STATUSES = frozenset({502, 503, 504})


def is_retried_status(status: int) -> bool:
    """Whether an answer with this HTTP status says that the server is not ready."""
    return status in _RETRIED_STATUSES


def delays(
    budget_seconds: float | None,
    *,
    longest_seconds: float = _LONGEST_DELAY_SECONDS,
    now: Callable[[], float] = time.monotonic,
    jitter: Callable[[], float] = random.random,
) -> Iterator[float]:
    """Seconds to wait before each further attempt; ends when the budget is spent.

    Doubles from 0.1 s to ``longest_seconds``, each cut by up to a half at random, so that clients
    that lost the same server do not come back together. The budget is counted from the first
    ``next()`` and bounds when the last attempt starts; None: never ends.
    """
    end = None if budget_seconds is None else now() + budget_seconds
    delay = _FIRST_DELAY_SECONDS
    while True:
        wait = delay * (1 - jitter() / 2)
        if end is not None and now() + wait > end:
            return
        yield wait
        delay = min(delay * 2, longest_seconds)
