"""Finds the terms of conditions in SQL text, as written by hand or by the catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"""
    (?P<skip>\s+|--[^\n]*|/\*.*?\*/)
  | (?P<other>'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\w*\$|\d[\w.]*|[^\w\s()])
  | (?P<word>\w+)
  | (?P<open>\()
  | (?P<close>\))
    """,
    re.VERBOSE | re.DOTALL,
)
_OPENERS = {"where", "on", "having"}
"""Words after which a condition stands: all of its terms must hold for a row to be taken."""

_CLOSERS = {
    *("select", "from", "group", "order", "limit", "offset", "returning", "then", "loop", "union"),
    *("except", "intersect", "for", "left", "right", "inner", "cross", "full", "join", "set"),
    *("window", "else", "fetch", "do", "into", "values", "when", "using", "if", "elsif", "as"),
    *("return", "begin", "conflict", "constraint"),
}


@dataclass(frozen=True)
class Span:
    """A part of a text."""

    start: int
    end: int

    def replaced(self, text: str, by: str) -> str:
        """The text with this part replaced."""
        return text[: self.start] + by + text[self.end :]


@dataclass
class _Frame:
    """One level of parentheses or a case: the and-terms met so far, while in a condition."""

    is_condition: bool
    is_case: bool = False
    is_clause: bool = False
    start: int | None = None
    between: bool = False
    group: list[Span] = field(default_factory=list)

    def open(self, *, is_clause: bool) -> None:
        self.is_condition, self.is_clause, self.start, self.group = True, is_clause, None, []

    def close(self, word: str) -> None:
        self.is_condition = False
        if word in {"conflict", "constraint"}:
            # `on conflict on constraint`: neither is a condition.
            self.is_clause, self.start, self.group = False, None, []

    def end_term(self, end: int) -> None:
        if self.is_condition and self.start is not None:
            self.group.append(Span(self.start, end))
        self.start = None

    def end_group(self, end: int) -> Iterator[Span]:
        self.end_term(end)
        if len(self.group) > 1 or self.is_clause:
            yield from self.group
        self.group = []


def terms(text: str, *, is_condition: bool = False) -> Iterator[Span]:  # noqa: C901  # one case a token
    """Every term of an `and`, and of every where, on and having, at any depth.

    Put `true` in its place and the condition lets more rows through. ``is_condition``: the text
    is one, rather than a query or a body that has some.
    """
    stack = [_Frame(is_condition)]
    end, before = 0, ""
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "skip":
            continue
        frame, word = stack[-1], match.group().lower()
        if word == "between":
            frame.between = True
        if match.lastgroup == "close" or (word == "end" and frame.is_case):
            yield from frame.end_group(end)
            stack.pop()
        elif word == "and" and frame.between:
            frame.between = False
        elif word == "and":
            frame.end_term(end)
        elif word == "or":
            frame.is_clause = False
            yield from frame.end_group(end)
        elif word in _OPENERS:
            yield from frame.end_group(end)
            frame.open(is_clause=True)
        elif word in {",", ";"} or (word in _CLOSERS and (before, word) != ("distinct", "from")):
            yield from frame.end_group(end)
            frame.close(word)
        else:
            if frame.is_condition and frame.start is None:
                frame.start = match.start()
            if match.lastgroup == "open" or word == "case":
                stack.append(_Frame(match.lastgroup == "open", is_case=word == "case"))
        end, before = match.end(), word
    while stack:
        yield from stack.pop().end_group(end)


def squeezed(text: str) -> str:
    """On one line, for a name."""
    return re.sub(r"\s+", " ", re.sub(r"--[^\n]*", "", text)).strip()
