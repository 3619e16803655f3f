"""Pages of the user list: what the query asks for, and the headers that lead on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import AuthError, invalid

DEFAULT_PER_PAGE = 50
_MAX = 2**31 - 1
"""Of each number, so that the offset fits PostgreSQL's bigint."""


@dataclass(frozen=True)
class Page:
    """Page ``number``, counted from 1, of ``size`` users each."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size

    def headers(self, total: int) -> dict[str, str]:
        """``X-Total-Count``, and ``Link`` to the next page (unless this is the last) and the last.

        Clients take the links apart by character: ``page`` comes first, ``rel`` is quoted.
        """
        last = max(1, -(-total // self.size))
        links = [f'<{self._path(last)}>; rel="last"']
        if self.number < last:
            links.insert(0, f'<{self._path(self.number + 1)}>; rel="next"')
        return {"X-Total-Count": str(total), "Link": ", ".join(links)}

    def _path(self, number: int) -> str:
        return f"/admin/users?page={number}&per_page={self.size}"


def page_of(query: Mapping[str, str]) -> Page:
    """The page ``query`` names; missing and empty mean the default.

    Raises ``validation_failed`` for anything but positive whole numbers.
    """
    return Page(_positive(query, "page", 1), _positive(query, "per_page", DEFAULT_PER_PAGE))


def _positive(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name) or str(default)
    if text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= _MAX:
        return int(text)
    raise _bad(name)


def _bad(name: str) -> AuthError:
    return invalid(f"Bad Pagination Parameters: {name} must be a positive integer")
