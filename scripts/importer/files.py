"""Sources that are files: streamed into tables, a row at a time; the mapping does the rest."""

from __future__ import annotations

import json
import re
import sqlite3
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from .errors import ImportFailed
from .json_stream import read_items
from .source import Source

# A NUL, escaped, which no text of PostgreSQL can hold; not an escaped backslash before u0000.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
_NO_PAIR = re.compile(r"[\ud800-\udfff]")
_PAGE = 1000


def load_file(connection: psycopg.Connection, source: Source, path: Path) -> dict[str, int]:
    """Loads an export; how many rows each of its parts has."""
    loaders = {"sqlite": _load_sqlite, "zip": _load_zip, "json": _load_json}
    if not source.formats:
        raise ImportFailed(f"{source.title} is not read from files.", "Leave out --file.")
    if not path.exists():
        raise ImportFailed(f"There is no file {path}.")
    return loaders[source.formats[0]](connection, source, path)


def _load_sqlite(connection: psycopg.Connection, source: Source, path: Path) -> dict[str, int]:
    """Each table as a temporary one of the same name, its values as text."""
    counts = {}
    lite = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        for table, needed in source.tables.items():
            name = '"' + table.replace('"', '""') + '"'
            columns = [row[1] for row in lite.execute(f"pragma table_info({name})")]
            if lacking := set(needed) - set(columns):
                raise ImportFailed(
                    "The source does not have what the mapping reads.",
                    "Change the mapping.",
                    [f"{table}: {', '.join(sorted(lacking))}"],
                )
            target = sql.Identifier("pg_temp", table)
            connection.execute(
                sql.SQL("create temporary table {} ({}) on commit drop").format(
                    sql.Identifier(table),
                    sql.SQL(", ").join(
                        sql.SQL("{} text").format(sql.Identifier(column)) for column in columns
                    ),
                )
            )
            rows = lite.execute(f"select * from {name}")
            counts[table] = 0
            with connection.cursor().copy(sql.SQL("copy {} from stdin").format(target)) as copy:
                while page := rows.fetchmany(_PAGE):
                    for row in page:
                        copy.write_row([_as_text(value) for value in row])
                    counts[table] += len(page)
    except sqlite3.DatabaseError as error:
        raise ImportFailed(f"{path} cannot be read as SQLite: {error}") from None
    finally:
        lite.close()
    return counts


def _as_text(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value).replace("\0", "\ufffd")


def _load_zip(connection: psycopg.Connection, source: Source, path: Path) -> dict[str, int]:
    """Every JSON file of the archive; one in a folder is a page of a conversation."""
    counts: Counter[str] = Counter()
    try:
        with zipfile.ZipFile(path) as archive, _documents(connection) as copy:
            for name in sorted(archive.namelist()):
                if not name.endswith(".json"):
                    continue
                content = json.loads(archive.read(name))
                if not isinstance(content, list):
                    continue
                for number, item in enumerate(content):
                    copy.write_row((name, number, _as_json(item)))
                counts["messages" if "/" in name else name.removesuffix(".json")] += len(content)
    except (zipfile.BadZipFile, ValueError) as error:
        raise ImportFailed(f"{path} cannot be read: {error}") from None
    return dict(counts)


def _load_json(connection: psycopg.Connection, source: Source, path: Path) -> dict[str, int]:
    """Channels, each with lists of what it has; never more of them in memory than one entry."""
    counts: Counter[str] = Counter()
    try:
        with path.open(encoding="utf-8") as stream, _documents(connection) as copy:
            entries = read_items(stream, {"messages", "members", "read"}, {"channel"})
            for number, (channel, part, item) in enumerate(entries):
                copy.write_row((f"{channel}/{part}", number, _as_json(item)))
                counts[part] += 1
    except ValueError as error:
        raise ImportFailed(f"{path} cannot be read: {error}") from None
    return dict(counts)


def _documents(connection: psycopg.Connection) -> Any:
    return connection.cursor().copy(
        "copy parley_import.documents (file, number, content) from stdin"
    )


def _as_json(item: object) -> str:
    text = json.dumps(item, ensure_ascii=False)
    return _NO_PAIR.sub("\ufffd", _NUL.sub(r"\1\\ufffd", text))
