"""What of the schema depends on an object, nearest first: where a mutant of it may show."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

import psycopg

from .catalogue import OURS

_TEXTS = f"""
    select n.nspname || '.' || p.proname, pg_get_functiondef(p.oid)
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    where p.pronamespace in {OURS} and p.prokind = 'f'
    union all
    select c.oid::regclass::text, pg_get_viewdef(c.oid) from pg_class as c
    where c.relnamespace in {OURS} and c.relkind = 'v'
    union all
    select polrelid::regclass::text,
        concat(pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid))
    from pg_policy
    union all
    select k.conrelid::regclass::text, pg_get_constraintdef(k.oid) from pg_constraint as k
    where k.connamespace in {OURS} and k.conrelid <> 0
    union all
    select t.tgrelid::regclass::text, pg_get_triggerdef(t.oid) from pg_trigger as t
    where not t.tgisinternal
    union all
    select d.adrelid::regclass::text, pg_get_expr(d.adbin, d.adrelid) from pg_attrdef as d
    inner join pg_class as c on d.adrelid = c.oid
    where c.relnamespace in {OURS}
"""
_NAME = re.compile(r"\b(?:chat|chat_private|storage|realtime)\.\w+")


class Reach:
    """Who uses what, by name."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.users: dict[str, set[str]] = defaultdict(set)
        with connection.transaction():
            connection.execute("set local search_path = ''")
            for user, text in connection.execute(_TEXTS.encode()):
                for used in set(_NAME.findall(text)) - {user}:
                    self.users[used].add(user)
            query = f"""
                select p.oid::regproc::text from pg_proc as p
                where p.pronamespace in {OURS} and p.prokind = 'f'
            """
            self.functions = {name for (name,) in connection.execute(query.encode())}

    def of(self, name: str) -> list[str]:
        """The name itself, what uses it, what uses that, and so on; each once."""
        return [user for users in self.steps_from(name) for user in users]

    def steps_from(self, name: str, *, steps: int = 9) -> list[list[str]]:
        """The same, by how many steps it takes."""
        found = [[name]]
        for _ in range(steps):
            seen = {user for users in found for user in users}
            found.append(
                sorted({user for used in found[-1] for user in self.users.get(used, ())} - seen)
            )
        return found

    def exposed(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Those a client can name: functions, and tables and views."""
        ours = [name for name in names if name.startswith("chat.")]
        return (
            [name.removeprefix("chat.") for name in ours if name in self.functions],
            [name for name in ours if name not in self.functions],
        )
