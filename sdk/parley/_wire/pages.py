"""Lists read in pages: by key, never by offset."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from pydantic import BaseModel

from parley._errors import InvalidRequestError

from .requests import Filter, Request, read

LONGEST_PAGE = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Keyset:
    """The order of a list: columns that no two rows share.

    types: Of the columns, to check cursors: ``datetime`` or anything made from text.
    """

    columns: tuple[str, ...]
    types: tuple[type, ...]
    is_descending: bool = True

    @property
    def order(self) -> str:
        """As PostgREST wants it."""
        direction = "desc" if self.is_descending else "asc"
        return ",".join(f"{column}.{direction}" for column in self.columns)

    def cursor(self, item: BaseModel) -> str:
        """Where the page after this item starts: opaque text, safe in a URL."""
        values = [getattr(item, column) for column in self.columns]
        if len(values) == 1 and isinstance(values[0], int):
            return str(values[0])
        texts = [v.isoformat() if isinstance(v, datetime) else str(v) for v in values]
        return base64.urlsafe_b64encode(json.dumps(texts).encode()).decode().rstrip("=")

    def after(self, cursor: str | None) -> tuple[Filter, ...]:
        """Filters for what comes after a cursor. Raises InvalidRequestError."""
        if cursor is None:
            return ()
        values = self._read(cursor)
        operator = "lt" if self.is_descending else "gt"
        first = self.columns[0]
        if len(values) == 1:
            return ((first, f"{operator}.{values[0]}"),)
        terms = []
        equal: list[str] = []
        for column, value in zip(self.columns, values, strict=True):
            after = ",".join([*equal, f'{column}.{operator}."{value}"'])
            terms.append(f"and({after})" if equal else after)
            if column != first:
                equal.append(f'{column}.eq."{value}"')
        # The first filter is implied by the second; it is one that an index can use.
        return ((first, f"{operator}e.{values[0]}"), ("or", f"({','.join(terms)})"))

    def _read(self, cursor: str) -> list[str]:
        try:
            if len(self.columns) == 1 and cursor.isdecimal():
                texts = [cursor]
            else:
                padded = cursor + "=" * (-len(cursor) % 4)
                texts = json.loads(base64.urlsafe_b64decode(padded))
            if not isinstance(texts, list) or len(texts) != len(self.columns):
                raise ValueError
            pairs = zip(self.types, texts, strict=True)
            return [_checked(kind, text) for kind, text in pairs]
        except (binascii.Error, ValueError, TypeError, AttributeError):
            raise InvalidRequestError(
                "`cursor` is not one of this list's.", hint="Give a page's next_cursor as it is."
            ) from None


def _checked(kind: type, text: str) -> str:
    if kind is datetime:
        return datetime.fromisoformat(text).isoformat()
    return str(kind(text))


def read_page(
    relation: str,
    keyset: Keyset,
    limit: int,
    cursor: str | None,
    *filters: Filter,
    select: str = "*",
) -> Request:
    """A page of rows and one more, by which to know that there are more."""
    return read(
        relation,
        *filters,
        *keyset.after(cursor),
        select=select,
        order=keyset.order,
        limit=checked_limit(limit) + 1,
    )


def cut_page(items: Sequence[T], limit: int) -> tuple[tuple[T, ...], T | None]:
    """A page's items, and its last one when there are more after it."""
    if len(items) > limit:
        return tuple(items[:limit]), items[limit - 1]
    return tuple(items), None


def checked_limit(limit: int, longest: int = LONGEST_PAGE) -> int:
    """Raises InvalidRequestError unless a page of this many items can be had."""
    if not 1 <= limit <= longest:
        raise InvalidRequestError("`limit` is out of range.", hint=f"Give 1 to {longest}.")
    return limit
