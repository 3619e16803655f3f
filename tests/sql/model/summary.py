"""What the model test says of itself at the end of a run."""

from __future__ import annotations

import pytest

PROPERTY = "model"


def report(terminalreporter: pytest.TerminalReporter) -> None:
    """How many steps were done, from which seeds."""
    done = [
        figures
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, figures in report.user_properties
        if name == PROPERTY
    ]
    if done:
        steps, refused = sum(f["steps"] for f in done), sum(f["refused"] for f in done)
        seeds = ", ".join(sorted({str(f["seed"]) for f in done}))
        terminalreporter.write_line(
            f"model: {steps:,} steps, of which {refused:,} refused; seeds {seeds}"
        )
