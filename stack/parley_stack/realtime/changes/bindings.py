"""What a client subscribes to: a binding of a join, and its filter.

Source: Supabase Realtime protocol, section 8.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_OPERATORS = frozenset(
    "eq neq lt lte gt gte in like ilike is match imatch isdistinct".split()  # noqa: SIM905
)
_ACTIONS = frozenset({"INSERT", "UPDATE", "DELETE"})
EVERYTHING = "*"
_OPENS_QUOTES = frozenset(".(,")


class BindingError(ValueError):
    """A binding that means nothing; its text is for the client."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition on a column; ``value`` of ``in`` is an array literal."""

    column: str
    operator: str
    value: str
    is_negated: bool

    def __str__(self) -> str:
        shown = ", ".join(_quoted(text) for text in (self.column, self.operator, self.value))
        return f"{{{shown}, {str(self.is_negated).lower()}}}"


@dataclass(frozen=True, slots=True)
class Binding:
    """Changes of ``event`` (or ``*``) in tables of these names (or ``*``) that pass all filters."""

    event: str
    schema: str
    table: str
    filters: tuple[Filter, ...] = ()
    select: tuple[str, ...] | None = None

    def __str__(self) -> str:
        filters = ", ".join(str(item) for item in self.filters)
        select = "nil" if self.select is None else f"[{', '.join(map(_quoted, self.select))}]"
        return (
            f"[event: {self.event}, schema: {self.schema}, table: {self.table}, "
            f"filters: [{filters}], select: {select}]"
        )


def read_binding(given: Mapping[str, Any]) -> Binding:
    """A binding as it came. Raises BindingError."""
    event = str(given.get("event", EVERYTHING)).upper()
    schema, table, filter_text = (_text(given, name) for name in ("schema", "table", "filter"))
    if (schema is None and table is None) or (filter_text and (schema is None or table is None)):
        raise BindingError(
            "No subscription params provided. Please provide at least a `schema` or `table` "
            f"to subscribe to: {json.dumps(sorted(given))}"
        )
    select = _select(given.get("select"))
    binding = Binding(
        event if event in _ACTIONS else EVERYTHING,
        schema or "public",
        table or EVERYTHING,
        tuple(_filters(filter_text or "")),
        select,
    )
    if select is not None and EVERYTHING in (binding.schema, binding.table):
        raise BindingError(
            "Column selection is not supported for wildcard subscriptions. "
            "Provide an explicit schema and table name."
        )
    return binding


def _text(given: Mapping[str, Any], name: str) -> str | None:
    value = given.get(name)
    return value if isinstance(value, str) else None


def _select(value: object) -> tuple[str, ...] | None:
    if isinstance(value, str):
        raise BindingError("Error parsing `select` params: expected a list of column names")
    if not isinstance(value, list):
        return None
    return tuple(sorted({name for name in value if isinstance(name, str)})) or None


def _filters(text: str) -> Iterator[Filter]:
    if text.strip():
        for condition in _conditions(text):
            yield _filter(condition.strip())


def _conditions(text: str) -> list[str]:
    """Split at commas that are in no parentheses and no quotes."""
    conditions = [""]
    depth, before = 0, ","
    is_quoted = is_escaped = False
    for character in text:
        if character == "," and depth == 0 and not is_quoted:
            conditions.append("")
            before = character
            continue
        conditions[-1] += character
        if is_quoted:
            if not is_escaped and character == '"':
                is_quoted = False
            is_escaped = character == "\\" and not is_escaped
        elif character == '"' and before in _OPENS_QUOTES:
            is_quoted = True
        elif character == "(":
            depth += 1
        elif character == ")":
            depth = max(depth - 1, 0)
        before = character
    return conditions


def _filter(condition: str) -> Filter:
    if not condition:
        raise _unreadable("filter must not contain empty segments (check for extra commas)")
    column, equals, rest = condition.partition("=")
    if not equals:
        raise _unreadable(_listed(condition))
    is_negated = rest.startswith("not.")
    rest = rest.removeprefix("not.")
    operator, dot, value = rest.partition(".")
    if operator not in _OPERATORS or not dot:
        raise _unreadable(_listed(*(part for part in (operator, value) if part or dot)))
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")")):
            raise _unreadable("`in` filter value must be wrapped by parentheses")
        value = f"{{{value[1:-1]}}}"
    elif len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    return Filter(column.strip(), operator, value, is_negated)


def _unreadable(detail: str) -> BindingError:
    return BindingError(f"Error parsing `filter` params: {detail}")


def _listed(*texts: str) -> str:
    return f"[{', '.join(map(_quoted, texts))}]"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
