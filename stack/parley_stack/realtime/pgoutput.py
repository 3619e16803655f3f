"""Messages of PostgreSQL's ``pgoutput`` plugin, protocol version 1, from bytes to values.

Pure functions; the stream itself is in ``replication``. Values stay text as PostgreSQL writes
them. Source: PostgreSQL, "Logical Replication Message Formats".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_BEGIN = struct.Struct("!QqI")
_COMMIT = struct.Struct("!BQQq")  # flags, LSN of the commit, LSN of its end, time
_RELATION_ID = struct.Struct("!I")
_COUNT = struct.Struct("!h")
_LENGTH = struct.Struct("!i")
_COLUMN_TYPE = struct.Struct("!Ii")


class PgoutputError(ValueError):
    """Bytes that are no message of this protocol."""


class Unchanged(Enum):
    """A large value that the change did not touch and the log does not repeat."""

    TOAST = "unchanged"


Value = str | None | Unchanged
"""A column's text, null, or not told."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Start of a committed transaction; ``committed_at`` is its commit time, UTC."""

    final_lsn: int
    committed_at: datetime
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """End of a transaction."""

    end_lsn: int
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a relation; ``is_key`` means part of the replica identity."""

    name: str
    type_oid: int
    is_key: bool


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was when the changes that follow happened.

    ``replica_identity``: ``d`` default, ``n`` nothing, ``f`` full, ``i`` index.
    """

    oid: int
    schema: str
    name: str
    replica_identity: str
    columns: tuple[Column, ...]

    def row(self, values: tuple[Value, ...]) -> Mapping[str, Value]:
        """Values by column name. Raises PgoutputError if their number differs."""
        if len(values) != len(self.columns):
            raise PgoutputError("a row has another number of columns than its table")
        return {column.name: v for column, v in zip(self.columns, values, strict=True)}


@dataclass(frozen=True, slots=True)
class Insert:
    """A new row."""

    relation_oid: int
    new: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Update:
    """A changed row. ``key`` holds the old key columns, ``old`` the whole old row, if told."""

    relation_oid: int
    key: tuple[Value, ...] | None
    old: tuple[Value, ...] | None
    new: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Delete:
    """A deleted row, by its key columns or as a whole."""

    relation_oid: int
    key: tuple[Value, ...] | None
    old: tuple[Value, ...] | None


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    relation_oids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Other:
    """An origin, a type or a logical message: nothing a reader of rows needs."""

    kind: str


Message = Begin | Commit | Relation | Insert | Update | Delete | Truncate | Other


def decode(data: bytes) -> Message:
    """One message. Raises PgoutputError."""
    if not data:
        raise PgoutputError("empty message")
    try:
        return _decode(data)
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError) as error:
        raise PgoutputError("malformed message") from error


def _decode(data: bytes) -> Message:
    kind = data[:1]
    match kind:
        case b"I":
            (oid,) = _RELATION_ID.unpack_from(data, 1)
            _expect(data, 5, b"N")
            return Insert(oid, _tuple(data, 6)[0])
        case b"U":
            return _update(data)
        case b"D":
            return _delete(data)
        case b"B":
            final_lsn, committed, xid = _BEGIN.unpack_from(data, 1)
            return Begin(final_lsn, _time(committed), xid)
        case b"C":
            _, _, end_lsn, committed = _COMMIT.unpack_from(data, 1)
            return Commit(end_lsn, _time(committed))
        case b"R":
            return _relation(data)
        case b"T":
            (count,) = _LENGTH.unpack_from(data, 1)
            if count < 0:
                raise PgoutputError("negative number of tables")
            return Truncate(struct.unpack_from(f"!{count}I", data, 6))
        case b"O" | b"Y" | b"M":
            return Other(kind.decode())
        case _:
            raise PgoutputError("unknown kind of message")


def _update(data: bytes) -> Update:
    (oid,) = _RELATION_ID.unpack_from(data, 1)
    key = old = None
    position = 5
    if data[5:6] == b"K":
        key, position = _tuple(data, 6)
    elif data[5:6] == b"O":
        old, position = _tuple(data, 6)
    _expect(data, position, b"N")
    return Update(oid, key, old, _tuple(data, position + 1)[0])


def _delete(data: bytes) -> Delete:
    (oid,) = _RELATION_ID.unpack_from(data, 1)
    values, _ = _tuple(data, 6)
    if data[5:6] == b"K":
        return Delete(oid, values, None)
    _expect(data, 5, b"O")
    return Delete(oid, None, values)


def _relation(data: bytes) -> Relation:
    (oid,) = _RELATION_ID.unpack_from(data, 1)
    schema, position = _string(data, 5)
    name, position = _string(data, position)
    identity = chr(data[position])
    (count,) = _COUNT.unpack_from(data, position + 1)
    position += 3
    columns = []
    for _ in range(count):
        is_key = bool(data[position] & 1)
        column, position = _string(data, position + 1)
        type_oid, _ = _COLUMN_TYPE.unpack_from(data, position)
        position += _COLUMN_TYPE.size
        columns.append(Column(column, type_oid, is_key))
    # The system catalog's schema is sent as an empty name.
    return Relation(oid, schema or "pg_catalog", name, identity, tuple(columns))


def _tuple(data: bytes, position: int) -> tuple[tuple[Value, ...], int]:
    """A row that starts at ``position``, and where it ends."""
    (count,) = _COUNT.unpack_from(data, position)
    position += 2
    values: list[Value] = []
    for _ in range(count):
        kind = data[position]
        position += 1
        if kind == 0x6E:  # n
            values.append(None)
        elif kind == 0x75:  # u
            values.append(Unchanged.TOAST)
        elif kind == 0x74:  # t
            (length,) = _LENGTH.unpack_from(data, position)
            position += 4
            if length < 0 or position + length > len(data):
                raise PgoutputError("truncated value")
            values.append(data[position : position + length].decode())
            position += length
        else:
            raise PgoutputError("unknown kind of value")
    return tuple(values), position


def _string(data: bytes, position: int) -> tuple[str, int]:
    """A zero-terminated text, and where it ends."""
    end = data.find(b"\0", position)
    if end < 0:
        raise PgoutputError("unterminated text")
    return data[position:end].decode(), end + 1


def _expect(data: bytes, position: int, kind: bytes) -> None:
    if data[position : position + 1] != kind:
        raise PgoutputError(f"expected a tuple of kind {kind.decode()}")


def _time(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
