"""Every example of the SDK's pages runs as printed."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from types import CodeType

import httpx
import psycopg
import pytest

import parley as package
from parley import AsyncParley
from support.stacks import ROOT, Stack

PAGES = sorted((ROOT / "docs/how-to/sdk").glob("*.md"))
TUTORIAL = ROOT / "docs/tutorial/first-chat.md"
PASSWORD = "parley-demo"
DEADLINE_SECONDS = 60.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100_000)


def blocks(page: Path, language: str = "python") -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


@asynccontextmanager
async def people(stack: Stack) -> AsyncIterator[dict[str, AsyncParley]]:
    """Alice, bob and an admin, with the usernames that the pages use, in these alone.

    A page's ``bob`` becomes a username of this run, since tests share a database.
    """
    run = uuid.uuid4().hex[:12]
    headers = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.service_role_key}"}
    made: dict[str, AsyncParley] = {}
    try:
        async with httpx.AsyncClient(base_url=stack.api_url, headers=headers, timeout=20) as http:
            for name in ("alice", "bob", "admin"):
                about = {
                    "email": f"{name}_{run}@example.com",
                    "password": PASSWORD,
                    "email_confirm": True,
                    "user_metadata": {"username": f"{name}_{run}"},
                }
                (await http.post("/auth/v1/admin/users", json=about)).raise_for_status()
                made[name] = AsyncParley(stack.api_url, stack.publishable_key)
                await made[name].auth.sign_in_with_password(f"{name}_{run}@example.com", PASSWORD)
        async with await psycopg.AsyncConnection.connect(stack.db_url, autocommit=True) as db:
            await db.execute(
                "update chat.tenant_members set role = 'admin' where user_id = %s",
                (made["admin"].auth.user_id,),
            )
        yield made
    finally:
        for client in made.values():
            await client.aclose()


@pytest.fixture
def folder_with_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photo.png").write_bytes(PNG)


@pytest.mark.usefixtures("folder_with_a_photo")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
async def test_the_examples_run_as_printed(stack: Stack, page: Path) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS), people(stack) as clients:
        alice, bob = clients["alice"], clients["bob"]
        assert bob.auth.user is not None
        username = str(bob.auth.user.metadata["username"])
        room = await alice.conversations.start_direct(username)
        names: dict[str, object] = {
            "parley": alice,
            "bob": bob,
            "admin": clients["admin"],
            "room": room,
            "bobs_room": await bob.conversations.get(room.id),
        }
        for code in blocks(page):
            text = code.replace('"bob"', repr(username)).replace('"1042"', repr(username))
            compiled = compile(text, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if compiled.co_flags & inspect.CO_COROUTINE:
                await run(compiled, names)
            else:
                exec(compiled, names)


def run(code: CodeType, names: dict[str, object]) -> Awaitable[None]:
    running = eval(code, names)
    assert inspect.isawaitable(running)
    return running


@pytest.mark.parametrize("number", range(2))
def test_the_programs_of_the_tutorial_run(stack: Stack, tmp_path: Path, number: int) -> None:
    code = blocks(TUTORIAL)[number]
    (tmp_path / "hello.py").write_text(code)
    environment = {
        **os.environ,
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "PYTHONPATH": str(ROOT / "sdk"),
    }
    done = subprocess.run(
        [sys.executable, "hello.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    expected = ("Bob hears: Hello, Bob!", "conversation_not_found")[number]
    assert expected in done.stdout


def test_the_tutorial_names_only_commands_that_there_are() -> None:
    for block in blocks(TUTORIAL, "sh"):
        for command in re.findall(r"^(\./scripts/\w+)", block, re.MULTILINE):
            assert (ROOT / command).exists()
    assert ".venv/bin/parley --email" in TUTORIAL.read_text()


def test_every_public_name_and_method_has_a_docstring() -> None:
    for name in package.__all__:
        value = getattr(package, name)
        if not inspect.isclass(value):
            continue
        assert inspect.getdoc(value), name
        for method, function in inspect.getmembers(value, inspect.isfunction):
            if not method.startswith("_") and function.__module__.startswith("parley"):
                assert inspect.getdoc(function), (name, method)
