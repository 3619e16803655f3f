"""Messages of pgoutput, and rows of realtime.messages among them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_stack.realtime import pgoutput
from parley_stack.realtime.broadcasts import EventBroadcast
from parley_stack.realtime.messages_feed import MessagesFeed

values = (
    st.none()
    | st.just(pgoutput.Unchanged.TOAST)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
)
rows = st.lists(values, max_size=6).map(tuple)
names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def a_tuple(row: tuple[pgoutput.Value, ...]) -> bytes:
    parts = [struct.pack("!h", len(row))]
    for value in row:
        if value is None:
            parts.append(b"n")
        elif isinstance(value, str):
            parts.append(b"t" + struct.pack("!i", len(value.encode())) + value.encode())
        else:
            parts.append(b"u")
    return b"".join(parts)


def a_relation(oid: int, schema: str, name: str, columns: list[tuple[str, int, bool]]) -> bytes:
    head = b"R" + struct.pack("!I", oid) + schema.encode() + b"\0" + name.encode() + b"\0d"
    parts = [head, struct.pack("!h", len(columns))]
    for column, type_oid, is_key in columns:
        parts.append(bytes([is_key]) + column.encode() + b"\0" + struct.pack("!Ii", type_oid, -1))
    return b"".join(parts)


@given(oid=st.integers(0, 2**32 - 1), row=rows)
def test_insert_is_read_as_written(oid: int, row: tuple[pgoutput.Value, ...]) -> None:
    data = b"I" + struct.pack("!I", oid) + b"N" + a_tuple(row)
    assert pgoutput.decode(data) == pgoutput.Insert(oid, row)


@given(kind=st.sampled_from([b"", b"K", b"O"]), old=rows, new=rows)
def test_update_is_read_as_written(kind: bytes, old: Any, new: Any) -> None:
    before = kind + a_tuple(old) if kind else b""
    message = pgoutput.decode(b"U" + struct.pack("!I", 7) + before + b"N" + a_tuple(new))
    key = old if kind == b"K" else None
    whole = old if kind == b"O" else None
    assert message == pgoutput.Update(7, key, whole, new)


@given(kind=st.sampled_from([b"K", b"O"]), old=rows)
def test_delete_is_read_as_written(kind: bytes, old: Any) -> None:
    message = pgoutput.decode(b"D" + struct.pack("!I", 7) + kind + a_tuple(old))
    expected = (old, None) if kind == b"K" else (None, old)
    assert message == pgoutput.Delete(7, *expected)


@given(
    schema=names.filter(bool),
    name=names,
    columns=st.lists(st.tuples(names, st.integers(0, 2**32 - 1), st.booleans()), max_size=5),
)
def test_relation_is_read_as_written(schema: str, name: str, columns: Any) -> None:
    message = pgoutput.decode(a_relation(9, schema, name, columns))
    expected = tuple(pgoutput.Column(*column) for column in columns)
    assert message == pgoutput.Relation(9, schema, name, "d", expected)


def test_transaction_and_truncate_are_read() -> None:
    moment = struct.pack("!q", 1_000_000)
    committed = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)
    begin = b"B" + struct.pack("!Q", 5) + moment + struct.pack("!I", 42)
    commit = b"C\0" + struct.pack("!QQ", 5, 6) + moment
    truncate = b"T" + struct.pack("!iBII", 2, 0, 8, 9)
    assert pgoutput.decode(begin) == pgoutput.Begin(5, committed, 42)
    assert pgoutput.decode(commit) == pgoutput.Commit(6, committed)
    assert pgoutput.decode(truncate) == pgoutput.Truncate((8, 9))


@given(kind=st.sampled_from(b"BCRIUDTOYMx"), rest=st.binary(max_size=80))
def test_any_bytes_are_a_message_or_an_error(kind: int, rest: bytes) -> None:
    try:
        pgoutput.decode(bytes([kind]) + rest)
    except pgoutput.PgoutputError:
        return


@given(row=rows, cut=st.integers(1, 200))
def test_truncated_message_is_an_error(row: tuple[pgoutput.Value, ...], cut: int) -> None:
    data = b"I" + struct.pack("!I", 1) + b"N" + a_tuple(row)
    with pytest.raises(pgoutput.PgoutputError):
        pgoutput.decode(data[: max(0, len(data) - cut)])


COLUMNS = ["topic", "payload", "event", "private", "id", "binary_payload"]
ROW = {"topic": "t", "payload": '{"a": 1}', "event": "e", "private": "f", "id": "1"}


class Received(list[tuple[bool, str, EventBroadcast]]):
    def __call__(self, *delivery: Any) -> None:
        self.append(delivery)


def feed_row(row: Mapping[str, str | None], max_payload_bytes: int = 100) -> Received:
    received = Received()
    feed = MessagesFeed(received, max_payload_bytes)
    feed.begin()
    feed.receive(a_relation(1, "realtime", "messages", [(name, 25, False) for name in COLUMNS]))
    values = tuple(row.get(name) for name in COLUMNS)
    feed.receive(b"I" + struct.pack("!I", 1) + b"N" + a_tuple(values))
    return received


def test_row_becomes_a_broadcast() -> None:
    expected = EventBroadcast("e", b'{"a": 1}', is_json=True, meta=b'{"id":"1"}')
    assert feed_row(ROW) == [(False, "t", expected)]
    assert feed_row({**ROW, "private": "t"}) == [(True, "t", expected)]


def test_binary_row_becomes_opaque_bytes() -> None:
    row = {**ROW, "payload": None, "binary_payload": "\\x00ff"}
    assert feed_row(row)[0][2] == EventBroadcast("e", b"\x00\xff", False, b'{"id":"1"}')


@pytest.mark.parametrize("missing", ["topic", "event", "private", "payload"])
def test_incomplete_row_is_skipped(missing: str) -> None:
    assert feed_row({**ROW, missing: None}) == []


def test_oversized_row_is_skipped() -> None:
    assert feed_row(ROW, max_payload_bytes=7) == []


def test_row_of_an_unknown_table_is_an_error() -> None:
    feed = MessagesFeed(Received(), 100)
    with pytest.raises(pgoutput.PgoutputError):
        feed.receive(b"I" + struct.pack("!I", 1) + b"N" + a_tuple(()))
