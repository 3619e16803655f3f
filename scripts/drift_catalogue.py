"""What Parley consists of in one database, for ``scripts/drift``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

import psycopg
from isolation import FOLDER
from psycopg import sql
from verify import Address, Entry, read_entries

Key = tuple[str, str]
"""Kind and name."""

REMOVE, MAKE, REVOKE, GRANT, ROWS, MIGRATIONS = range(6)
"""The order of a script."""

CONSTRAINTS = ("primary key", "unique constraint", "foreign key", "check", "exclusion")
_REMADE = ("function", "policy", "trigger", "rule", "index", "view", *CONSTRAINTS)
"""Kinds that hold nothing of their own: one can go and come back with what it depends on."""


class Step(NamedTuple):
    """A statement and its place."""

    phase: int
    place: int
    statement: str


class Catalogue:
    """What Parley consists of in a database, how each thing is made, and what it needs.

    The latter two are read when something differs.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.entries: dict[Key, Entry] = {}
        self.wholes: dict[int, Entry] = {}
        """What can have parts, by its oid: a table, a view, a function, a constraint."""
        self.children: dict[int, list[Entry]] = defaultdict(list)
        for entry in read_entries(connection):
            self.entries[entry.kind, entry.name] = entry
            if entry.kind in ("table", "function", *CONSTRAINTS):
                self.wholes[entry.address[1]] = entry
            if entry.part_of:
                self.children[entry.part_of].append(entry)

    def _ask(self, query: bytes) -> list[tuple[Any, ...]]:
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("set local search_path = ''")
            return self.connection.execute(query).fetchall()

    @cached_property
    def statements(self) -> dict[Address, str]:
        """What makes each."""
        rows = self._ask((FOLDER / "statements.sql").read_bytes())
        return {(catalogue, oid, part): text for catalogue, oid, part, text in rows}

    @cached_property
    def signatures(self) -> dict[Address, str]:
        """Functions without the names of their arguments."""
        query = (
            b"select 'pg_proc'::regclass::oid, p.oid, p.oid::regprocedure::text from pg_proc as p"
        )
        return {(catalogue, oid, 0): text for catalogue, oid, text in self._ask(query)}

    @cached_property
    def needs(self) -> dict[Address, set[Address]]:
        """What must be there before what."""
        needs: dict[Address, set[Address]] = {e.address: set() for e in self.entries.values()}
        for a, b, c, *before in self._ask((FOLDER / "dependencies.sql").read_bytes()):
            needed = (before[0], before[1], before[2])
            if (a, b, c) in needs and needed in needs and (a, b, c) != needed:
                needs[a, b, c].add(needed)
        return needs

    @cached_property
    def places(self) -> dict[Address, int]:
        """An order in which all could be made."""
        order = TopologicalSorter({address: self.needs[address] for address in sorted(self.needs)})
        return {address: place for place, address in enumerate(order.static_order())}

    def whole(self, entry: Entry) -> Entry | None:
        """What it is a part of, if that is Parley's."""
        return self.wholes.get(entry.part_of)

    def parts(self, whole: Entry) -> Iterator[Entry]:
        """Everything that goes with it, also parts of parts."""
        if self.wholes.get(whole.address[1]) is whole:
            for entry in self.children[whole.address[1]]:
                yield entry
                yield from self.parts(entry)

    def remade_with(self, entry: Entry) -> list[Entry]:
        """What depends on it, and must go before and come back after it."""
        found = {entry.address}
        while more := {a for a, needed in self.needs.items() if needed & found} - found:
            found |= more
        return [
            other
            for other in self.entries.values()
            if other.address in found - {entry.address} and sort(other) in _REMADE
        ]

    def drop(self, entry: Entry) -> Step:
        """The statement that removes it."""
        row = self.connection.execute(
            "select o.type, o.identity, a.object_names, a.object_args"
            " from pg_identify_object(%(c)s, %(o)s, %(p)s) as o,"
            " pg_identify_object_as_address(%(c)s, %(o)s, %(p)s) as a",
            dict(zip("cop", entry.address, strict=True)),
        ).fetchone()
        assert row is not None
        what, identity, names, arguments = row
        table = sql.Identifier(*names[:2]).as_string(None)
        if what == "table column":
            text = f"alter table {table} drop column {quoted(names[2])};"
        elif what == "table constraint":
            text = f"alter table {table} drop constraint {quoted(names[2])};"
        elif what == "publication relation":
            text = f"alter publication {quoted(arguments[0])} drop table {table};"
        else:
            text = f"drop {what} {identity};"
        return Step(REMOVE, -self.places[entry.address], text)

    def is_wider(self, old: str, new: str) -> bool:
        """Whether every value of a type is also one of the other."""
        row = self.connection.execute(
            "select %(new)s !~ '[(]' and (split_part(%(old)s, '(', 1) = %(new)s or exists ("
            " select from pg_cast as c where c.castcontext = 'i'"
            " and c.castsource = to_regtype(%(old)s) and c.casttarget = to_regtype(%(new)s)))",
            {"old": old, "new": new},
        ).fetchone()
        return row == (True,)


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def sort(entry: Entry) -> str:
    """Its kind, views apart from what holds data."""
    is_view = entry.kind == "table" and entry.definition.startswith("view")
    return "view" if is_view else entry.kind
