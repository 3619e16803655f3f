"""Puts the extensions' files where the server looks for them."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

import psycopg

log = logging.getLogger(__name__)


def install_extensions(binaries: Path) -> None:
    """Adds ``pg_cron`` and ``pg_net`` to the server whose programs are in ``binaries``.

    One that has an extension of the name keeps it, and one whose folder cannot be written to stays
    without.
    """
    folder = _extension_folder(binaries)
    if folder is None:
        return
    for source in (resources.files(__package__) / "files").iterdir():
        target = folder / source.name
        content = source.read_bytes()
        if _is_foreign(folder, source.name) or (target.exists() and target.read_bytes() == content):
            continue
        partial = folder / f".{source.name}.partial"
        try:
            partial.write_bytes(content)
            partial.chmod(0o644)
            partial.replace(target)
        except OSError as error:
            log.warning("cannot add %s to %s: %s", source.name, folder, error.strerror)


PG_CRON_SETTINGS = {
    "cron.database_name": "postgres",
    # Otherwise it logs in over TCP, without a password.
    "cron.use_background_workers": "on",
    # Commands can hold what must not be in a log.
    "cron.log_statement": "off",
}
"""What real ``pg_cron`` needs, besides being preloaded."""


def has_pg_cron(binaries: Path) -> bool:
    """Whether the server whose programs are in ``binaries`` has the library of real pg_cron."""
    libraries = binaries.parent / "lib"
    return any(
        (folder / f"pg_cron.{ending}").is_file()
        for folder in (libraries, libraries / "postgresql")
        for ending in ("so", "dylib")
    )


def create_pg_cron(conninfo: str) -> None:
    """Creates real ``pg_cron`` for role ``postgres``, which may not: it is not a trusted extension.

    Does nothing on a server that did not load its library.
    """
    with psycopg.connect(conninfo) as connection:
        (loaded,) = connection.execute("show shared_preload_libraries").fetchone() or ("",)
        if "pg_cron" not in loaded:
            return
        connection.execute("create extension if not exists pg_cron")
        connection.execute("grant usage on schema cron to postgres with grant option")
        connection.execute("grant all on all tables in schema cron to postgres with grant option")


def _extension_folder(binaries: Path) -> Path | None:
    """``share/postgresql/extension`` beside the programs, as relocatable builds have it."""
    folder = binaries.parent / "share" / "postgresql" / "extension"
    return folder if folder.is_dir() else None


def _is_foreign(folder: Path, name: str) -> bool:
    """Whether the server came with this extension: its control file names a library."""
    control = folder / f"{name.partition('--')[0].removesuffix('.control')}.control"
    return control.exists() and "module_pathname" in control.read_text(encoding="utf-8")
