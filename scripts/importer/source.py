"""A source: its mapping, the tables or files it reads."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from .errors import ImportFailed
from .options import Options

IMPORTS = Path(__file__).resolve().parents[2] / "supabase" / "imports"


@dataclass(frozen=True)
class Source:
    """What ``supabase/imports/<name>/source.toml`` says."""

    name: str
    title: str
    mapping: Path
    # Columns that the mapping reads, by table.
    tables: dict[str, list[str]]
    # Of each table, which neutral table has a row for each of its rows.
    rows: dict[str, str]
    # The mapping's names of tables that are called otherwise.
    called: dict[str, str]
    # "zip", "json" or "sqlite": what --file is; empty: tables of the database.
    formats: list[str]
    default_schema: str

    def digest(self) -> str:
        """Of the mapping and the loader: a plan is of these and no others."""
        summed = hashlib.sha256()
        for path in [self.mapping, *sorted((IMPORTS / "_loader").glob("*.sql"))]:
            summed.update(path.read_bytes())
        return summed.hexdigest()


def source_names() -> list[str]:
    """All that ``--from`` takes."""
    return sorted(path.parent.name for path in IMPORTS.glob("*/source.toml"))


def read_source(name: str) -> Source:
    """The source of this name."""
    content = tomllib.loads((IMPORTS / name / "source.toml").read_text(encoding="utf-8"))
    return Source(
        name=name,
        title=content["title"],
        mapping=IMPORTS / content.get("mapping", name) / "mapping.sql",
        tables=content.get("tables", {}),
        rows=content.get("rows", {}),
        called=content.get("called", {}),
        formats=content.get("formats", []),
        default_schema=content.get("schema", "public"),
    )


def check_tables(connection: psycopg.Connection, source: Source, schema: str) -> None:
    """Raises when a table or column that the mapping reads is not there."""
    found: dict[str, set[str]] = {}
    for table, column in connection.execute(
        "select c.relname, a.attname from pg_catalog.pg_class as c"
        " inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid"
        " where c.relnamespace = to_regnamespace(%s) and a.attnum > 0 and not a.attisdropped",
        (sql.Identifier(schema).as_string(),),
    ):
        found.setdefault(table, set()).add(column)
    missing = [
        f"{schema}.{table}"
        + ("" if table not in found else f": column {', '.join(sorted(lacking))}")
        for table, columns in source.tables.items()
        if (lacking := set(columns) - found.get(table, set()))
    ]
    if missing:
        raise ImportFailed(
            "The source does not have what the mapping reads.",
            "Name its schema with --schema, or change the mapping.",
            missing,
        )


def run_mapping(connection: psycopg.Connection, source: Source, options: Options) -> None:
    """Fills the neutral tables, in the caller's transaction."""
    schema = sql.Identifier(options.schema)
    for name, table in source.called.items():
        connection.execute(
            sql.SQL("create temporary view {} as select * from {}.{}").format(
                sql.Identifier(name), schema, sql.Identifier(table)
            )
        )
    # What is called otherwise, or is from a file, is temporary and comes first.
    connection.execute(sql.SQL("set local search_path = pg_temp, {}").format(schema))
    connection.execute(sql.SQL("set local timezone = {}").format(options.timezone))
    connection.execute(source.mapping.read_text(encoding="utf-8").encode())
    connection.execute("set local search_path = ''")
    for name in source.called:
        connection.execute(sql.SQL("drop view pg_temp.{}").format(sql.Identifier(name)))


def count_rows(connection: psycopg.Connection, source: Source, options: Options) -> dict[str, int]:
    """How many rows each of the source's tables has."""
    counts = {}
    for table in source.tables:
        row = connection.execute(
            sql.SQL("select count(*) from {}.{}").format(
                sql.Identifier(options.schema), sql.Identifier(table)
            )
        ).fetchone()
        counts[table] = row[0] if row else 0
    return counts
