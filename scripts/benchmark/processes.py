"""The processes of a stack: their memory, and the processor time they take."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .laboratory import Laboratory
from .results import Results

_LEAST_MS = 0.005


@dataclass(frozen=True)
class Process:
    """One that runs. name: Its program's. title: What it says it is doing."""

    name: str
    title: str
    folder: Path


def processes(lab: Laboratory) -> Iterator[Process]:
    """Those of the laboratory's stack."""
    assert lab.stack.process is not None
    waiting = [lab.stack.process.pid]
    while waiting:
        pid = waiting.pop()
        folder = Path(f"/proc/{pid}")
        try:
            waiting += map(int, (folder / f"task/{pid}/children").read_text().split())
            command = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        name = Path(command[0].partition(":")[0]).name
        if name.startswith("python"):
            name = "stack's services" if "_serve" in command else "stack's supervisor"
        yield Process(name, command[0], folder)


def memory(lab: Laboratory) -> dict[str, float]:
    """Megabytes by program: what is shared between processes is divided among them."""
    found: dict[str, float] = defaultdict(float)
    for process, rollup in _read(lab, "smaps_rollup"):
        size = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        found[process.name] += size / 1024
    return found


def processor_seconds(lab: Laboratory) -> dict[str, float]:
    """What each program has taken since it started; those of PostgreSQL by what they do."""
    found: dict[str, float] = defaultdict(float)
    for process, stat in _read(lab, "stat"):
        name = process.name
        if name == "postgres":
            is_reader = process.title.startswith("postgres: walsender")
            name = "PostgreSQL, decoding the log" if is_reader else "PostgreSQL, sessions"
        # In user and in kernel mode: its own, and of its children that have ended.
        ticks = map(int, stat.rpartition(")")[2].split()[11:15])
        found[name] += sum(ticks) / os.sysconf("SC_CLK_TCK")
    return found


class Meter:
    """Processor time by program, from here on."""

    def __init__(self, lab: Laboratory) -> None:
        self._lab = lab
        self._before = processor_seconds(lab)

    def add(self, results: Results, part: str, what: str, count: int) -> None:
        """Keeps what each of so many pieces of work took, where that is anything."""
        for name, seconds in processor_seconds(self._lab).items():
            taken = (seconds - self._before.get(name, 0)) * 1000 / count
            if taken > _LEAST_MS:
                results.add(part, f"{what}, processor time", name, "ms", [taken])


def _read(lab: Laboratory, name: str) -> Iterator[tuple[Process, str]]:
    """A file that Linux has about each process; not of those that have just ended."""
    for process in processes(lab):
        with suppress(OSError):
            yield process, (process.folder / name).read_text()
