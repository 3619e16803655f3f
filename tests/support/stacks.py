"""Starting and ending stacks for tests."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from parley_stack.account import end_with_parent

ROOT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 15.0
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2 * 1024**3


def _temporary_folder() -> dict[str, str]:
    """Where an ephemeral stack puts its data: memory, if there is plenty, is ten times faster."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES:
        return {"TMPDIR": str(_MEMORY)}
    return {}


def eventually(check: Callable[[], object], *, seconds: float = 10.0, what: str = "") -> None:
    """Returns when ``check()`` is true; fails when it is not within ``seconds``."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what or check}"
        time.sleep(0.02)


@dataclass(frozen=True)
class Stack:
    """A running stack; ``process`` is its supervisor."""

    api_url: str
    db_url: str
    publishable_key: str
    secret_key: str
    anon_key: str
    service_role_key: str
    jwt_secret: str
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """Ends it as Ctrl-C would; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_SECONDS)


def stack_command(*arguments: str) -> list[str]:
    """The command line of ``python -m parley_stack``."""
    return [sys.executable, "-m", "parley_stack", *arguments]


def start_stack(workdir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Stack:
    """Starts a stack in the foreground and returns when it is ready; it ends with this process."""
    process = subprocess.Popen(
        stack_command("start", "--workdir", str(workdir), "-o", "json", *arguments),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **_temporary_folder(), **(env or {})},
        preexec_fn=end_with_parent(signal.SIGTERM),
    )
    assert process.stdout is not None
    # It prints nothing before it is ready, and one JSON object then.
    text = ""
    with process.stdout as output:
        for line in output:
            text += line
            if line.startswith("}"):
                break
        else:
            raise AssertionError(f"the stack ended with code {process.wait()}:\n{text}")
    values = {name.lower(): value for name, value in json.loads(text).items()}
    return Stack(process=process, **values)
