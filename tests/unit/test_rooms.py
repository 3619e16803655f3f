"""What each room may import and mention."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from support.stacks import ROOT

STANDARD_OR_ALLOWED = {
    "sdk/parley": {"dotenv", "httpx", "postgrest", "pydantic", "realtime", "supabase_auth", "yarl"},
    "stack/parley_stack": {
        "bcrypt", "cronsim", "cryptography", "dotenv", "httptools", "httpx", "jwt", "psycopg",
        "psycopg_pool", "pydantic", "pydantic_core", "pyotp", "pytest", "segno", "starlette",
        "uvicorn", "uvloop", "websockets",
    },
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Top-level names of the modules a file imports from elsewhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", STANDARD_OR_ALLOWED)
def test_a_room_imports_only_what_it_may(room):
    own = Path(room).name
    allowed = STANDARD_OR_ALLOWED[room] | set(sys.stdlib_module_names) | {own}
    for path in (ROOT / room).rglob("*.py"):
        assert imported(path) <= allowed, path


def test_the_stack_knows_nothing_of_chat():
    tables = set(
        re.findall(
            r"create (?:table|view|function) chat\.(\w+)",
            "\n".join(p.read_text() for p in (ROOT / "supabase/migrations").glob("*.sql")),
        )
    )
    # Words every messaging or database program uses.
    tables -= {"messages", "settings", "leave", "sync"}
    assert "participants" in tables
    for path in (ROOT / "stack").rglob("*"):
        if path.suffix in (".py", ".sql"):
            text = path.read_text()
            assert not re.search(r"\bchat\b", text), path
            found = {name for name in tables if re.search(rf"\b{name}\b", text)}
            assert not found, (path, found)


def test_the_sdk_has_no_sql_and_no_service_key():
    for path in (ROOT / "sdk").rglob("*.py"):
        text = path.read_text()
        assert not re.search(r"\b(select|insert into|update|delete from) \w+\.\w+", text), path
        assert "service_role" not in text, path


def test_supabase_is_no_python_package():
    assert not (ROOT / "supabase/__init__.py").exists()
