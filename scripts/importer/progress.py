"""How far a run has come."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO


class Progress:
    """A bar with an estimate on a terminal; elsewhere a line for each tenth."""

    def __init__(self, what: str, total: int, stream: TextIO = sys.stderr) -> None:
        self._what = what
        self._total = total
        self._stream = stream
        self._done = 0
        self._shown = -1
        self._start = time.monotonic()
        self._lock = threading.Lock()

    def add(self, number: int) -> None:
        """So many more are done."""
        with self._lock:
            self._done += number
            self._show()

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._start, 1e-6)
        rate = self._done / seconds
        share = min(1.0, self._done / self._total) if self._total else 1.0
        left = (self._total - self._done) / rate if rate else 0.0
        line = (
            f"{share:4.0%} {self._done:,} of {self._total:,} {self._what},"
            f" {rate:,.0f}/s, {max(left, 0):.0f} s left"
        )
        if self._stream.isatty():
            bar = "#" * round(share * 20)
            self._stream.write(f"\r[{bar:.<20}] {line}\x1b[K")
            if self._done >= self._total:
                self._stream.write("\n")
        elif (tenth := int(share * 10)) > self._shown:
            self._shown = tenth
            self._stream.write(line + "\n")
        self._stream.flush()
