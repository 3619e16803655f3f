"""What a subscriber is told of a change.

Source: Supabase Realtime protocol, section 8.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from parley_stack.realtime.wire import to_json

from .judge import Column, Judgement, Verdict
from .stream import Change

_TOO_LARGE = "Error 413: Payload Too Large"
_SMALL_BYTES = 64
_RECORDS = {
    "INSERT": ("record",),
    "UPDATE": ("record", "old_record"),
    "DELETE": ("old_record",),
}


def render(
    change: Change, judgement: Judgement, verdict: Verdict, select: Collection[str] | None
) -> bytes:
    """The ``data`` of a message, as JSON: the columns the role may read, of those selected."""
    relation = change.relation
    head = {"schema": relation.schema, "table": relation.name, "type": change.action}
    if verdict.error is not None:
        error = {"commit_timestamp": None, "errors": [verdict.error], "columns": []}
        return to_json({**head, **error, **{name: {} for name in _RECORDS[change.action]}})
    columns = [
        column
        for column in judgement.columns
        if column.name in verdict.readable
        and (select is None or column.is_key or column.name in select)
    ]
    shown = to_json(
        {
            **head,
            "commit_timestamp": _timestamp(change.transaction.committed_at),
            "errors": [_TOO_LARGE] if change.is_too_large else None,
            "columns": [{"name": column.name, "type": column.type_name} for column in columns],
        }
    )
    if change.action == "DELETE" and verdict.is_rls_enabled:
        columns = [column for column in columns if column.is_key]
    records = {"record": judgement.new, "old_record": judgement.old}
    parts = [shown[:-1]]
    for name in _RECORDS[change.action]:
        parts += [b",", to_json(name), b":", _record(records[name], columns, change)]
    return b"".join((*parts, b"}"))


def _record(values: dict[str, str], columns: list[Column], change: Change) -> bytes:
    """An object of values that are JSON already: numbers keep all their digits."""
    members = []
    for column in columns:
        value = values.get(column.name)
        if value is None:
            continue
        encoded = value.encode()
        if change.is_too_large and (len(encoded) > _SMALL_BYTES or value == "null"):
            continue
        members.append(to_json(column.name) + b":" + encoded)
    return b"{" + b",".join(members) + b"}"


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
