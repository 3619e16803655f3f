"""What changed since another run, beyond the noise; and whether ratios are as recorded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from .results import Figure, Results
from .samples import ratio_interval

RECORDED = Path(__file__).with_name("recorded.json")
# A machine is never twice the same; less than this is not worth a line.
_LEAST = 0.05
_FACTOR = 2.0


def changes(new: Results, old: Results) -> Iterator[str]:
    """A line for each figure whose median moved by more than chance explains."""
    if any(new.about[key] != old.about[key] for key in ("processor", "cores", "scale")):
        yield "another machine or scale: only ratios can be compared"
    for name, figure in new.figures.items():
        before = old.figures.get(name)
        if before is None or not (before.median and figure.median):
            continue
        low, high = ratio_interval(figure.values, before.values)
        if low > 1 + _LEAST or high < 1 - _LEAST:
            word = "better" if (low > 1) == figure.is_rate else "worse"
            yield (
                f"{word}: {name}: {before.median:.3g} -> {figure.median:.3g} {figure.unit}"
                f" ({low:.2f} to {high:.2f} times)"
            )


def off_ratios(new: Results, recorded: dict[str, float]) -> dict[str, str]:
    """What is worse than recorded by more than a factor of two, and a word on each.

    One that is missing counts; one that is better does not, for more cores make some so.
    """
    found = new.ratios()
    off = {}
    for name, ratio in recorded.items():
        if name not in found:
            off[name] = "not measured"
        elif _worse(new.figures[name], found[name], ratio) > _FACTOR:
            off[name] = f"ratio {found[name]:.2f}, recorded {ratio:.2f}"
    return off


def _worse(figure: Figure, ratio: float, recorded: float) -> float:
    if not ratio or not recorded:
        return math.inf
    return recorded / ratio if figure.is_rate else ratio / recorded
