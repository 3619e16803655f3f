"""A database with a source in it, and what is done with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg
from catalogue import read_catalogue
from importer.apply import apply
from importer.bucket import Bucket
from importer.finish import finish
from importer.options import Options
from importer.plan import Plan, make_plan
from importer.rollback import rollback
from importer.source import read_source
from importer.verify import Report, current_plan, verify

from support.databases import Database

from . import exports

LEGACY = Path(__file__).parent / "legacy"

# Sources in tables that others have as well.
SAME_TABLES = {"messages": "direct_messages", "sqlite": "property"}

# Nothing is lost by these; what cannot be uploaded here stays a link.
CAREFUL = {
    "missing_user": "ghost",
    "too_long": "split",
    "empty": "keep",
    "bad_type": "keep",
    "bad_time": "previous",
    "metadata": "drop",
    "existing": "append",
    "expired": "accept",
    "files": "link",
    "bad_file": "link",
}


@dataclass(frozen=True)
class World:
    """One source in one database."""

    database: Database
    source: str
    folder: Path
    schema: str
    file: Path | None = None

    @property
    def owner(self) -> psycopg.Connection:
        """As postgres."""
        return self.database.owner

    def options(self, **changes: object) -> Options:
        """What a careful administrator would choose."""
        given: dict[str, object] = {
            "source": self.source,
            "label": self.source,
            "schema": self.schema,
            "file": self.file,
            "choices": CAREFUL,
        }
        return Options(**{**given, **changes})  # type: ignore[arg-type]

    def plan(self, **changes: object) -> Plan:
        """A plan, made on a connection of its own, as by the command."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            return make_plan(connection, read_source(self.source), self.options(**changes))

    def apply(self, plan: Plan, bucket: Bucket | None = None, *, batch: int = 300) -> int:
        """Loads it."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            return apply(connection, plan, bucket, batch=batch)

    def verify(self) -> Report:
        """Compares."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            return verify(connection, current_plan(connection))

    def rollback(self, bucket: Bucket | None = None, *, is_discarding: bool = False) -> int:
        """Takes it back."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            return rollback(connection, bucket, is_discarding=is_discarding)

    def finish(self, bucket: Bucket | None = None) -> tuple[int, Report]:
        """Ends it."""
        with psycopg.connect(self.database.url, autocommit=True) as connection:
            return finish(connection, current_plan(connection), bucket)

    def rows(self) -> dict[str, set[str]]:
        """All rows of all tables that an import could touch, as text."""
        tables = self.owner.execute(
            "select n.nspname || '.' || quote_ident(c.relname) from pg_class as c"
            " inner join pg_namespace as n on c.relnamespace = n.oid"
            " where c.relkind in ('r', 'p') and n.nspname in"
            " ('auth', 'chat', 'chat_private', 'realtime', 'storage', 'public', 'core')"
            " order by 1"
        ).fetchall()
        return {
            name: {
                row[0] for row in self.owner.execute(f"select t::text from {name} as t".encode())
            }
            for (name,) in tables
        }

    def chat(self) -> dict[str, list[str]]:
        """What is in Parley's tables, without what depends on the time of the run."""
        return {name: sorted(rows) for name, rows in self.rows().items() if name.startswith("chat")}

    def catalogue(self) -> set[tuple[str, str, str]]:
        """Every object."""
        return read_catalogue(self.owner)

    def one(self, query: str, *values: object) -> object:
        """The first column of the first row."""
        row = self.owner.execute(query.encode(), values or None).fetchone()
        return row[0] if row else None


def make_world(database: Database, source: str, count: int, *, dirt: bool, folder: Path) -> World:
    """Makes the source's tables or files, and the users who are here already."""
    people = max(6, min(200, count // 40))
    with database.owner.transaction():
        for name, value in (("messages", count), ("people", people), ("dirt", dirt)):
            database.owner.execute(
                "select set_config(%s, %s, true)", (f"legacy.{name}", str(value))
            )
        database.owner.execute("set local search_path = public")
        database.owner.execute("set local timezone = 'UTC'")
        # One who is not here, and one whose address is not confirmed.
        database.owner.execute(
            "insert into auth.users (id, instance_id, aud, role, email, email_confirmed_at)"
            " select md5('user' || g)::uuid, '00000000-0000-0000-0000-000000000000',"
            " 'authenticated', 'authenticated', 'Person' || g || '@example.com',"
            " case when g <> 6 or not %s then now() end"
            " from generate_series(1, %s) as g where g <> 4 or not %s",
            (dirt, people, dirt),
        )
        made = SAME_TABLES.get(source, source)
        if (LEGACY / f"{made}.sql").exists():
            database.owner.execute((LEGACY / f"{made}.sql").read_text().encode())
    file = None
    if source == "messages":
        database.owner.execute("alter table public.direct_messages rename to messages")
    elif source == "slack":
        file = folder / "export.zip"
        exports.write_slack(file, count, people, dirt=dirt)
    elif source == "stream":
        file = folder / "export.json"
        exports.write_stream(file, count, people, dirt=dirt)
    elif source == "sqlite":
        source, file = "property", folder / "prod.db"
        exports.move_to_sqlite(database.owner, list(read_source(source).tables), file)
        if dirt:
            exports.spoil_sqlite(file)
    return World(database, source, folder, read_source(source).default_schema, file)
