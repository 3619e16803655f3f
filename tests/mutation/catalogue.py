"""Every weakening of an installed schema, made from its catalogue: a new object has its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from . import bodies

OURS = "('chat'::regnamespace, 'chat_private'::regnamespace)"
"""Where everything of Parley is but its policies and triggers on tables of the platform."""

ROLES = ("authenticated", "anon")
VERBS = ("select", "insert", "update", "delete")


@dataclass(frozen=True)
class Mutant:
    """A weakened schema. ``subject`` is the relation or the function it is about."""

    name: str
    subject: str
    change: str
    undo: str
    shows_as: str = ""
    """The constraint or the code of an error without which no test can notice."""
    runs: str = ""
    """The function without a call of which no test can notice."""
    is_behind_schema: bool = False
    """It opens a schema too, which alone makes a difference: only what is about itself counts."""

    @property
    def kind(self) -> str:
        """What mutants of other objects share with it: what kills one may kill them."""
        return f"{self.name.split(maxsplit=1)[0]} {self.name.rsplit(': ', 1)[-1]}"


Source = Callable[[psycopg.Connection], Iterator[Mutant]]
_SOURCES: list[Source] = []


def _source(function: Source) -> Source:
    _SOURCES.append(function)
    return function


def mutants(connection: psycopg.Connection) -> list[Mutant]:
    """All of them, in an order that only the schema decides."""
    with connection.transaction():
        connection.execute("set local search_path = ''")
        return [mutant for source in _SOURCES for mutant in source(connection)]


def _rows(connection: psycopg.Connection, query: str) -> list[Any]:
    return connection.execute(query.encode()).fetchall()


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()


def _schema_open_to(role: str, name: str) -> tuple[str, str]:
    """Statements before and after: without its schema nobody reaches an object, granted or not."""
    schema = name.split(".")[0]
    if (schema, role) == ("chat", "authenticated"):
        return "", ""
    return (
        f"grant usage on schema {schema} to {role}; ",
        f"; revoke usage on schema {schema} from {role}",
    )


_POLICIES = f"""
    select
        p.polname, p.polrelid::regclass::text,
        case p.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
            when 'd' then 'delete' else 'all' end,
        array(select r.oid::regrole::text from unnest(p.polroles) as r (oid)),
        pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid),
        array(select a.attname from pg_attribute as a
            where a.attrelid = c.oid
                and has_column_privilege('authenticated', c.oid, a.attnum, 'update'))
    from pg_policy as p
    inner join pg_class as c on p.polrelid = c.oid
    where c.relnamespace in {OURS} or p.polname like 'parley: %'
    order by 2, 1
"""


@_source
def _policies(connection: psycopg.Connection) -> Iterator[Mutant]:
    for name, table, command, roles, using, check, changing in _rows(connection, _POLICIES):
        policy = f"{_quoted(name)} on {table}"
        parts = {"using": using, "with check": check}
        conditions = " ".join(f"{part} ({text})" for part, text in parts.items() if text)
        create = f"create policy {policy} for {command} to {', '.join(roles)} {conditions}"
        original = f"alter policy {policy} to {', '.join(roles)} {conditions}"
        called = f'policy "{name}" on {table}'

        def altered(what: str, change: str, undo: str = original) -> Mutant:
            return Mutant(f"{called}: {what}", table, change, undo)  # noqa: B023

        yield altered("dropped", f"drop policy {policy}", create)
        yield altered("to anon", f"alter policy {policy} to anon")
        # Of a row whose deciding columns cannot be changed, `using` has said all.
        is_fixed = command == "update" and not any(
            re.search(rf"\b{column}\b", check or "") for column in changing
        )
        for part, text in parts.items():
            if text is None or (is_fixed and part == "with check"):
                continue
            if text != "true":
                yield altered(f"{part} true", f"alter policy {policy} {part} (true)")
            for weaker in bodies.without_conditions(text, is_condition=True):
                change = f"alter policy {policy} {part} ({weaker.source})"
                yield altered(f"{part} {weaker.what}", change)


@_source
def _row_security(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p') and c.relrowsecurity order by 1
    """
    for (table,) in _rows(connection, query):
        yield Mutant(
            f"row level security of {table}: off",
            table,
            f"alter table {table} disable row level security",
            f"alter table {table} enable row level security",
        )


