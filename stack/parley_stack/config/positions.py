"""Where each key of a TOML text stands.

``tomllib`` reads values and forgets places; an error message needs the place. The scanner below
expects text that ``tomllib`` accepted, so it never has to judge, only to find its way.
TOML 1.0: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import NamedTuple

Path = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[ \t]*("(?:[^"\\]|\\.)*"|'[^']*'|[A-Za-z0-9_-]+)[ \t]*""")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}(?!")'
    r"|'''.*?'{3,5}(?!')"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
_PLAIN = re.compile(r"[^,\]}\n#]*")


class Place(NamedTuple):
    """A line and a column, both counted from 1; the column in characters."""

    line: int
    column: int


@dataclass
class _Scanner:
    text: str
    at: int = 0
    places: dict[Path, Place] = field(default_factory=dict)
    table: Path = ()
    array_lengths: dict[Path, int] = field(default_factory=dict)

    def run(self) -> None:
        while True:
            self.blank()
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                self.header()
            else:
                self.pair(self.table)

    def blank(self) -> None:
        match = _BLANK.match(self.text, self.at)
        self.at = match.end() if match else self.at

    def header(self) -> None:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 2 if is_array else 1
        path: Path = ()
        for part in self.key():
            path = self.inside((*path, part))
        if is_array:
            path = path[:-1] if isinstance(path[-1], int) else path
            self.array_lengths[path] = self.array_lengths.get(path, 0) + 1
            self.note(path, start)
            path = self.inside(path)
        self.at += 2 if is_array else 1
        self.table = path
        self.note(path, start)

    def inside(self, path: Path) -> Path:
        """``path``, or its newest element when it is an array of tables."""
        length = self.array_lengths.get(path)
        return path if length is None else (*path, length - 1)

    def key(self) -> list[str]:
        """The parts of a dotted key."""
        parts: list[str] = []
        while match := _KEY.match(self.text, self.at):
            raw = match[1]
            parts.append(str(tomllib.loads(f"k={raw}")["k"]) if raw[0] in "\"'" else raw)
            self.at = match.end()
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        return parts

    def pair(self, table: Path) -> None:
        start = self.at
        path = (*table, *self.key())
        for length in range(len(table) + 1, len(path) + 1):
            self.note(path[:length], start)
        self.at += 1  # the equals sign
        self.value(path)

    def value(self, path: Path) -> None:
        self.blank()
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self.elements(path)
        elif opening == "{":
            self.at += 1
            self.blank()
            while not self.text.startswith("}", self.at):
                self.pair(path)
                self.separator()
            self.at += 1
        else:
            match = (_STRING if opening in ('"', "'") else _PLAIN).match(self.text, self.at)
            self.at = match.end() if match else len(self.text)

    def elements(self, path: Path) -> None:
        self.at += 1
        self.blank()
        index = 0
        while not self.text.startswith("]", self.at):
            self.note((*path, index), self.at)
            self.value((*path, index))
            self.separator()
            index += 1
        self.at += 1

    def separator(self) -> None:
        self.blank()
        if self.text.startswith(",", self.at):
            self.at += 1
            self.blank()

    def note(self, path: Path, at: int) -> None:
        line_start = self.text.rfind("\n", 0, at) + 1
        self.places.setdefault(path, Place(self.text.count("\n", 0, at) + 1, at - line_start + 1))


def key_places(text: str) -> dict[Path, Place]:
    """The place of every key, table header and array element of a valid TOML ``text``."""
    scanner = _Scanner(text)
    scanner.run()
    return scanner.places
