"""The command: ``./scripts/bench --help``."""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

from . import compare, plots
from .about import describe
from .laboratory import laboratory
from .parts import PARTS
from .results import Results, read, table
from .scales import SCALES

_LEFT = (0, 1, 5, 6)
"""Columns of words."""
_TRIES = 2


def main() -> int:
    """Measures, prints tables, writes JSON; 1 when --check finds a ratio that is off."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Measures Parley next to named baselines, in one run."
    )
    add = parser.add_argument
    add("--scale", choices=SCALES, default="small", help="how much data, how long (default: small)")
    add("--only", choices=PARTS, action="append", help="this part; may be repeated")
    add("--out", type=Path, metavar="FILE", help="write the figures, and plots beside them")
    add("--compare", type=Path, metavar="OLD", help="say what changed since the run in this file")
    add("--check", action="store_true", help="fail when a ratio is half as good as recorded")
    arguments = parser.parse_args()
    if arguments.check:
        if arguments.out or arguments.compare:
            parser.error("--check keeps nothing: leave out --out and --compare")
        return _check(arguments.scale, arguments.only)
    old = read(arguments.compare) if arguments.compare else None
    results = _run(arguments.scale, arguments.only or list(PARTS), arguments.out)
    if arguments.out:
        plots.draw(results, arguments.out)
    if old:
        print("\nchanged")
        for line in compare.changes(results, old):
            print(f"  {line}")
    return 0


def _check(scale: str, only: list[str] | None) -> int:
    """Measures what has a ratio, and what is off once more: a machine is disturbed sometimes."""
    run = read(compare.RECORDED)
    recorded = {
        name: ratio
        for name, ratio in run.ratios().items()
        if not only or run.figures[name].part in only
    }
    for _ in range(_TRIES):
        parts = {run.figures[name].part for name in recorded}
        results = _run(scale, [name for name in PARTS if name in parts])
        off = compare.off_ratios(results, recorded)
        recorded = {name: recorded[name] for name in off}
        if not off:
            print("\nratios as recorded")
            return 0
        print("", *(f"error: {name}: {what}" for name, what in off.items()), sep="\n")
    return 1


def _run(scale: str, parts: list[str], out: Path | None = None) -> Results:
    results = Results(describe(SCALES[scale], sys.argv[1:]))
    # A thousand subscribers are as many open files here, and twice that in the stack.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with laboratory(SCALES[scale]) as lab:
        results.about["versions"] |= lab.versions()
        rate = lab.scale.messages / lab.load_seconds
        results.add("load", "messages, with their indexes", "copy", "/s", [rate])
        _print(results, "load")
        for name in parts:
            began = time.monotonic()
            PARTS[name](lab, results)
            _print(results, name)
            print(f"  ({time.monotonic() - began:.0f} s)", flush=True)
            if out:
                # What is measured is kept, whatever comes of the rest.
                out.write_text(results.to_json())
    return results


def _print(results: Results, part: str) -> None:
    figures = [figure for figure in results.figures.values() if figure.part == part]
    rows = list(table(results, figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{part}")
    for row in rows:
        cells = (
            f"{cell:{'<' if place in _LEFT else '>'}{widths[place]}}"
            for place, cell in enumerate(row)
        )
        print("  " + "  ".join(cells).rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
