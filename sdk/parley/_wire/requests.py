"""Requests to PostgREST, as values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import Enum
from typing import Final, TypeAlias
from uuid import UUID

from pydantic import JsonValue

from parley._errors import InvalidRequestError

SCHEMA = "chat"

Argument: TypeAlias = (
    "JsonValue | UUID | datetime | time | timedelta | Sequence[Argument] | Mapping[str, Argument]"
)
Filter: TypeAlias = tuple[str, str]
Row: TypeAlias = "Mapping[str, Argument | NotGiven]"


class NotGiven(Enum):
    """The type of NOT_GIVEN."""

    NOT_GIVEN = "NOT_GIVEN"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


NOT_GIVEN: Final = NotGiven.NOT_GIVEN
"""Stands for an argument that was left out, where None says something."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request to PostgREST.

    path: Below the API's address, without a slash at its start.
    params: The query, in order.
    body: JSON to post, or None.
    prefer: PostgREST's header of that name.
    is_repeatable: Whether doing it twice is the same as doing it once.
    done_code: The error code by which a repeated request learns that an earlier attempt, of which
        the answer was lost, has done it.
    """

    method: str
    path: str
    params: tuple[Filter, ...] = ()
    body: Mapping[str, JsonValue] | None = None
    prefer: str | None = None
    is_repeatable: bool = True
    done_code: str | None = None


def call(
    function: str,
    arguments: Mapping[str, Argument] | None = None,
    *,
    is_repeatable: bool = True,
    done_code: str | None = None,
) -> Request:
    """A function. Arguments that are None are left to their defaults, which are null or better."""
    body = {key: encoded(value) for key, value in (arguments or {}).items() if value is not None}
    return Request(
        "POST",
        f"rpc/{function}",
        body=body,
        is_repeatable=is_repeatable,
        done_code=done_code,
    )


def read(
    relation: str, *filters: Filter, select: str = "*", order: str | None = None, limit: int = 0
) -> Request:
    """Rows of a table or view. ``limit`` 0: all."""
    params = [("select", select), *filters]
    if order:
        params.append(("order", order))
    if limit:
        params.append(("limit", str(limit)))
    return Request("GET", relation, tuple(params))


def upsert(relation: str, row: Mapping[str, Argument], *, on_conflict: str) -> Request:
    """A row made, or changed where it was given; the columns of ``on_conflict`` say which."""
    return Request(
        "POST",
        relation,
        (("on_conflict", on_conflict), ("select", "*")),
        _row(row),
        prefer="resolution=merge-duplicates,return=representation",
    )


def insert_once(relation: str, row: Mapping[str, Argument], *, on_conflict: str) -> Request:
    """A row made, unless there is one; nothing comes back."""
    return Request(
        "POST",
        relation,
        (("on_conflict", on_conflict),),
        _row(row),
        prefer="resolution=ignore-duplicates,return=minimal",
    )


def update(relation: str, row: Mapping[str, Argument | NotGiven], *filters: Filter) -> Request:
    """Rows changed, and returned. Raises InvalidRequestError when nothing is to be changed."""
    changes = _row(row)
    if not changes:
        raise InvalidRequestError("There is nothing to change.", hint="Give at least one argument.")
    return Request(
        "PATCH", relation, (*filters, ("select", "*")), changes, prefer="return=representation"
    )


def delete(relation: str, *filters: Filter) -> Request:
    """Rows removed; nothing comes back."""
    return Request("DELETE", relation, filters, prefer="return=minimal")


def equals(column: str, value: UUID | str | int | bool | None) -> Filter:
    """A filter: the column has this value."""
    if value is None or isinstance(value, bool):
        return column, f"is.{str(value).lower() if value is not None else 'null'}"
    return column, f"eq.{value}"


def any_of(column: str, values: Iterable[UUID | int | str]) -> Filter:
    """A filter: the column has one of these values, each without commas and quotes."""
    return column, f"in.({','.join(map(str, values))})"


def encoded(value: Argument | NotGiven) -> JsonValue:
    """A value as JSON has it."""
    if isinstance(value, datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.days} days {value.seconds + value.microseconds / 1e6} seconds"
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return {key: encoded(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [encoded(item) for item in value]
    return value  # type: ignore[return-value]


def _row(row: Mapping[str, Argument | NotGiven]) -> dict[str, JsonValue]:
    return {key: encoded(value) for key, value in row.items() if value is not NOT_GIVEN}
