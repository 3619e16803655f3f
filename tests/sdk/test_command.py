"""The command ``parley``, as a person uses it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from parley import File
from parley._cli.main import main
from parley._cli.text import bar, clean, one_line
from support.stacks import ROOT, Stack

from .conftest import PASSWORD

if TYPE_CHECKING:
    from .conftest import Person, Room

    People = Callable[..., Awaitable[Person]]

DEADLINE_SECONDS = 30.0
PNG = b"\x89PNG\r\n\x1a\n" + bytes(1000)


def environment(stack: Stack, person: Person) -> dict[str, str]:
    return {
        **os.environ,
        "SUPABASE_URL": stack.api_url,
        "SUPABASE_PUBLISHABLE_KEY": stack.publishable_key,
        "PARLEY_EMAIL": person.email,
        "PARLEY_PASSWORD": PASSWORD,
        "PYTHONPATH": str(ROOT / "sdk"),
    }


async def run(stack: Stack, person: Person, *arguments: str) -> str:
    """What the command prints."""
    done = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "parley._cli.main",
        *arguments,
        env=environment(stack, person),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await asyncio.wait_for(done.communicate(), DEADLINE_SECONDS)
    assert done.returncode == 0, error.decode()
    return out.decode()


class Window:
    """``parley chat`` in a terminal of its own."""

    def __init__(self, fd: int, process: asyncio.subprocess.Process) -> None:
        self._fd = fd
        self._process = process
        self.shown = ""

    async def shows(self, text: str) -> None:
        """Waits until it has shown a text."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while text not in self.shown:
                try:
                    self.shown += (await asyncio.to_thread(os.read, self._fd, 4096)).decode()
                except OSError:
                    raise AssertionError(self.shown) from None

    def types(self, text: str) -> None:
        os.write(self._fd, text.encode())

    async def goes_on_typing(self) -> None:
        """A letter, and back again."""
        while True:
            self.types("x\x7f")
            await asyncio.sleep(0.5)

    async def ends(self) -> None:
        self.types("\x04")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self._process.returncode is None:
                with contextlib.suppress(OSError):
                    self.shown += (await asyncio.to_thread(os.read, self._fd, 4096)).decode()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), 0.05)
        assert self._process.returncode == 0, self.shown


@contextlib.asynccontextmanager
async def window(stack: Stack, person: Person, with_: str) -> AsyncIterator[Window]:
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "parley._cli.main",
        "chat",
        with_,
        env=environment(stack, person),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Window(ours, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


async def test_two_people_chat_in_two_terminals(stack: Stack, room: Room) -> None:
    await room.as_alice.send("from before \x1b]0;boo\x07")
    async with (
        window(stack, room.alice, room.bob.username) as alice,
        window(stack, room.bob, room.alice.username) as bob,
    ):
        await bob.shows("from before")
        await alice.shows("> ")
        bob.types("hi alic")
        # Who comes later does not hear what was typed before.
        typing = asyncio.create_task(bob.goes_on_typing())
        await alice.shows(f"{room.bob.username} … ")
        typing.cancel()
        bob.types("e\r")
        await alice.shows("hi alice")
        await bob.shows(f"read by {room.alice.username}")
        alice.types("hello bob\r")
        await bob.shows("hello bob")
        await room.as_alice.react(1, "👍")
        await bob.shows(f"{room.alice.username} reacted to 1: 👍")
        await alice.ends()
        await bob.ends()
    assert "\x1b]0" not in bob.shown
    bodies = [message.body for message in (await room.as_bob.history()).items]
    assert bodies[:2] == ["hello bob", "hi alice"]


async def test_the_inbox_is_listed(stack: Stack, room: Room) -> None:
    await room.as_alice.send("one\nand two")
    shown = await run(stack, room.bob, "inbox", "--unread")
    assert room.alice.username[:20] in shown
    assert "one and two" in shown
    assert "1 unread in 1 conversations" in shown
    entry = json.loads(await run(stack, room.bob, "inbox", "--json"))
    assert entry["unread_count"] == 1


async def test_an_export_goes_on_where_it_was(stack: Stack, room: Room, tmp_path: Path) -> None:
    for number in range(3):
        await room.as_alice.send(f"message {number}")
    await room.as_alice.attachments.send([File(PNG, name="a.png")])
    export = ("export", "--to", str(tmp_path), "--files")
    assert "4 messages of 1 conversations" in await run(stack, room.bob, *export)
    folder = tmp_path / str(room.as_bob.id)
    messages = folder / "messages.jsonl"
    first = messages.read_text()
    assert [json.loads(line)["seq"] for line in first.splitlines()] == [1, 2, 3, 4]
    assert (folder / "files/4-1.png").read_bytes() == PNG
    messages.write_text(first[:-10])
    await room.as_alice.send("message 5")
    assert "2 messages" in await run(stack, room.bob, *export)
    assert messages.read_text().startswith(first)
    assert len(messages.read_text().splitlines()) == 5
    assert json.loads((folder / "conversation.json").read_text())["kind"] == "direct"


async def test_all_that_is_ones_own(stack: Stack, room: Room, tmp_path: Path) -> None:
    await room.as_alice.send("by alice")
    await room.as_bob.attachments.send([File(PNG, name="a.png")], body="by bob")
    command = ("export", "--personal", "--to", str(tmp_path))
    shown = await run(stack, room.bob, *command)
    lines = [json.loads(line) for line in (tmp_path / "rows.ndjson").read_text().splitlines()]
    assert f"{len(lines)} rows written" in shown
    assert [line["row"]["body"] for line in lines if line["table"] == "chat.messages"] == ["by bob"]
    (file,) = (path for path in (tmp_path / "files").rglob("*") if path.is_file())
    assert file.read_bytes() == PNG
    file.write_bytes(b"saved before")
    assert await run(stack, room.bob, *command) == shown
    assert file.read_bytes() == b"saved before"


def test_what_is_wrong_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("SUPABASE_URL", "PARLEY_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["inbox"]) == 1
    assert "error: The project's URL is missing." in capsys.readouterr().err
    assert main(["--url", "http://127.0.0.1:1", "--key", "k", "inbox"]) == 1
    assert "PARLEY_EMAIL" in capsys.readouterr().err


def test_what_others_write_does_not_command_the_terminal() -> None:
    assert clean("a\x1b[31mb\u202ec\nd") == "a\ufffd[31mb\ufffdc\nd"
    assert one_line("a\n b\x07" + "c" * 20, 8) == "a b\ufffdccc…"
    assert bar(1, 2, "Tea").endswith(" 50%  1/2  Tea")
