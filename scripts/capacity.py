"""How much a database of messages takes, month by month: bytes on disk, in indexes, and of WAL.

Without arguments it is the plan of the BookConnect document (500 users, 50 messages a day), by its
own count and by bytes measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

from planning.model import DOCUMENT, Bytes, Calibration, Limit, Month, Plan, limits, simulate

ROOT = Path(__file__).resolve().parent.parent
CALIBRATION = Path(__file__).with_name("planning") / "calibration.json"


def read_calibration(path: Path) -> Calibration:
    """As --measure wrote it."""
    found: dict[str, Any] = json.loads(path.read_text())
    about = found.pop("about")
    return Calibration(about=about, **{name: Bytes(**each) for name, each in found.items()})


def write_calibration(path: Path) -> None:
    """Measures on a backend of its own."""
    from planning.measuring import measure

    from parley_stack.testing import start_stack

    stack = start_stack(ROOT, "--ephemeral")
    try:
        found = dataclasses.asdict(measure(stack))
    finally:
        stack.stop()
    rounded = {
        name: {key: round(value, 2) for key, value in each.items()}
        if isinstance(each, dict)
        else each
        for name, each in found.items()
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n")
    print(f"written to {path}")


def size(count: float) -> str:
    """Bytes, as people say them."""
    for name, unit in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if abs(count) >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count / 1e3:.0f} kB"


def number(count: float) -> str:
    """A number, as people say them."""
    for name, unit in (("bn", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(count) >= unit:
            return f"{count / (1e3 if name == 'k' else unit):.1f} {name}"
    return f"{count:.0f}"


def show_months(months: list[Month]) -> None:
    """A line for each month."""
    print(f"{'month':>5} {'users':>9} {'sent':>9} {'to read':>9} {'table':>9} {'index':>9}"
          f" {'on disk':>9} {'WAL':>9} {'busiest':>9}")  # fmt: skip
    for month in months:
        print(
            f"{month.number:>5} {number(month.users):>9} {number(month.sent):>9}"
            f" {number(month.live):>9} {size(month.table_bytes):>9} {size(month.index_bytes):>9}"
            f" {size(month.total_bytes):>9} {size(month.wal_bytes):>9}"
            f" {month.sends_a_second:>7.1f}/s"
        )


def show_limits(found: list[Limit]) -> None:
    """A line for each limit."""
    print(f"\n{'at the end':<38} {'needed':>10} {'one has':>10} {'that is':>12}")
    for limit in found:
        shown = size if limit.unit == "B" else number
        times = f"{limit.share:.1%}" if limit.share < 2 else f"{limit.share:.0f} times"
        print(f"{limit.name:<38} {shown(limit.need):>10} {shown(limit.most):>10} {times:>12}")


def _tiers(text: str) -> dict[str, float]:
    shares = {name: float(share) for name, _, share in (e.partition("=") for e in text.split(","))}
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise argparse.ArgumentTypeError("shares are above 0")
    return {name: share / total for name, share in shares.items()}


def _parser() -> argparse.ArgumentParser:
    plan = Plan()
    parser = argparse.ArgumentParser(prog="capacity", description=__doc__)
    parser.add_argument("--users", type=float, default=plan.users, help="at the beginning")
    parser.add_argument(
        "--messages", type=float, default=plan.messages_a_day, help="a day, of each"
    )
    parser.add_argument(
        "--growth", type=float, default=0, metavar="PERCENT", help="of users, a month"
    )
    parser.add_argument("--tiers", type=_tiers, default=plan.tiers, metavar="NAME=SHARE,...",
                        help="free, privileged, privileged_plus; default: 70, 20, 10")  # fmt: skip
    parser.add_argument("--letters", type=float, default=plan.letters, help="of a message")
    parser.add_argument("--months", type=int, default=plan.months)
    parser.add_argument("--connected", type=float, default=0.1, help="share of users with a socket")
    parser.add_argument("--sends", type=float, default=2000, help="that one primary does a second")
    parser.add_argument("--clients", type=float, default=10_000, help="sockets of one Realtime")
    parser.add_argument("--memory", type=float, default=64, metavar="GB", help="of one primary")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw storage.png and others")
    parser.add_argument("--calibration", type=Path, default=CALIBRATION, help="bytes measured")
    parser.add_argument("--measure", action="store_true", help="write the calibration, and stop")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")
    return parser


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    if options.measure:
        write_calibration(options.calibration)
        return 0
    plan = Plan(
        users=options.users,
        messages_a_day=options.messages,
        growth=options.growth / 100,
        tiers=options.tiers,
        letters=options.letters,
        months=options.months,
    )
    calibration = read_calibration(options.calibration)
    months = simulate(plan, calibration)
    found = limits(
        plan,
        months[-1],
        calibration,
        sends_a_second=options.sends,
        connected=options.connected,
        clients=options.clients,
        memory_bytes=options.memory * 1e9,
    )
    if options.output == "json":
        print(json.dumps({
            "months": [{**dataclasses.asdict(m), "total_bytes": m.total_bytes} for m in months],
            "limits": [{**dataclasses.asdict(f), "share": f.share} for f in found],
        }))  # fmt: skip
    else:
        as_theirs = dataclasses.replace(plan, months=12, restore_days=0)
        counted = simulate(as_theirs, DOCUMENT)[-1]
        print(f"By the document's bytes, after a year: {size(counted.table_bytes)} of messages to"
              f" read, {size(counted.table_bytes + counted.index_bytes)} with indexes; all that is"
              f" ever sent: {size(DOCUMENT.sent(plan.letters).table * plan.sent_between(0, 365))}."
              f"\nHere, {calibration.about}:\n")  # fmt: skip
        show_months(months)
        show_limits(found)
    if options.plots:
        from planning.plots import draw

        for path in draw(months, options.plots):
            print(path, file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
