"""The statements that make one database's catalogue like another's, smallest first.

Every statement is a step with its place in the script: what goes, in the order that lets it go;
then what is made, each after what it needs; then rights; then rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from drift_catalogue import CONSTRAINTS, GRANT, MAKE, REVOKE, Catalogue, Step, quoted, sort
from verify import Entry

_COLUMN = re.compile(
    r"(?P<type>.+?)(?P<null> not null)?(?P<identity> identity( always)?)?"
    r"(?P<generated> generated( virtual)?)?( default (?P<default>.+))?",
    re.DOTALL,
)
_PLATFORM = "public, anon, authenticated, service_role"
"""Whom defaults of the platform may give rights to on something new."""


def make(wanted: Catalogue, entry: Entry) -> list[Step]:
    """Makes something that is not there, with all its parts and exactly its grants."""
    steps = []
    for part in (entry, *wanted.parts(entry)):
        statement = wanted.statements.get(part.address)
        whole = wanted.whole(part)
        comes_along = (part.kind == "index" and whole and whole.kind in CONSTRAINTS) or (
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
        if not (other.kind == "index" and whole and whole.kind in CONSTRAINTS):
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
        statements = [f"alter role {quoted(new.name)} nosuperuser nobypassrls;"]
    elif new.kind == "trigger" and _without_switch(new) == _without_switch(old):
        table, name = new.name.split(" ", 1)
        switch = {"(disabled)": "disable", "(always)": "enable always"}
        how = switch.get(new.definition.removeprefix(_without_switch(new)).strip(), "enable")
        statements = [f"alter table {table} {how} trigger {quoted(name)};"]
    elif new.kind in CONSTRAINTS and old.definition == f"{new.definition} NOT VALID":
        table, name = new.name.split(" ", 1)
        statements = [f"alter table {table} validate constraint {quoted(name)};"]
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
    column = quoted(new.name.removeprefix(f"{table.name}."))
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


def _right(wanted: Catalogue, grant: Entry, words: list[str]) -> tuple[str, str]:
    """Rights, and on what and for whom they are, as `grant` and `revoke` say it."""
    whole, grantee = grant.name.rsplit(" to ", 1)
    owner = next(
        (
            entry
            for entry in wanted.wholes.values()
            if whole == entry.name or (grant.address[2] and whole.startswith(f"{entry.name}."))
        ),
        None,
    )
    what = _object(owner) if owner else whole  # A schema.
    if owner and grant.address[2]:
        column = quoted(whole.removeprefix(f"{owner.name}."))
        words = [f"{word} ({column})" for word in words]
    rights = ", ".join(words)
    return f"{rights} on {what}", grantee if grantee == "public" else quoted(grantee)


def _grants(wanted: Catalogue, grant: Entry) -> list[Step]:
    """Gives what a grant says."""
    steps = []
    for ending in ("", " with grant option"):
        words = [
            word.removesuffix(ending)
            for word in grant.definition.split(", ")
            if word.endswith(" with grant option") == bool(ending)
        ]
        if words:
            rights, grantee = _right(wanted, grant, words)
            statement = f"grant {rights} to {grantee}{ending};"
            steps.append(Step(GRANT, wanted.places[grant.address], statement))
    return steps


def change_grant(wanted: Catalogue, new: Entry | None, old: Entry | None) -> list[Step]:
    """Takes what is too much and gives what is missing.

    Taking a right on a table takes it on each column as well, so these are given again.
    """
    given = set(new.definition.split(", ")) if new else set()
    surplus = sorted(set(old.definition.split(", ")) - given) if old else []
    steps: list[Step] = []
    again = [new] if new else []
    if old and surplus:
        words = [word.removesuffix(" with grant option") for word in surplus]
        rights, grantee = _right(wanted, old, words)
        steps.append(Step(REVOKE, 0, f"revoke {rights} from {grantee};"))
        table, grantee = old.name.rsplit(" to ", 1)
        again += [
            entry
            for entry in wanted.entries.values()
            if entry.kind == "grant"
            and (whole := wanted.whole(entry))
            and f"{table}.".startswith(f"{whole.name}.")
            and entry.name.endswith(f" to {grantee}")
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
    return [Step(REVOKE, 0, f"alter {what} owner to {quoted(owner)};")]


def script(steps: Iterable[Step]) -> list[str]:
    """The statements in their order, each once."""
    in_order = sorted(steps, key=lambda step: (step.phase, step.place))
    return list(dict.fromkeys(step.statement for step in in_order))
