"""What goes into a run of mutants and what comes out of it, as JSON."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

KILLERS = Path(__file__).with_name("killers.json")
"""What has killed each mutant before: asked first. Mutants are named by their checksums."""


@dataclass(frozen=True)
class Job:
    """Which mutants to judge, how, and where to write.

    As many as fit ``seconds``, in an order that ``seed`` decides; those whose name ``only`` finds,
    in a sample only those killed before. Of the tests that could notice a mutant the ``tests`` most
    likely are asked.
    """

    results: Path
    seed: int = 0
    part: int = 0
    parts: int = 1
    seconds: float = 1e9
    tests: int = 60
    is_sample: bool = False
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


def checksum(name: str) -> str:
    """A mutant's name, short enough for a list of them all."""
    return f"{zlib.crc32(name.encode()):08x}"


def read_killers() -> dict[str, str]:
    """The killer of each mutant, by checksum."""
    killers: dict[str, list[str]] = json.loads(KILLERS.read_text())
    return {mutant: killer for killer, mutants in killers.items() for mutant in mutants}


def killers_of(results: Iterable[Result]) -> str:
    """The same, from what a run has found, as the file has it."""
    killers: dict[str, list[str]] = {}
    for result in results:
        if result.killer:
            killers.setdefault(result.killer, []).append(checksum(result.name))
    return format_killers(killers)


def format_killers(killers: dict[str, list[str]]) -> str:
    """One killer a line, so that a difference is readable."""
    lines = [
        f"{json.dumps(killer, ensure_ascii=False)}: {json.dumps(sorted(mutants))}"
        for killer, mutants in sorted(killers.items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
