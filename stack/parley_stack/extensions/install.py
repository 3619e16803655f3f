"""Puts the extensions' files where the server looks for them."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path

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


def _extension_folder(binaries: Path) -> Path | None:
    """``share/postgresql/extension`` beside the programs, as relocatable builds have it."""
    folder = binaries.parent / "share" / "postgresql" / "extension"
    return folder if folder.is_dir() else None


def _is_foreign(folder: Path, name: str) -> bool:
    """Whether the server came with this extension: its control file names a library."""
    control = folder / f"{name.partition('--')[0].removesuffix('.control')}.control"
    return control.exists() and "module_pathname" in control.read_text(encoding="utf-8")
