"""HTML mails as plain text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "br", "div", "h1", "h2", "h3", "h4", "li", "tr", "table", "ul", "ol"})
_HIDDEN = frozenset({"style", "script", "head", "title"})


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0
        self._link = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN
        if tag in _BLOCKS:
            self.parts.append("\n")
        if tag == "a":
            self._link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in _HIDDEN
        if tag == "a" and self._link:
            self.parts.append(f" ( {self._link} )")
            self._link = ""

    def handle_data(self, data: str) -> None:
        if self._hidden <= 0:
            self.parts.append(re.sub(r"\s+", " ", data))


def plain_text(html: str) -> str:
    """What a mail says; a link is followed by its address in parentheses."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    lines = (line.strip() for line in "".join(reader.parts).splitlines())
    return "\n".join(line for line in lines if line)
