"""What samples say: percentiles, and whether two sets of them differ beyond noise."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence

KEPT = 200
_RESAMPLES = 1000
_CONFIDENCE = 0.99


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of them lie, between neighbours by their distance."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def thin(values: Sequence[float], count: int = KEPT) -> list[float]:
    """At most so many values with the same percentiles, in order."""
    if len(values) <= count:
        return sorted(values)
    ordered = sorted(values)
    last = len(ordered) - 1
    # The rank that ``percentile`` would ask for, without sorting again.
    return [ordered[round(number * last / (count - 1))] for number in range(count)]


def ratio_interval(new: Sequence[float], old: Sequence[float]) -> tuple[float, float]:
    """Where the ratio of the medians lies: a bootstrap interval, the same in every run."""
    draw = random.Random(0)  # noqa: S311 - statistics
    ratios = sorted(
        statistics.median(draw.choices(new, k=len(new)))
        / (statistics.median(draw.choices(old, k=len(old))) or 1e-9)
        for _ in range(_RESAMPLES)
    )
    outside = (1 - _CONFIDENCE) / 2
    return percentile(ratios, outside), percentile(ratios, 1 - outside)
