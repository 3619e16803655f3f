"""Parley's own project, and what tests of running stacks need besides."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from parley_stack.testing import Stack, start_stack

__all__ = ["ROOT", "Stack", "child_pid", "eventually", "stack_command", "start_stack"]

ROOT = Path(__file__).resolve().parents[2]


def eventually(check: Callable[[], object], *, seconds: float = 10.0, what: str = "") -> None:
    """Returns when ``check()`` is true; fails when it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or check}"
        time.sleep(0.02)


def stack_command(*arguments: str) -> list[str]:
    """The command line of ``python -m parley_stack``."""
    return [sys.executable, "-m", "parley_stack", *arguments]


def child_pid(supervisor: int, mark: str) -> int:
    """The supervisor's child whose command line has ``mark``."""
    for entry in Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split():
        command = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode() + " "
        if mark in command or command.split(" ")[0].endswith(mark):
            return int(entry)
    raise AssertionError(f"no child {mark!r}")
