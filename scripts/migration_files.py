"""The migrations of a checkout, and what a database says of those it has run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pglast
import psycopg
from psycopg import sql
from verify import ROOT

FOLDER = ROOT / "supabase" / "migrations"

# As the Supabase CLI makes it.
RECORDS = """create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
    version text primary key, statements text[], name text
);"""
_OURS = r"^-- Purpose: .*\n-- Objects: .*\n-- Locks: .*\n-- Breaking: "
"""How Parley's migrations begin; supabase/uninstall.sql knows them by it too."""


@dataclass(frozen=True)
class Migration:
    """A file, or a database's record of one."""

    version: str
    name: str
    text: str

    @property
    def file(self) -> str:
        """What it is called in the folder."""
        return f"{self.version}_{self.name}.sql"

    def apply(self, connection: psycopg.Connection) -> None:
        """Runs it as the Supabase CLI does: one transaction."""
        with connection.transaction():
            connection.execute(self.text.encode())

    def record(self) -> str:
        """The statement that records it, or what is recorded, as what the file says now."""
        return (
            sql.SQL(
                "insert into supabase_migrations.schema_migrations (version, statements, name)\n"
                "values ({}, array[{}], {})\n"
                "on conflict (version) do update\n"
                "set statements = excluded.statements, name = excluded.name;"
            )
            .format(
                self.version, sql.SQL(", ").join(map(sql.Literal, self.statements())), self.name
            )
            .as_string(None)
        )

    def statements(self) -> list[str]:
        """Its statements, each with the comments before it and without its semicolon."""
        ends = [part.stop for part in pglast.split(self.text, only_slices=True)]
        parts = (self.text[start:end] for start, end in zip([0, *ends], [*ends, None], strict=True))
        return [text for part in parts if (text := part.lstrip(";").strip())]

    def says_what(self, other: Migration) -> bool:
        """Whether both say the same, comments, semicolons and white space aside."""
        return _words(self.text) == _words(other.text)


@cache
def _words(text: str) -> list[str]:
    return [
        text[token.start : token.end + 1]
        for token in pglast.parser.scan(text)
        if token.name not in ("SQL_COMMENT", "C_COMMENT", "ASCII_59")
    ]


def read_files(folder: Path = FOLDER) -> list[Migration]:
    """Those of a folder, in the order in which they run."""
    names = ((path, *path.stem.partition("_")) for path in sorted(folder.glob("*_*.sql")))
    return [
        Migration(version, name, path.read_text(encoding="utf-8"))
        for path, version, _, name in names
    ]


def read_records(connection: psycopg.Connection) -> list[Migration] | None:
    """Those of Parley's that a database has a record of; None when of none."""
    (there,) = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations') is not null"
    ).fetchone() or (False,)
    if not there:
        return None
    rows = connection.execute(
        "select m.version, coalesce(m.name, ''), array_to_string(m.statements, e';\n')"
        " from supabase_migrations.schema_migrations as m"
        r" where m.statements[1] ~ %s"
        r" and array_to_string(m.statements, ' ') ~ '\mchat(_private)?\M' order by m.version",
        (_OURS,),
    )
    return [Migration(*row) for row in rows] or None