@_source
def _grants(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select c.oid::regclass::text, r.role, v.verb
        from pg_class as c
        cross join unnest(%s::text []) with ordinality as r (role, place)
        cross join unnest(%s::text []) with ordinality as v (verb, place)
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'v')
            and not has_table_privilege(r.role, c.oid, v.verb)
            and (c.relkind <> 'v' or v.verb = 'select')
        order by 1, r.place, v.place
    """
    for table, role, verb in connection.execute(query.encode(), [list(ROLES), list(VERBS)]):
        opened, closed = _schema_open_to(role, table)
        yield Mutant(
            f"{verb} on {table}: granted to {role}",
            table,
            f"{opened}grant {verb} on {table} to {role}",
            f"revoke {verb} on {table} from {role}{closed}",
            is_behind_schema=bool(opened),
        )


@_source
def _column_grants(connection: psycopg.Connection) -> Iterator[Mutant]:
    # Where a role may set some columns a policy lets it: only there does another one matter.
    query = f"""
        select c.oid::regclass::text, a.attname, v.verb
        from pg_class as c
        inner join pg_attribute as a on c.oid = a.attrelid
        cross join unnest(array['insert', 'update']) as v (verb)
        where c.relnamespace in {OURS} and c.relkind in ('r', 'p')
            and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
            and has_any_column_privilege('authenticated', c.oid, v.verb)
            and not has_column_privilege('authenticated', c.oid, a.attnum, v.verb)
        order by 1, 3, a.attnum
    """
    for table, column, verb in _rows(connection, query):
        privilege = f"{verb} ({_quoted(column)}) on {table}"
        yield Mutant(
            f"{verb} of {table}.{column}: granted",
            table,
            f"grant {privilege} to authenticated",
            f"revoke {privilege} from authenticated",
        )


@_source
def _constraints(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select k.conname, k.conrelid::regclass::text, k.contype, pg_get_constraintdef(k.oid)
        from pg_constraint as k
        where k.connamespace in {OURS} and k.contype in ('c', 'f', 'u') and k.conparentid = 0
            and k.conrelid <> 0
        order by 2, 1
    """
    kinds = {"c": "check", "f": "foreign key", "u": "unique"}
    for name, table, kind, definition in _rows(connection, query):
        kept = "" if kind == "u" else " not valid"
        yield Mutant(
            f"{kinds[kind]} {name} on {table}: dropped",
            table,
            # What refers to a unique constraint goes with it; its own mutants say what that does.
            f"alter table {table} drop constraint {_quoted(name)} cascade",
            f"alter table {table} add constraint {_quoted(name)} {definition}{kept}",
            shows_as=name if kind == "c" else "",
        )


