"""What goes into a run of mutants and what comes out of it, as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """Which mutants to judge, how, and where to write.

    As many as fit ``seconds``, in an order that ``seed`` decides; those whose name ``only`` finds.
    Of the tests that could notice a mutant the ``tests`` most likely are asked.
    """

    results: Path
    seed: int = 0
    part: int = 0
    parts: int = 1
    seconds: float = 1e9
    tests: int = 120
    only: str = ""
    coverage: Path | None = None

    @property
    def names(self) -> Path:
        """A file with the names of all mutants there are, one a line."""
        return self.results.with_suffix(".names")

    @classmethod
    def read(cls, path: Path) -> Job:
        """From the file that ``write`` wrote."""
        given = json.loads(path.read_text())
        coverage = given.pop("coverage")
        return cls(
            **{**given, "results": Path(given["results"])},
            coverage=Path(coverage) if coverage else None,
        )

    def write(self, path: Path) -> None:
        """Into a file."""
        path.write_text(json.dumps(asdict(self), default=str))


@dataclass(frozen=True)
class Result:
    """What became of a mutant. ``killer``: an attack or a test; None when all let it live."""

    name: str
    subject: str
    killer: str | None
    seconds: float

    @classmethod
    def read_all(cls, path: Path) -> list[Result]:
        """Those a run has written, one a line; the last word on a mutant counts."""
        if not path.exists():
            return []
        results = [cls(**json.loads(line)) for line in path.read_text().splitlines()]
        return list({result.name: result for result in results}.values())

    def append(self, path: Path) -> None:
        """As one more line."""
        with path.open("a") as file:
            file.write(json.dumps(asdict(self)) + "\n")
