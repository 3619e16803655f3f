"""The statements that make one database's catalogue like another's, smallest first.

Every statement is a step with its place in the script: what goes, in the order that lets it go;
then what is made, each after what it needs; then rights; then rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
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

_CONSTRAINTS = ("primary key", "unique constraint", "foreign key", "check", "exclusion")
_REMADE = ("function", "policy", "trigger", "rule", "index", "view", *_CONSTRAINTS)
"""Kinds that hold nothing of their own: one can go and come back with what it depends on."""

_COLUMN = re.compile(
    r"(?P<type>.+?)(?P<null> not null)?(?P<identity> identity( always)?)?"
    r"(?P<generated> generated( virtual)?)?( default (?P<default>.+))?",
    re.DOTALL,
)
_PLATFORM = "public, anon, authenticated, service_role"
"""Whom defaults of the platform may give rights to on something new."""


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
            if entry.kind in ("table", "function", *_CONSTRAINTS):
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
            text = f"alter table {table} drop column {_quoted(names[2])};"
        elif what == "table constraint":
            text = f"alter table {table} drop constraint {_quoted(names[2])};"
        elif what == "publication relation":
            text = f"alter publication {_quoted(arguments[0])} drop table {table};"
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


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string(None)


def sort(entry: Entry) -> str:
    """Its kind, views apart from what holds data."""
    is_view = entry.kind == "table" and entry.definition.startswith("view")
    return "view" if is_view else entry.kind


def make(wanted: Catalogue, entry: Entry) -> list[Step]:
    """Makes something that is not there, with all its parts and exactly its grants."""
    steps = []
    for part in (entry, *wanted.parts(entry)):
        statement = wanted.statements.get(part.address)
        whole = wanted.whole(part)
        comes_along = (part.kind == "index" and whole and whole.kind in _CONSTRAINTS) or (
            part.kind == "column" and whole and sort(whole) == "view"
        )
        if statement and not comes_along and part.kind not in ("grant", "owner"):
            steps.append(Step(MAKE, wanted.places[part.address], statement))
        if part.kind in ("function", "table"):
            revoke = f"revoke all on {_object(part)} from {_PLATFORM};"
            steps.append(Step(REVOKE, wanted.places[part.address], revoke))
        if part.kind == "grant":
            steps += _grants(wanted, part)
    return steps


def remake(wanted: Catalogue, found: Catalogue, new: Entry, old: Entry) -> list[Step]:
    """Puts something in the place of another, and what depends on it back."""
    steps = [found.drop(old), *make(wanted, new)]
    for other in found.remade_with(old):
        again = wanted.entries.get((other.kind, other.name))
        if again is None:
            continue  # Not ours: the statement fails, and says what is in the way.
        whole = found.whole(other)
        if not (other.kind == "index" and whole and whole.kind in _CONSTRAINTS):
            steps += [found.drop(other), *make(wanted, again)]
    return steps


def change(wanted: Catalogue, found: Catalogue, new: Entry, old: Entry) -> list[Step]:
    """Makes something what it should be; nothing, if that takes thought."""
    if new.kind == "grant":
        return change_grant(wanted, new, old)
    if new.kind == "column":
        return _change_column(wanted, found, new, old)
    if sort(new) != sort(old):
        return []
    statements: list[str]
    if new.kind in ("function", "table") and _can_replace(wanted, found, new, old):
        statements = [wanted.statements[new.address]]
    elif sort(new) == "table":
        statements = list(_change_table(new, old))
    elif new.kind == "type":
        statements = list(_more_labels(new, old))
    elif new.kind == "role":
        statements = [f"alter role {_quoted(new.name)} nosuperuser nobypassrls;"]
    elif new.kind == "trigger" and _without_switch(new) == _without_switch(old):
        table, name = new.name.split(" ", 1)
        switch = {"(disabled)": "disable", "(always)": "enable always"}
        how = switch.get(new.definition.removeprefix(_without_switch(new)).strip(), "enable")
        statements = [f"alter table {table} {how} trigger {_quoted(name)};"]
    elif new.kind in _CONSTRAINTS and old.definition == f"{new.definition} NOT VALID":
        table, name = new.name.split(" ", 1)
        statements = [f"alter table {table} validate constraint {_quoted(name)};"]
    else:
        return remake(wanted, found, new, old)
    return [Step(MAKE, wanted.places[new.address], statement) for statement in statements]


def _without_switch(trigger: Entry) -> str:
    return re.sub(r" \((disabled|always|for replicas)\)$", "", trigger.definition)


def _can_replace(wanted: Catalogue, found: Catalogue, new: Entry, old: Entry) -> bool:
    """Whether `create or replace` will do."""
    if new.kind == "function":
        # It cannot change the result, or names and defaults of arguments.
        return _signature(new) == _signature(old)
    return sort(new) == "view" and _columns(wanted, new) == _columns(found, old)


def _columns(catalogue: Catalogue, view: Entry) -> list[tuple[int, str, str]]:
    return sorted(
        (part.address[2], part.name, part.definition)
        for part in catalogue.parts(view)
        if part.kind == "column"
    )


def _signature(function: Entry) -> tuple[str, str, list[str]]:
    result = re.match(r"returns .*?(?=, (sql|plpgsql|c|internal), )", function.definition)
    arguments = re.findall(r"arguments \w{32}", function.definition)
    return function.name, result.group() if result else "", arguments


def _change_table(new: Entry, old: Entry) -> Iterator[str]:
    wanted, actual = new.definition.split(", "), old.definition.split(", ")
    for word in (*wanted, *actual):
        is_wanted = word in wanted
        if is_wanted and word in actual:
            continue
        if word.startswith("row level security"):
            if is_wanted:
                switch = "enable" if word.endswith("on") else "disable"
                yield f"alter table {new.name} {switch} row level security;"
        elif word == "forced":
            yield f"alter table {new.name} {'' if is_wanted else 'no '}force row level security;"
        elif word == "unlogged":
            yield f"alter table {new.name} set {'un' if is_wanted else ''}logged;"
        elif is_wanted:
            yield f"alter table {new.name} set ({word});"
        else:
            yield f"alter table {new.name} reset ({word.partition('=')[0]});"


def _change_column(wanted: Catalogue, found: Catalogue, new: Entry, old: Entry) -> list[Step]:
    after, before = _COLUMN.fullmatch(new.definition), _COLUMN.fullmatch(old.definition)
    table = wanted.whole(new)
    assert after is not None
    assert before is not None
    assert table is not None
    # No statement changes what a generated column is: it must go and come back, at its new place.
    if after["generated"] or before["generated"]:
        return []
    place = wanted.places[new.address]
    column = _quoted(new.name.removeprefix(f"{table.name}."))
    steps: list[Step] = []

    def alter(what: str) -> None:
        steps.append(Step(MAKE, place, f"alter table {table.name} alter column {column} {what};"))

    is_retyped = after["type"] != before["type"]
    if before["identity"] and before["identity"] != after["identity"]:
        alter("drop identity")
    if before["default"] and (is_retyped or before["default"] != after["default"]):
        alter("drop default")
    if is_retyped:
        for other in found.remade_with(old):
            again = wanted.entries.get((other.kind, other.name))
            # A type is changed under keys, checks and indexes, not under what has a query.
            if again and sort(other) in ("policy", "view", "function", "trigger", "rule"):
                steps += [found.drop(other), *make(wanted, again)]
        alter(f"type {after['type']} using {column}::{after['type']}")
    if after["default"] and (is_retyped or before["default"] != after["default"]):
        alter(f"set default {after['default']}")
    if after["null"] != before["null"]:
        alter(f"{'set' if after['null'] else 'drop'} not null")
    if after["identity"] and before["identity"] != after["identity"]:
        always = "always" if after["identity"].endswith("always") else "by default"
        alter(f"add generated {always} as identity")
    return steps


def loses_values(found: Catalogue, new: Entry, old: Entry) -> bool:
    """Whether a change may lose what a column holds."""
    after, before = _COLUMN.fullmatch(new.definition), _COLUMN.fullmatch(old.definition)
    if new.kind != "column" or after is None or before is None or after["type"] == before["type"]:
        return False
    return not found.is_wider(before["type"], after["type"])


def _more_labels(new: Entry, old: Entry) -> Iterator[str]:
    """New values of an enum, each at its place; none go."""
    wanted = new.definition.removeprefix("enum ").split(", ")
    actual = old.definition.removeprefix("enum ").split(", ")
    if new.definition.startswith("row of") or [x for x in wanted if x in actual] != actual:
        return
    for number, label in enumerate(wanted):
        if label not in actual:
            at = f"after '{wanted[number - 1]}'" if number else f"before '{actual[0]}'"
            yield f"alter type {new.name} add value '{label}' {at};"


def _object(entry: Entry) -> str:
    """As `grant ... on` names it."""
    return entry.name if entry.name.startswith("schema ") else f"{entry.kind} {entry.name}"


def _grants(wanted: Catalogue, grant: Entry) -> list[Step]:
    """Gives what a grant says."""
    steps = []
    whole, grantee = grant.name.rsplit(" to ", 1)
    parent = wanted.whole(grant)
    column = ""
    if parent is not None and whole != parent.name:
        column = f" ({_quoted(whole.removeprefix(f'{parent.name}.'))})"
    what = _object(parent) if parent else whole
    for ending in ("", " with grant option"):
        given = [
            f"{word.removesuffix(ending)}{column}"
            for word in grant.definition.split(", ")
            if word.endswith(" with grant option") == bool(ending)
        ]
        if given:
            statement = f"grant {', '.join(given)} on {what} to {grantee}{ending};"
            steps.append(Step(GRANT, wanted.places[grant.address], statement))
    return steps


def change_grant(wanted: Catalogue, new: Entry | None, old: Entry | None) -> list[Step]:
    """Takes what is too much and gives what is missing.

    Taking a right on a table takes it on each column as well, so these are given again.
    """
    grant = new or old
    assert grant is not None
    whole, grantee = grant.name.rsplit(" to ", 1)
    steps: list[Step] = []
    given = set(new.definition.split(", ")) if new else set()
    surplus = sorted(set(old.definition.split(", ")) - given) if old else []
    again = [new] if new else []
    if surplus:
        parent = next(
            (
                entry
                for entry in wanted.entries.values()
                if entry.kind in ("table", "function")
                and (
                    whole == entry.name or (grant.address[2] and whole.startswith(f"{entry.name}."))
                )
            ),
            None,
        )
        column = (
            f" ({_quoted(whole.removeprefix(f'{parent.name}.'))})"
            if (parent and whole != parent.name)
            else ""
        )
        what = _object(parent) if parent else whole
        words = ", ".join(f"{word.removesuffix(' with grant option')}{column}" for word in surplus)
        steps.append(Step(REVOKE, 0, f"revoke {words} on {what} from {grantee};"))
        if parent:
            again = [
                entry
                for entry in wanted.entries.values()
                if entry.kind == "grant"
                and entry.part_of == parent.address[1]
                and entry.name.rsplit(" to ", 1)[1] == grantee
            ]
    for entry in again:
        steps += _grants(wanted, entry)
    return steps


def own(found: Catalogue, entry: Entry) -> list[Step]:
    """Gives something back to whoever owns the schema."""
    (owner,) = found.connection.execute(
        "select pg_get_userbyid(n.nspowner) from pg_namespace as n where n.nspname = 'chat'"
    ).fetchone() or ("postgres",)
    whole = found.whole(entry)
    what = _object(whole) if whole else entry.name
    return [Step(REVOKE, 0, f"alter {what} owner to {_quoted(owner)};")]


def script(steps: Iterable[Step]) -> list[str]:
    """The statements in their order, each once."""
    return list(dict.fromkeys(step.statement for step in sorted(steps)))
