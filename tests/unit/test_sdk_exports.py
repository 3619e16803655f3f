"""What `import parley` shows, and what it costs."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
import types
from pathlib import Path

import pytest

import parley


def test_all_is_sorted_and_each_name_is_where_the_type_checker_is_told() -> None:
    source = Path(parley.__file__).read_text()
    told = {
        alias.name: node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert list(parley.__all__) == sorted(parley.__all__) == dir(parley)
    assert told == parley._PLACES
    assert set(parley.__all__) == told.keys()
    for name in parley.__all__:
        assert getattr(parley, name) is not None
    with pytest.raises(AttributeError):
        parley.Nothing  # noqa: B018


def test_the_synchronous_client_has_what_the_asynchronous_one_has() -> None:
    pairs = [
        (getattr(parley, name), getattr(parley, name.removeprefix("Async")))
        for name in parley.__all__
        if name.startswith("Async")
    ]
    assert len(pairs) > 15
    listening = {"events", "typing"}
    for ours, theirs in pairs:
        assert public(ours) - public(theirs) <= listening, ours
        assert public(theirs) - public(ours) == set(), theirs
        for name in public(theirs):
            one = getattr(ours, name)
            two = getattr(theirs, name if hasattr(theirs, name) else "close")
            if callable(one):
                assert parameters(one) == parameters(two), (ours, name)


def public(kind: type) -> set[str]:
    """Names, in the words of the asynchronous world."""
    names = {name for name in dir(kind) if not name.startswith("_")}
    # A conversation is closed for everybody, a client for itself.
    if kind in (parley.Parley, parley.Auth, parley.Outbox):
        names = {"aclose" if name == "close" else name for name in names}
    return names


def parameters(function: object) -> list[tuple[str, str, object]]:
    assert callable(function)
    return [
        (name, str(parameter.annotation).replace("Async", ""), parameter.default)
        for name, parameter in inspect.signature(function).parameters.items()
    ]


def test_every_module_is_private() -> None:
    public = [
        name
        for name, value in vars(parley).items()
        if isinstance(value, types.ModuleType) and not name.startswith("_")
    ]
    assert set(public) <= {"testing"}


def test_importing_leaves_out_what_is_slow_to_import() -> None:
    code = (
        "import sys, parley\n"
        "parley.AsyncParley, parley.Parley, parley.EventStream\n"
        "print(*sorted({'postgrest', 'realtime', 'supabase', 'supabase_auth', 'websockets'}"
        " & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split() == []


def test_importing_alone_imports_nothing_else() -> None:
    code = "import sys, parley; print(*{'httpx', 'pydantic'} & set(sys.modules))"
    shown = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert shown.split() == []
