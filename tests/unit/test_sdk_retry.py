"""When the SDK tries again."""

from __future__ import annotations

import itertools

from parley._retry import delays, is_retried_status


def test_delays_double_up_to_the_longest() -> None:
    first = list(itertools.islice(delays(None, jitter=lambda: 0.0), 8))
    assert first == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_jitter_cuts_up_to_a_half() -> None:
    assert next(delays(None, jitter=lambda: 1.0)) == 0.05


def test_the_budget_bounds_when_the_last_attempt_starts() -> None:
    waited: list[float] = []
    for wait in delays(1.0, now=lambda: sum(waited), jitter=lambda: 0.0):
        waited.append(wait)
    assert waited == [0.1, 0.2, 0.4]


def test_no_budget_is_one_attempt() -> None:
    assert list(delays(0)) == []


def test_what_is_tried_again() -> None:
    assert [s for s in (400, 401, 409, 429, 500, 502, 503, 504) if is_retried_status(s)] == [
        502,
        503,
        504,
    ]
