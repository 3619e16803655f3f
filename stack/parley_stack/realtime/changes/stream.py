"""Changes of tables as the log tells them, waiting to be judged.

Rows are kept as bytes until it is their turn; those of tables that nobody asks about are not kept.
Source: Supabase Realtime protocol, section 8; PostgreSQL, "Logical Replication Message Formats".
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from parley_stack.realtime import pgoutput
from parley_stack.realtime.pgoutput import Relation, Unchanged, Value

_log = logging.getLogger(__name__)

_MAX_WAITING_BYTES = 256 * 1024 * 1024
_MAX_CHANGE_BYTES = 1024 * 1024
"""Above it, large values are left out of what clients are told."""
_ROW_KINDS = frozenset(b"IUD")
_RELATION_ID = struct.Struct("!I")

Texts = dict[str, str | None]
"""Values as PostgreSQL writes them; a column that the log does not tell is missing."""


@dataclass(frozen=True, slots=True)
class Change:
    """A row that was inserted, updated or deleted. ``new`` is empty for a delete."""

    relation: Relation
    transaction: pgoutput.Begin
    action: str
    new: Texts
    old: Texts
    is_too_large: bool


@dataclass(frozen=True, slots=True)
class _Waiting:
    relation: Relation
    transaction: pgoutput.Begin
    data: bytes


class ChangeQueue:
    """Takes pgoutput messages, gives changes in commit order.

    ``is_wanted`` tells whether anyone subscribes to the table with an oid.
    """

    def __init__(self, is_wanted: Callable[[int], bool]) -> None:
        self._is_wanted = is_wanted
        self._relations: dict[int, Relation] = {}
        self._transaction: pgoutput.Begin | None = None
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._has_some = asyncio.Event()
        self._is_dropping = False

    def begin(self) -> None:
        """A new stream tells its relations anew."""
        self._relations.clear()

    def receive(self, data: bytes) -> None:
        """One message. Raises PgoutputError."""
        if data[:1] and data[0] in _ROW_KINDS and len(data) > _RELATION_ID.size:
            (oid,) = _RELATION_ID.unpack_from(data, 1)
            if self._is_wanted(oid):
                self._keep(oid, data)
            return
        message = pgoutput.decode(data)
        if isinstance(message, pgoutput.Begin):
            self._transaction = message
        elif isinstance(message, Relation):
            self._relations[message.oid] = message

    async def next(self) -> Change:
        """The next change; waits for it."""
        while not self._waiting:
            self._has_some.clear()
            await self._has_some.wait()
        item = self._waiting.popleft()
        self._bytes -= len(item.data)
        return _read(item)

    def _keep(self, oid: int, data: bytes) -> None:
        relation = self._relations.get(oid)
        if relation is None or self._transaction is None:
            raise pgoutput.PgoutputError("a row of a table that was not announced")
        is_full = self._bytes + len(data) > _MAX_WAITING_BYTES
        if is_full and not self._is_dropping:
            _log.warning("changes of tables are dropped: too many wait to be judged")
        self._is_dropping = is_full
        if not is_full:
            self._waiting.append(_Waiting(relation, self._transaction, data))
            self._bytes += len(data)
            self._has_some.set()


def _read(item: _Waiting) -> Change:
    message = pgoutput.decode(item.data)
    relation = item.relation
    new: Texts = {}
    old: Texts = {}
    match message:
        case pgoutput.Insert():
            action, new = "INSERT", _known(relation, message.new)
        case pgoutput.Update():
            action, new = "UPDATE", _known(relation, message.new)
            if message.old is not None:
                old = _known(relation, message.old)
                new = {**{name: old[name] for name in old if name not in new}, **new}
            else:
                # The key is told only if it has changed.
                old = _key(relation, new if message.key is None else _known(relation, message.key))
        case pgoutput.Delete():
            action = "DELETE"
            if message.old is not None:
                old = _known(relation, message.old)
            elif message.key is not None:
                old = _key(relation, _known(relation, message.key))
        case _:
            raise pgoutput.PgoutputError("not a change of a row")
    is_too_large = len(item.data) > _MAX_CHANGE_BYTES
    return Change(relation, item.transaction, action, new, old, is_too_large)


def _known(relation: Relation, values: tuple[Value, ...]) -> Texts:
    row = relation.row(values)
    return {name: value for name, value in row.items() if not isinstance(value, Unchanged)}


def _key(relation: Relation, row: Texts) -> Texts:
    """The columns of the replica identity; others are null in the log, whatever they were."""
    names = {column.name for column in relation.columns if column.is_key}
    return {name: value for name, value in row.items() if name in names}
