"""Ephemeral stacks that end with the process that started them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parley_stack.account import end_with_parent
from parley_stack.errors import StackError
from parley_stack.state import ENV_NAMES

RUNNING = "PARLEY_STACK_RUNNING"
"""Environment variable that has a stack for the tests to use, as ``start -o json`` prints it."""

_STOP_SECONDS = 15.0
_MEMORY = Path("/dev/shm")  # noqa: S108 - a file system, not a file
_MEMORY_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Stack:
    """A running stack: addresses and keys by the names of ``supabase status -o env``."""

    api_url: str
    db_url: str
    mailpit_url: str
    publishable_key: str
    secret_key: str = field(repr=False)
    anon_key: str
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    process: subprocess.Popen[str] | None = field(repr=False)
    """What runs it; None for a stack that another process started."""

    @classmethod
    def of(cls, text: str, process: subprocess.Popen[str] | None = None) -> Stack:
        """From what ``start -o json`` printed."""
        values = {name.lower(): value for name, value in json.loads(text).items()}
        return cls(**values, process=process)

    def env(self) -> dict[str, str]:
        """Addresses and keys by the names of ``supabase status -o env``."""
        return {name: getattr(self, name.lower()) for name in ENV_NAMES}

    def stop(self) -> int:
        """Ends it as Ctrl-C would; returns the exit code. Leaves another process's stack alone."""
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(_STOP_SECONDS)


def _temporary_folder() -> dict[str, str]:
    """Where an ephemeral stack puts its data: memory, if there is plenty, is ten times faster."""
    if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_BYTES:
        return {"TMPDIR": str(_MEMORY)}
    return {}


def start_stack(workdir: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Stack:
    """Starts the stack of ``workdir`` in the foreground; returns when it is ready.

    ``arguments`` are those of ``python -m parley_stack start``, such as ``--ephemeral``. Raises
    StackError when it does not start; its own lines, on standard error, say why.
    """
    process = subprocess.Popen(  # noqa: S603 - ourselves
        [
            sys.executable,
            "-m",
            "parley_stack",
            "start",
            "--workdir",
            str(workdir),
            "-o",
            "json",
            *arguments,
        ],
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
            raise StackError(f"the stack ended with code {process.wait()}\n{text}")
    return Stack.of(text, process)
