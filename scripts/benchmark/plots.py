"""Pictures of a run, beside its file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from . import database, growth
from .results import Figure, Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (9, 5)


def draw(results: Results, out: Path) -> list[Path]:
    """``<out>-growth.png`` and ``<out>-database.png``, as far as the run has what they show."""
    drawn = []
    for part, paint in ((growth.PART, _growth), (database.PART, _database)):
        figures = [figure for figure in results.figures.values() if figure.part == part]
        if figures:
            # It takes a second to load, and most runs draw nothing.
            import matplotlib as mpl

            mpl.use("agg")
            from matplotlib import pyplot

            canvas, axes = pyplot.subplots(figsize=_SIZE, layout="constrained")
            paint(axes, figures)
            path = out.with_name(f"{out.stem}-{part}.png")
            canvas.savefig(path, dpi=110, metadata={"Software": None})
            pyplot.close(canvas)
            drawn.append(path)
    return drawn


def _growth(axes: Axes, figures: list[Figure]) -> None:
    """The median of each operation by the number of messages: flat lines are wanted."""
    names = list(dict.fromkeys(figure.what for figure in figures))

    for place, name in enumerate(names):
        points = sorted(
            (int(figure.how.split()[0].replace(",", "")), figure.median)
            for figure in figures
            if figure.what == name
        )
        axes.plot(*zip(*points, strict=True), marker="o" if place < 10 else "s", label=name)
    axes.set(xscale="log", yscale="log", xlabel="messages in the database", ylabel="p50, ms")
    axes.grid(visible=True, alpha=0.3)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")


def _database(axes: Axes, figures: list[Figure]) -> None:
    """Each operation each way: a bar to the median, a line on to p99."""
    hows = list(dict.fromkeys(figure.how for figure in figures))
    names = list(dict.fromkeys(figure.what for figure in figures))
    width = 0.8 / len(hows)
    for place, how in enumerate(hows):
        for figure in (figure for figure in figures if figure.how == how):
            middle, _, last = figure.percentiles()
            at = names.index(figure.what) + (place - len(hows) / 2) * width
            axes.bar(
                at,
                middle,
                width,
                color=f"C{place}",
                yerr=[[0], [max(0.0, last - middle)]],
                label=how if figure.what == names[0] else None,
            )
    axes.set_xticks([n - width / 2 for n in range(len(names))], names, rotation=40, ha="right")
    axes.set(yscale="log", ylabel="ms: p50, and p99 as a line")
    axes.yaxis.set_major_formatter(
        lambda value, _: f"{value:g}" if value and math.isfinite(value) else ""
    )
    axes.legend()
