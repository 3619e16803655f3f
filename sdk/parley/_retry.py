"""When to try again: plain numbers, no waiting."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator

from ._errors import ConnectionFailedError, ParleyError

_FIRST_DELAY_SECONDS = 0.1
_LONGEST_DELAY_SECONDS = 5.0
_RETRIED_STATUSES = frozenset({502, 503, 504})
# Of an answer 500: the database lost its connections, was short of something, had to choose between
# two transactions, or was shut down. Every other SQLSTATE would come again.
_PASSING_STATES = re.compile(r"08|40|53|57P0")


def is_retried_status(status: int) -> bool:
    """Whether an answer with this HTTP status says that the server is not ready."""
    return status in _RETRIED_STATUSES


def is_passing(error: ParleyError) -> bool:
    """Whether the same request, made again, may well succeed."""
    if isinstance(error, ConnectionFailedError):
        return True
    status = error.status or 0
    if status < 500 or is_retried_status(status):
        return is_retried_status(status)
    # 500 and its like by whoever stands between say nothing of the request.
    return error.sqlstate is None or _PASSING_STATES.match(error.sqlstate) is not None


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
