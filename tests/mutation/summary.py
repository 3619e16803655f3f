"""The score, for the terminal and for a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def report(terminal: pytest.TerminalReporter, path: Path) -> None:
    """Adds up what the parts of a run have found; nothing when none ran."""
    parts: list[dict[str, Any]] = [
        value
        for outcome in ("passed", "failed")
        for test in terminal.stats.get(outcome, [])
        for name, value in getattr(test, "user_properties", [])
        if name == "mutation"
    ]
    if not parts:
        return
    argued = set(parts[0]["argued"])
    alive = sorted({name for part in parts for name in part["alive"]})
    killed = sum(part["killed"] for part in parts)
    unexplained = [name for name in alive if name not in argued]
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "seed": parts[0]["seed"],
                "killed": killed,
                "alive": alive,
                "unexplained": unexplained,
            },
            indent=1,
        )
        + "\n"
    )
    terminal.section("policy mutation")
    terminal.line(
        f"mutation: {killed}/{killed + len(alive)} killed, {len(alive) - len(unexplained)} argued, "
        f"{len(unexplained)} survivors (seed {parts[0]['seed']}; {path})"
    )
    for name in unexplained:
        terminal.line(f"  survived: {name}")
