"""The functions of a project: which there are, and what each runs with."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from parley_stack.config import Config
from parley_stack.config.sections import Function

log = logging.getLogger(__name__)

SLUG = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_RESERVED = "SUPABASE_"
_IMPORT_MAPS = ("deno.json", "deno.jsonc", "import_map.json")


@dataclass(frozen=True)
class EdgeFunction:
    """One function. ``import_map``: a ``deno.json`` or an import map."""

    slug: str
    entrypoint: Path
    import_map: Path | None
    verify_jwt: bool
    env: Mapping[str, str] = field(repr=False)


def find(config: Config, slug: str) -> EdgeFunction | None:
    """The function called ``slug``, unless there is none or it is switched off."""
    if not SLUG.fullmatch(slug):  # before it becomes part of a path
        return None
    settings = config.functions.get(slug, Function())
    entrypoint = config.entrypoint(slug)
    if not settings.enabled or not entrypoint.is_file():
        return None
    return EdgeFunction(
        slug=slug,
        entrypoint=entrypoint,
        import_map=_import_map(config, settings, entrypoint),
        verify_jwt=settings.verify_jwt,
        env={**_own_env(config), **settings.env},
    )


def _import_map(config: Config, settings: Function, entrypoint: Path) -> Path | None:
    if settings.import_map:
        return config.path(settings.import_map)
    beside = (entrypoint.parent / name for name in _IMPORT_MAPS)
    shared = config.path("functions/import_map.json")
    return next((path for path in (*beside, shared) if path.is_file()), None)


def _own_env(config: Config) -> dict[str, str]:
    """``[edge_runtime.secrets]`` and ``functions/.env``; names of the platform are left out."""
    path = config.path("functions/.env")
    written = dotenv_values(path, encoding="utf-8") if path.is_file() else {}
    values = {**config.edge_runtime.secrets, **written}
    for name in values:
        if name.startswith(_RESERVED):
            log.warning("functions: %s is the platform's and cannot be set", name)
    return {
        name: value
        for name, value in values.items()
        if value is not None and not name.startswith(_RESERVED)
    }


def newest_change(config: Config) -> float:
    """When a file of the functions' folder was last changed, as its modification time."""
    folder = config.path("functions")
    return max((entry.stat().st_mtime for entry in _files(folder)), default=0.0)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if entry.name != "node_modules":
                yield entry
                yield from _files(Path(entry.path))
        else:
            yield entry
