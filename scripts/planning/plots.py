"""Plots of a plan, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .model import Month

_COLOURS = ("#3366aa", "#66aadd", "#cc8844", "#88aa55", "#aa66aa", "#cccccc")
_UNITS = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6))


def draw(months: Sequence[Month], folder: Path) -> list[Path]:
    """Writes them; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_storage(months, folder), _wal(months, folder), _messages(months, folder)]


def unit_of(largest: float) -> tuple[str, float]:
    """The unit in which a number of bytes is easily read, and its size."""
    for name, size in _UNITS:
        if largest >= size:
            return name, size
    return "kB", 1e3


def _storage(months: Sequence[Month], folder: Path) -> Path:
    name, size = unit_of(months[-1].total_bytes)
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    numbers = [month.number for month in months]
    rows = {part: [month.parts[part] / size for month in months] for part in months[0].parts}
    axes.stackplot(numbers, *rows.values(), labels=[*rows], colors=_COLOURS)
    axes.set(title="On disk", xlabel="month", ylabel=name, xlim=(1, max(numbers[-1], 2)))
    axes.legend(loc="upper left", fontsize="small")
    return _saved(figure, folder / "storage.png")


def _wal(months: Sequence[Month], folder: Path) -> Path:
    name, size = unit_of(max(month.wal_bytes for month in months))
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.bar(
        [month.number for month in months],
        [month.wal_bytes / size for month in months],
        color=_COLOURS[0],
    )
    axes.set(title="WAL written in a month", xlabel="month", ylabel=name)
    return _saved(figure, folder / "wal.png")


def _messages(months: Sequence[Month], folder: Path) -> Path:
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    numbers = [month.number for month in months]
    axes.plot(numbers, [month.live / 1e6 for month in months], label="to be read")
    axes.plot(numbers, [month.waiting / 1e6 for month in months], label="to be restored")
    axes.plot(numbers, [month.sent / 1e6 for month in months], label="sent in the month")
    axes.set(title="Messages", xlabel="month", ylabel="millions", ylim=(0, None))
    axes.legend(fontsize="small")
    return _saved(figure, folder / "messages.png")


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
