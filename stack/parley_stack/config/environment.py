"""Replaces ``env(NAME)`` in a configuration by the variable's value.

As the Supabase CLI: only a whole string counts; the environment wins over ``supabase/.env.local``,
then ``supabase/.env``, then the same two files of the project folder. A variable that is not set
leaves the text as it is where the stack does not use the value: in a table whose ``enabled`` is
false (or below one), and in the sections of ``UNUSED``. An entry of ``edge_runtime.secrets``,
``db.vault`` or ``functions.<slug>.env`` is left out. Anywhere else it is an error, where the CLI
would go on with the literal text ``env(NAME)`` as the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

from dotenv import dotenv_values

from .positions import Path

UNUSED = (
    ("analytics",),
    ("auth", "captcha"),
    ("auth", "email", "smtp"),
    ("auth", "external"),
    ("auth", "sms"),
    ("auth", "third_party"),
    ("compute",),
    ("db", "pooler"),
    ("experimental",),
    ("inbucket",),
    ("local",),
    ("local_smtp",),
    ("remotes",),
    ("storage", "analytics"),
    ("storage", "vector"),
    ("studio",),
)
"""Tables whose values the stack checks but does not act upon."""

_REFERENCE = re.compile(r"env\((.*)\)")
_DROPPED = object()


def read_environment(workdir: FilePath) -> dict[str, str]:
    """Variables a configuration may refer to. Raises OSError and UnicodeDecodeError."""
    found: dict[str, str] = {}
    for folder in (workdir, workdir / "supabase"):
        for name in (".env", ".env.local"):
            path = folder / name
            if path.is_file():
                values = dotenv_values(path, encoding="utf-8")
                found.update({key: value for key, value in values.items() if value is not None})
    return {**found, **os.environ}


@dataclass
class Substitution:
    """The outcome: the new tree, which values came from which variable, and what is missing."""

    environment: Mapping[str, str]
    sources: dict[Path, str] = field(default_factory=dict)
    unset: dict[Path, str] = field(default_factory=dict)
    """References to variables that are not set, at places where the value is used."""

    def apply(self, document: dict[str, Any]) -> dict[str, Any]:
        """A copy of ``document`` with its references replaced."""
        replaced: dict[str, Any] = self._walk(document, (), is_used=True)
        return replaced

    def _walk(self, value: Any, path: Path, is_used: bool) -> Any:
        if isinstance(value, dict):
            is_used = is_used and value.get("enabled") is not False and path not in UNUSED
            walked = {k: self._walk(v, (*path, k), is_used) for k, v in value.items()}
            return {k: v for k, v in walked.items() if v is not _DROPPED}
        if isinstance(value, list):
            return [self._walk(v, (*path, i), is_used) for i, v in enumerate(value)]
        if isinstance(value, str) and (match := _REFERENCE.fullmatch(value)):
            return self._replace(value, match[1], path, is_used)
        return value

    def _replace(self, text: str, name: str, path: Path, is_used: bool) -> Any:
        found = self.environment.get(name)
        if found is not None:
            self.sources[path] = name
            return found
        if _is_secret_map(path[:-1]):
            return _DROPPED
        if is_used:
            self.unset[path] = name
        return text


def _is_secret_map(path: Path) -> bool:
    if path in (("edge_runtime", "secrets"), ("db", "vault")):
        return True
    return len(path) == 3 and path[0] == "functions" and path[2] == "env"
