"""What goes into the database before anybody uses it: the platform, the migrations, the seeds.

The platform (``platform/*.sql``) is what a hosted project already has. Migrations and seeds are
the project's and are applied by the Supabase CLI, as role ``postgres``, recorded where it records
them.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import psycopg
from psycopg import sql

from .errors import StackError

_CLUSTER_FILES = ("10_roles.sql",)
_OLD_MAIL_TABLE = re.compile(r"^(\s*\[\s*)inbucket(\s*\])", re.MULTILINE)
_MIGRATION_NAME = re.compile(r"^(\d+)_.*\.sql$")
_UNDEFINED_OBJECT = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


def _platform_files() -> list[tuple[str, str]]:
    folder = resources.files(__package__) / "platform"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [(name, (folder / name).read_text(encoding="utf-8")) for name in names]


def _run(connection: psycopg.Connection, name: str, script: str) -> None:
    try:
        connection.execute(script.encode())
    except psycopg.Error as error:
        raise StackError(
            f"this PostgreSQL cannot take {name}: {error}",
            hint="the stack needs PostgreSQL 15 to 18 with its contrib extensions",
        ) from error


def install_platform(conninfo: str, *, jwt_secret: str, jwt_expiry: int) -> list[str]:
    """Lays down what a hosted project has; returns the files that were new to this database.

    One transaction a file, in order, each once: a file added by a newer version of the stack is
    applied to an older data folder. Raises StackError when a file changed after it was applied.
    """
    applied = []
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("set client_min_messages = warning")
        connection.execute("create schema if not exists parley_stack")
        connection.execute(
            "create table if not exists parley_stack.platform_files "
            "(name text primary key, checksum text not null)"
        )
        known: dict[str, str] = dict(
            connection.execute("select name, checksum from parley_stack.platform_files").fetchall()
        )
        has_roles = connection.execute(
            "select exists (select from pg_catalog.pg_roles where rolname = 'authenticator')"
        ).fetchone() == (True,)
        for name, script in _platform_files():
            checksum = hashlib.sha256(script.encode()).hexdigest()
            if known.get(name, checksum) != checksum:
                raise StackError(
                    f"the data folder was made with another version of {name}",
                    hint="start over with `python -m parley_stack reset` (it deletes the data)",
                )
            if name in known:
                continue
            with connection.transaction():
                if not (name in _CLUSTER_FILES and has_roles):
                    _run(connection, name, script)
                connection.execute(
                    "insert into parley_stack.platform_files values (%s, %s)", (name, checksum)
                )
            applied.append(name)
        database = sql.Identifier(connection.info.dbname)
        for setting, value in (
            ("app.settings.jwt_secret", jwt_secret),
            ("app.settings.jwt_exp", str(jwt_expiry)),
        ):
            connection.execute(
                sql.SQL("alter database {} set {} = {}").format(
                    database, sql.Identifier(setting), sql.Literal(value)
                )
            )
        connection.execute(sql.SQL("alter database {} owner to postgres").format(database))
    return applied


@dataclass(frozen=True)
class Migrations:
    """The project's migrations and seeds, and the Supabase CLI that applies them."""

    workdir: Path
    home: Path
    supabase: Path
    port: int

    def pending(self, conninfo: str) -> list[str]:
        """Names of the migration files that the database has no record of."""
        folder = self.workdir / "supabase" / "migrations"
        local = {
            match.group(1): path.name
            for path in sorted(folder.glob("*.sql"))
            if (match := _MIGRATION_NAME.match(path.name))
        }
        with psycopg.connect(conninfo) as connection:
            try:
                rows = connection.execute(
                    "select version from supabase_migrations.schema_migrations"
                ).fetchall()
            except _UNDEFINED_OBJECT:
                rows = []
        recorded = {version for (version,) in rows}
        return [name for version, name in local.items() if version not in recorded]

    def apply(self, *, seed: bool, tell: Callable[[str], None]) -> None:
        """Runs ``supabase db push``; every migration is one transaction.

        ``tell`` hears a line for each file. Raises StackError with the file, the statement and
        PostgreSQL's message when one fails; that one leaves nothing behind.
        """
        with _as_the_cli_reads_it(self.workdir) as folder:
            self._push(folder, seed=seed, tell=tell)

    def _push(self, folder: Path, *, seed: bool, tell: Callable[[str], None]) -> None:
        argv = [
            str(self.supabase),
            "db",
            "push",
            f"--remote=postgresql://postgres:postgres@127.0.0.1:{self.port}/postgres?sslmode=disable",
            f"--workdir={folder}",
            "--yes",
        ]
        if seed:
            argv.append("--include-seed")
            if (self.workdir / "supabase" / "roles.sql").exists():
                argv.append("--include-roles")
        process = subprocess.Popen(  # noqa: S603 - the program Binaries found
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=folder,
            env={
                **os.environ,
                "HOME": str(self.home),
                "DO_NOT_TRACK": "1",
                "SUPABASE_TELEMETRY_DISABLED": "1",
                "NO_COLOR": "1",
            },
        )
        lines: list[str] = []
        assert process.stdout is not None
        with process, process.stdout:
            for raw in process.stdout:
                line = raw.rstrip()
                if line.startswith(("Applying migration", "Seeding data")):
                    tell(line.removesuffix("..."))
                    lines = [line]
                elif line and not line.startswith("Try rerunning"):
                    lines.append(line)
        if process.returncode != 0:
            raise StackError(
                "a migration failed and was rolled back:\n  " + "\n  ".join(lines),
                hint="mend the file and start again; the migrations before it stay applied",
            )


@contextmanager
def _as_the_cli_reads_it(workdir: Path) -> Iterator[Path]:
    """The project's folder, or links to all that is in it beside another ``config.toml``.

    Older projects have a table ``[inbucket]``; this CLI refuses the file for it and knows it as
    ``[local_smtp]``.
    """
    text = (workdir / "supabase" / "config.toml").read_text(encoding="utf-8-sig")
    renamed = _OLD_MAIL_TABLE.sub(r"\1local_smtp\2", text)
    if renamed == text:
        yield workdir
        return
    with tempfile.TemporaryDirectory(prefix="parley-stack-") as made:
        folder = Path(made)
        (folder / "supabase").mkdir()
        for inside in (Path(), Path("supabase")):
            for entry in (workdir / inside).iterdir():
                if not (folder / inside / entry.name).exists():
                    (folder / inside / entry.name).symlink_to(entry)
        (folder / "supabase" / "config.toml").unlink()
        (folder / "supabase" / "config.toml").write_text(renamed, encoding="utf-8")
        yield folder
