"""Which minutes a schedule of cron names."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from parley_stack.extensions.cron import interval_seconds, is_due

FRIDAY = datetime(2026, 1, 30, 3, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "due"),
    [
        ("* * * * *", True),
        ("30 3 * * *", True),
        ("*/15 3 * * 1-5", True),
        ("30 3 * jan fri", True),
        ("30 3 30 * *", True),
        ("30 3 $ * *", False),
        ("31 3 * * *", False),
        ("30 3 * * 0", False),
        ("99 3 * * *", False),
        ("nonsense", False),
        ("@daily", False),
        ("@hourly", False),
    ],
)
def test_minutes(schedule: str, due: bool) -> None:
    assert is_due(schedule, FRIDAY) is due


def test_last_day_of_the_month() -> None:
    assert is_due("30 3 $ * *", FRIDAY.replace(day=31))


def test_intervals() -> None:
    assert interval_seconds("1 second") == 1
    assert interval_seconds("59 seconds") == 59
    assert interval_seconds("* * * * *") is None
