"""How long a stack takes to start, and the memory of its processes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from parley_stack.ports import free_port

from .laboratory import ROOT, Laboratory
from .processes import memory
from .results import Results

PART = "starts"


def measure(lab: Laboratory, results: Results) -> None:
    """In a folder of its own, on disk, as a developer's."""
    cold, warm = [], []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        workdir = Path(folder)
        # The server may run as another user.
        workdir.chmod(0o755)
        shutil.copytree(ROOT / "supabase", workdir / "supabase")
        shutil.copytree(ROOT / "functions", workdir / "functions")
        for name in ("node_modules", ".venv"):
            (workdir / name).symlink_to(ROOT / name)
        ports = (f"--api-port={free_port()}", f"--db-port={free_port()}")
        for _ in range(lab.scale.repeats):
            cold.append(_stack(workdir, "start", "--detach", *ports))
            _stack(workdir, "stop")
            warm.append(_stack(workdir, "start", "--detach", *ports))
            _stack(workdir, "reset")
    results.add(PART, "start", "cold", "s", cold)
    results.add(PART, "start", "warm", "s", warm)
    for name, megabytes in memory(lab).items():
        results.add(PART, "memory after all of the above", name, "MB", [megabytes])


def _stack(workdir: Path, command: str, *arguments: str) -> float:
    """Seconds of a command of the stack."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "parley_stack", command, "--workdir", str(workdir), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(done.stdout + done.stderr)
    return time.perf_counter() - began
