"""``python -m parley_stack test``: a project's tests, on an ephemeral stack of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from parley_stack.errors import StackError

from .stacks import RUNNING, start_stack

_PYTEST = [sys.executable, "-m", "pytest", "-p", "parley_stack.pytest_plugin"]
# What edge functions and most examples for supabase-js and supabase-py read.
_SUPABASE_NAMES = {
    "SUPABASE_URL": "API_URL",
    "SUPABASE_DB_URL": "DB_URL",
    "SUPABASE_PUBLISHABLE_KEY": "PUBLISHABLE_KEY",
    "SUPABASE_SECRET_KEY": "SECRET_KEY",
    "SUPABASE_ANON_KEY": "ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY": "SERVICE_ROLE_KEY",
}


def run_tests(workdir: Path, command: Sequence[str]) -> int:
    """Runs ``command``, or pytest, in ``workdir``; returns its exit code.

    It finds the stack in its environment. Raises StackError when the stack does not start or the
    command is not there.
    """
    stack = start_stack(workdir, "--ephemeral")
    try:
        values = stack.env()
        return subprocess.call(  # noqa: S603 - what the user asked for
            command or _PYTEST,
            cwd=workdir,
            env={
                **os.environ,
                **values,
                **{name: values[ours] for name, ours in _SUPABASE_NAMES.items()},
                RUNNING: json.dumps(values),
            },
        )
    except OSError as error:
        raise StackError(f"cannot run {command[0]}: {error.strerror}") from error
    finally:
        stack.stop()