@_source
def _unique_indexes(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select i.indexrelid::regclass::text, i.indrelid::regclass::text,
            pg_get_indexdef(i.indexrelid)
        from pg_index as i
        inner join pg_class as c on i.indrelid = c.oid
        where c.relnamespace in {OURS} and i.indisunique
            and not exists (select from pg_constraint as k where k.conindid = i.indexrelid)
        order by 1
    """
    for name, table, definition in _rows(connection, query):
        plain = definition.replace("UNIQUE ", "", 1)
        yield Mutant(
            f"unique index {name}: not unique",
            table,
            f"drop index {name}; {plain}",
            f"drop index {name}; {definition}",
        )


@_source
def _triggers(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select t.tgname, t.tgrelid::regclass::text, n.nspname || '.' || p.proname
        from pg_trigger as t
        inner join pg_proc as p on t.tgfoid = p.oid
        inner join pg_namespace as n on p.pronamespace = n.oid
        where not t.tgisinternal and p.pronamespace in {OURS}
            -- Locks are not mutated.
            and p.proname not like 'lock\\_%'
        order by 2, 1
    """
    for name, table, function in _rows(connection, query):
        # The owner of a platform table is not ours: there the trigger cannot be disabled.
        definition = _rows(
            connection,
            "select pg_get_triggerdef(t.oid) from pg_trigger as t"
            f" where t.tgname = '{name}' and t.tgrelid = '{table}'::regclass",
        )[0][0]
        yield Mutant(
            f"trigger {name} on {table}: dropped",
            table,
            f"drop trigger {_quoted(name)} on {table}",
            definition,
            runs=function,
        )


@_source
def _views(connection: psycopg.Connection) -> Iterator[Mutant]:
    query = f"""
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in {OURS} and c.relkind = 'v'
            and c.reloptions @> array['security_invoker=true']
        order by 1
    """
    for (view,) in _rows(connection, query):
        yield Mutant(
            f"view {view}: asks as its owner",
            view,
            f"alter view {view} set (security_invoker = false)",
            f"alter view {view} set (security_invoker = true)",
        )


_TABLE = re.compile(r"\b(?:from|join)\s+chat\.\w+(?!\w*\()", re.IGNORECASE)

_FUNCTIONS = f"""
    select
        p.oid::regprocedure::text as signature, n.nspname || '.' || p.proname as name,
        l.lanname as language, pg_get_functiondef(p.oid) as source, p.prosecdef as is_definer,
        p.prorettype = 'trigger'::regtype as is_trigger, p.pronargs as arguments,
        exists (
            select from pg_trigger as t
            inner join pg_class as c on t.tgrelid = c.oid
            cross join pg_roles as r
            where t.tgfoid = p.oid and not r.rolsuper and r.rolname not like 'pg\\_%'
                and not pg_has_role(r.oid, p.proowner, 'usage')
                and (has_any_column_privilege(r.oid, c.oid, 'insert, update')
                    or has_table_privilege(r.oid, c.oid, 'delete'))
        ) as is_trigger_of_others,
        array(select r.role from unnest(array['authenticated', 'anon']) as r (role)
            where has_function_privilege(r.role, p.oid, 'execute')) as callers
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    inner join pg_language as l on p.prolang = l.oid
    where p.pronamespace in {OURS} and p.prokind = 'f'
    order by 2, 1
"""


@_source
def _functions(connection: psycopg.Connection) -> Iterator[Mutant]:
    twins = {}
    found = connection.execute(_FUNCTIONS.encode()).fetchall()
    for signature, name, language, source, _, _, arguments, _, _ in found:
        short = name.split(".")[1]
        if short.startswith("require_") and language == "plpgsql" and arguments:
            function = bodies.Function(short, signature, language, source)
            twins[short.replace("require_", "unchecked_", 1)] = function, arguments
    for row in found:
        signature, name, language, source, is_definer, is_trigger, _, is_of_others, callers = row
        yield from _calls(signature, name, is_trigger, callers)
        # Of a trigger on what nobody but the owner may write, the owner is the caller.
        if is_definer and (callers or is_of_others):
            yield Mutant(
                f"function {name}: asks as its caller",
                name,
                f"alter function {signature} security invoker",
                f"alter function {signature} security definer",
            )
        function = bodies.Function(name.split(".")[1], signature, language, source)
        if not is_definer and callers and _TABLE.search(source, function.body_start):
            yield Mutant(
                f"function {name}: asks as its owner",
                name,
                f"alter function {signature} security definer",
                f"alter function {signature} security invoker",
            )
        # Functions in SQL ask as their caller: their conditions choose, policies guard.
        for weaker in bodies.weakened(function) if language == "plpgsql" else ():
            needed = [
                bodies.unchecked(*twin)
                for unchecked, twin in twins.items()
                if f".{unchecked}(" in weaker.source
            ]
            yield Mutant(
                f"function {name}: {weaker.what}",
                name,
                ";\n".join([*needed, weaker.source]),
                source,
                shows_as=weaker.code,
            )


def _calls(signature: str, name: str, is_trigger: bool, callers: list[str]) -> Iterator[Mutant]:
    # A trigger function cannot be called, whoever may.
    for role in ROLES:
        if role not in callers and not is_trigger:
            opened, closed = _schema_open_to(role, name)
            yield Mutant(
                f"function {name}: callable by {role}",
                name,
                f"{opened}grant execute on function {signature} to {role}",
                f"revoke execute on function {signature} from {role}{closed}",
                is_behind_schema=bool(opened),
            )
