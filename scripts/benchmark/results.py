"""The figures of one run, and their JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .samples import percentile, thin

# A rate is better when it is higher; all else is better when it is lower.
RATES = ("/s",)


@dataclass(frozen=True)
class Figure:
    """What was measured: ``what`` of a part, done in the way ``how``.

    ``beside`` names another ``how`` of the same work, which this one is compared with.
    """

    part: str
    what: str
    how: str
    unit: str
    values: tuple[float, ...]
    beside: str | None = None

    @property
    def name(self) -> str:
        """Unique in a run."""
        return f"{self.part}: {self.what}, {self.how}"

    @property
    def median(self) -> float:
        """Of all values."""
        return statistics.median(self.values)

    @property
    def undisturbed(self) -> float:
        """The best tenth of the values: what is measured when nothing else is going on."""
        return percentile(self.values, 0.9 if self.is_rate else 0.1)

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit in RATES

    def percentiles(self) -> tuple[float, float, float]:
        """p50, p95 and p99."""
        return (self.median, percentile(self.values, 0.95), percentile(self.values, 0.99))


@dataclass
class Results:
    """A run: what it ran on, and its figures in the order they were measured."""

    about: dict[str, Any]
    figures: dict[str, Figure] = field(default_factory=dict)

    def add(
        self,
        part: str,
        what: str,
        how: str,
        unit: str,
        values: Sequence[float],
        *,
        beside: str | None = None,
    ) -> Figure:
        """Keeps a figure, thinned to what its percentiles need."""
        kept = tuple(round(value, 4) for value in thin(values))
        figure = Figure(part, what, how, unit, kept, beside)
        self.figures[figure.name] = figure
        return figure

    def find(self, part: str, what: str, how: str) -> Figure | None:
        """A figure, if this run has it."""
        return self.figures.get(Figure(part, what, how, "", ()).name)

    def baseline(self, figure: Figure) -> Figure | None:
        """What a figure is compared with."""
        if figure.beside is None:
            return None
        return self.find(figure.part, figure.what, figure.beside)

    def ratio(self, figure: Figure) -> float | None:
        """Its median over that of its baseline; None without one."""
        base = self.baseline(figure)
        return figure.median / base.median if base and base.median else None

    def ratios(self) -> dict[str, float]:
        """Of what is undisturbed, by the figure's name: those of a busy machine are alike."""
        pairs = ((figure, self.baseline(figure)) for figure in self.figures.values())
        return {
            figure.name: figure.undisturbed / base.undisturbed
            for figure, base in pairs
            if base and base.undisturbed
        }

    def to_json(self) -> str:
        """As a file: one line for each figure, so that a diff can be read."""
        lines = ",\n".join(
            "    "
            + json.dumps(
                {
                    "part": figure.part,
                    "what": figure.what,
                    "how": figure.how,
                    "unit": figure.unit,
                    "beside": figure.beside,
                    "values": figure.values,
                }
            )
            for figure in self.figures.values()
        )
        about = json.dumps(self.about, indent=2).replace("\n", "\n  ")
        return f'{{\n  "about": {about},\n  "figures": [\n{lines}\n  ]\n}}\n'


def read(path: Path) -> Results:
    """A run that was written with ``to_json``."""
    found = json.loads(path.read_text())
    made = Results(found["about"])
    for row in found["figures"]:
        figure = Figure(**{**row, "values": tuple(row["values"])})
        made.figures[figure.name] = figure
    return made


def short(value: float) -> str:
    """A number with three digits, for people."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(results: Results, figures: Iterable[Figure]) -> Iterator[tuple[str, ...]]:
    """Rows for people: what, how, p50, p95, p99, unit, ratio. Rates show no tail."""
    yield ("work", "how", "p50", "p95", "p99", "unit", "ratio")
    for figure in figures:
        ratio = results.ratio(figure)
        middle, *tail = (short(value) for value in figure.percentiles())
        yield (
            figure.what,
            figure.how,
            middle,
            *(tail if figure.unit == "ms" else ("", "")),
            figure.unit,
            "" if ratio is None else f"{ratio:.2f} of {figure.beside}",
        )
