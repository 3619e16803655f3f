"""Errors of a project's configuration, and how they are worded.

One line for each problem: file, line, column, key, what was found, what was expected.
Values that came from the environment, and those of secret keys, are never shown.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from .positions import Path, Place

_EXPECTED = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_SECRET_KEY = re.compile(r"secret|key|pass|token|otp")
_LONGEST_SHOWN = 60


def dotted(path: Path) -> str:
    """``("db", "seed", "sql_paths", 0)`` as ``db.seed.sql_paths[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else f'"{part}"'
            text += f".{name}" if text else name
    return text


def at(file: str, place: Place | None, message: str) -> str:
    """``message`` preceded by its place."""
    where = f"{file}, line {place.line}, column {place.column}" if place else file
    return f"{where}: {message}"


def place_of(path: Path, places: Mapping[Path, Place]) -> tuple[Path, Place | None]:
    """The longest part of ``path`` that stands in the file, and where."""
    for length in range(len(path), 0, -1):
        if path[:length] in places:
            return path[:length], places[path[:length]]
    return (), None


def describe(
    problem: ErrorDetails, path: Path, model: type[BaseModel], env_name: str | None
) -> str:
    """One problem that pydantic found at ``path``, in this project's words.

    ``env_name``: the variable the value was taken from, if any.
    """
    kind = problem["type"]
    if kind == "extra_forbidden":
        return _unknown_key(path, model)
    if kind == "missing":
        return f"{dotted(problem_path(problem))} is required and missing"
    found = _found(problem["input"], path, env_name)
    return f"{dotted(path)} is {found}; expected {_expected(problem)}"


def problem_path(problem: ErrorDetails) -> Path:
    """The keys that lead to a problem."""
    return tuple(problem["loc"])


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    *parents, key = path
    where = f"in [{dotted(tuple(parents))}]" if parents else "at the top level"
    known = sorted(_keys_of(model, tuple(parents)))
    nearest = difflib.get_close_matches(str(key), known, n=1)
    hint = f'did you mean "{nearest[0]}"?' if nearest else f"expected one of: {', '.join(known)}"
    return f'found unknown key "{key}" {where}; {hint}'


def _expected(problem: ErrorDetails) -> str:
    kind, context = problem["type"], problem.get("ctx", {})
    if kind in _EXPECTED:
        return _EXPECTED[kind]
    if kind in ("literal_error", "enum"):
        return f"one of {context['expected']}"
    if kind in ("value_error", "assertion_error"):
        return str(context["error"])
    message = re.sub(r"^(Input|Value|String) should (be |match )?", "", problem["msg"])
    return message[:1].lower() + message[1:]


def _found(value: Any, path: Path, env_name: str | None) -> str:
    if env_name is not None:
        return f"the value of the environment variable {env_name}"
    kind = _kind(value)
    if isinstance(value, dict | list):
        return kind
    named = next((part for part in reversed(path) if isinstance(part, str)), "")
    if _SECRET_KEY.search(named):
        return f"{kind} (not shown)"
    shown = f'"{value}"' if isinstance(value, str) else str(value).lower()
    if len(shown) > _LONGEST_SHOWN:
        shown = f"{shown[:_LONGEST_SHOWN]}..."
    return f"{shown} ({kind})"


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return kinds.get(type(value), "a value")


def _keys_of(model: type[BaseModel], path: Path) -> set[str]:
    """Keys that the table at ``path`` below ``model`` may have."""
    annotation: Any = model
    for part in path:
        nested = _model_in(annotation)
        if nested is not None:
            fields = nested.model_fields.items()
            named = {field.alias or name: field.annotation for name, field in fields}
            annotation = named.get(str(part))
        else:
            held = [arg for arg in get_args(_container_in(annotation)) if arg is not ...]
            annotation = held[-1] if held else None
    found = _model_in(annotation)
    return {f.alias or name for name, f in found.model_fields.items()} if found else set()


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    if _container_in(annotation) is annotation:
        return None
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _container_in(annotation: Any) -> Any:
    """The mapping or sequence type inside optional and annotated wrappers."""
    origin = get_origin(annotation)
    if isinstance(origin, type) and issubclass(origin, dict | list | tuple | Mapping):
        return annotation
    return next(filter(None, map(_container_in, get_args(annotation))), None)
