"""Reads large JSON without holding it: the entries of named lists, one after the other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TextIO

# What structure is made of, and strings whole, in which none of it counts.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)
_CHUNK = 1 << 16


def read_items(
    stream: TextIO, lists: set[str], objects: set[str]
) -> Iterator[tuple[int, str, object]]:
    """(number of the enclosing object, key, entry) of what these keys hold.

    Of keys in ``lists`` each entry, of keys in ``objects`` the object. What is in an entry is
    part of it, whatever its keys. Raises ValueError when the text ends early.
    """
    reader = _Reader(stream)
    # The key that leads to each open bracket, and the number of each open object.
    opened: list[tuple[str, str, int]] = []
    key = last = ""
    count = -1
    while (mark := reader.peek()) is not None:
        inside = opened[-1] if opened else ("", "", -1)
        if mark == "{" and (
            (inside[0] == "[" and inside[1] in lists) or (inside[0] == "{" and key in objects)
        ):
            number = opened[-2][2] if inside[0] == "[" else inside[2]
            yield number, inside[1] if inside[0] == "[" else key, reader.value()
            key = ""
            continue
        reader.take()
        if mark == "{":
            count += 1
            opened.append(("{", key, count))
            key = ""
        elif mark == "[":
            opened.append(("[", key, -1))
            key = ""
        elif mark in "}]":
            if not opened or opened.pop()[0] != ("{" if mark == "}" else "["):
                raise ValueError("brackets do not match")
            key = ""
        elif mark == ":":
            key = json.loads(last)
        elif mark == ",":
            key = ""
        last = mark
    if opened:
        raise ValueError("it ends in the middle")


class _Reader:
    """The tokens of a stream, with no more of it in memory than an entry."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._at = 0
        self._is_over = False

    def _more(self) -> bool:
        chunk = self._stream.read(_CHUNK)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        self._is_over = not chunk
        return bool(chunk)

    def _match(self) -> re.Match[str] | None:
        while True:
            found = _TOKEN.search(self._text, self._at)
            # One that reaches the end of what was read may go on.
            if (found and found.end() < len(self._text)) or self._is_over:
                return found
            self._more()

    def peek(self) -> str | None:
        """The next mark; None at the end."""
        found = self._match()
        return found.group() if found else None

    def take(self) -> None:
        """Goes on behind it."""
        found = self._match()
        assert found is not None
        self._at = found.end()

    def value(self) -> object:
        """The whole object that begins with the next mark."""
        found = self._match()
        assert found is not None
        self._at = found.start()
        while True:
            try:
                item, self._at = json.JSONDecoder().raw_decode(self._text, self._at)
            except ValueError:
                # Twice as much each time: an entry is not read over and over.
                wanted = 2 * (len(self._text) - self._at)
                if not self._more():
                    raise
                while len(self._text) < wanted and self._more():
                    pass
            else:
                return item
