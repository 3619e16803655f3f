"""Reads and checks ``supabase/config.toml``."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from parley_stack.errors import ConfigError

from .environment import Substitution, read_environment
from .errors import at, describe, dotted, place_of, problem_path
from .model import Config, ConfigFile
from .positions import Path, Place, key_places

FILE = "supabase/config.toml"

_TOML_PLACE = re.compile(r"\s*\(at line (\d+), column (\d+)\)$")
_INTEGER = re.compile(r"[+-]?\d+")
_BOOLEANS = {"true": True, "false": False}
_NOT_PROJECT_ID = re.compile(r"[^A-Za-z0-9_.-]+")
_PROJECT_ID_LENGTH = 40


def load_config(workdir: FilePath) -> Config:
    """The configuration of the project in ``workdir``.

    Raises ConfigError, with one line of text for each problem, for a file that is missing, is no
    TOML, has an unknown key or a value of the wrong kind, or uses a variable that is not set.
    """
    workdir = workdir.resolve()
    text = _read(workdir)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_syntax_problem(str(error), text)) from error
    document.pop("$schema", None)
    places = key_places(text)
    substitution = Substitution(_environment(workdir))
    document = substitution.apply(document)
    problems = {
        path: at(FILE, place_of(path, places)[1], _unset(path, name))
        for path, name in substitution.unset.items()
    }
    try:
        tables = _validate(document, substitution.sources)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = problem_path(detail)
            problems.setdefault(path, _worded(detail, places, substitution.sources))
    if problems:
        raise ConfigError("\n".join(_in_file_order(problems, places)))
    return Config(**{**dict(tables), "project_id": _project_id(tables, workdir)}, workdir=workdir)


def _read(workdir: FilePath) -> str:
    path = workdir / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file",
            hint="run `supabase init` there, or name the project's folder with --workdir",
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        place = Place(before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        raise ConfigError(at(FILE, place, "found a byte that is not UTF-8")) from error


def _environment(workdir: FilePath) -> dict[str, str]:
    try:
        return read_environment(workdir)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"an .env file of {workdir} cannot be read: {error}") from error


def _syntax_problem(message: str, text: str) -> str:
    match = _TOML_PLACE.search(message)
    if match is not None:
        place = Place(int(match[1]), int(match[2]))
    else:
        place = Place(text.count("\n") + 1, len(text) - text.rfind("\n"))
    problem = _TOML_PLACE.sub("", message).removesuffix(" (at end of document)")
    return at(FILE, place, f"not valid TOML: {problem[:1].lower()}{problem[1:]}")


def _validate(document: dict[str, Any], sources: Mapping[Path, str]) -> ConfigFile:
    """The checked file; values from the environment are text and take the kind their key needs."""
    try:
        return _parse(document)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path = problem_path(detail)
            if path in sources:
                _convert(document, path, detail["type"])
    return _parse(document)


def _parse(document: dict[str, Any]) -> ConfigFile:
    # As JSON, because strict mode then takes lists for tuples but still no strings for numbers.
    return ConfigFile.model_validate_json(json.dumps(document, default=str), strict=True)


def _convert(document: dict[str, Any], path: Path, problem: str) -> None:
    holder: Any = document
    for part in path[:-1]:
        holder = holder[part]
    text: str = holder[path[-1]]
    if problem == "int_type" and _INTEGER.fullmatch(text):
        holder[path[-1]] = int(text)
    elif problem == "bool_type" and text in _BOOLEANS:
        holder[path[-1]] = _BOOLEANS[text]
    elif problem in ("tuple_type", "list_type"):
        holder[path[-1]] = text.split(",") if text else []


def _unset(path: Path, name: str) -> str:
    return (
        f"{dotted(path)} is env({name}), but the variable {name} is not set; "
        "expected it in the environment or in supabase/.env"
    )


def _worded(detail: ErrorDetails, places: Mapping[Path, Place], sources: Mapping[Path, str]) -> str:
    path = problem_path(detail)
    known, place = place_of(path, places)
    shown = path if detail["type"] in ("extra_forbidden", "missing") else known or path
    return at(FILE, place, describe(detail, shown, ConfigFile, sources.get(shown)))


def _in_file_order(problems: Mapping[Path, str], places: Mapping[Path, Place]) -> list[str]:
    def order(item: tuple[Path, str]) -> Place:
        return place_of(item[0], places)[1] or Place(0, 0)

    return [text for _, text in sorted(problems.items(), key=order)]


def _project_id(tables: ConfigFile, workdir: FilePath) -> str:
    """As the CLI: letters, digits, ``_.-``; starts with a letter or digit; at most 40."""
    name = _NOT_PROJECT_ID.sub("_", tables.project_id or workdir.name).lstrip("_.-")
    return name[:_PROJECT_ID_LENGTH] or "project"
