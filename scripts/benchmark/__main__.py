"""``./scripts/bench [--scale SCALE] [--only PART] [--out FILE] [--compare OLD] [--check]``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from .about import describe
from .laboratory import laboratory
from .parts import PARTS
from .results import Results, table
from .scales import SCALES


def main() -> int:
    """Measures, prints tables, writes JSON; 1 when a ratio is off with --check."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--scale", choices=SCALES, default="small")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part (repeatable)")
    parser.add_argument("--out", type=Path, help="write the figures, and plots beside them")
    parser.add_argument("--compare", type=Path, help="say what changed since a run written before")
    parser.add_argument("--check", action="store_true", help="fail when a ratio is off by a factor of 2")
    arguments = parser.parse_args()
    scale = SCALES[arguments.scale]
    results = Results(describe(scale, sys.argv[1:]))
    with laboratory(scale) as lab:
        results.add("load", "messages", "copy", "/s", [scale.messages / lab.load_seconds])
        _print(results, "load")
        for name, measure in PARTS.items():
            if arguments.only and name not in arguments.only:
                continue
            began = time.monotonic()
            measure(lab, results)
            _print(results, name)
            print(f"({time.monotonic() - began:.0f} s)", file=sys.stderr)
    if arguments.out:
        arguments.out.write_text(results.to_json())
    return 0


def _print(results: Results, part: str) -> None:
    figures = [figure for figure in results.figures.values() if figure.part == part]
    rows = list(table(results, figures))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"\n{part}")
    for row in rows:
        texts = (f"{cell:{'<' if place in (0, 1, 5, 6) else '>'}{widths[place]}}" for place, cell in enumerate(row))
        print("  " + "  ".join(texts).rstrip(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
