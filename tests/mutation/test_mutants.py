"""Every mutant of the schema is killed, or is one of those argued in ``survivors.toml``."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from support.stacks import ROOT

from .results import Job, Result, killers_of

PARTS = 2
"""Runs at once, each with a stack of its own, where pytest has that many workers."""

SAMPLE_SECONDS = 15.0
ARGUED = Path(__file__).with_name("survivors.toml")


def argued() -> dict[str, str]:
    """Why each mutant that lives may."""
    arguments = tomllib.loads(ARGUED.read_text())["argument"]
    return {name: each["reason"] for each in arguments for name in each["mutants"]}


def run(job: Job, folder: Path) -> None:
    """Judges mutants in a process of its own, whose tests need not be these."""
    job.write(folder / "job.json")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "mutation.plugin", f"--mutants={folder / 'job.json'}"),
            *("tests/sql", "tests/rls"),
        ],
        cwd=ROOT,
        env={
            **{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests"), *sys.path]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.OK, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_every_mutant_is_killed(part, long_run, tmp_path, record_property):
    """With ``--long`` all; else a sample of those killed before, another each day."""
    seed = int(os.environ.get("PARLEY_SEED", datetime.date.today().strftime("%Y%m%d")))
    state = ROOT / ".parley"
    state.mkdir(exist_ok=True)
    job = Job(
        results=tmp_path / "results.jsonl",
        seed=seed,
        part=part,
        parts=PARTS,
        seconds=1e9 if long_run else SAMPLE_SECONDS,
        tests=60 if long_run else 10,
        is_sample=not long_run,
        coverage=state / f"mutation-coverage-{part}.json" if long_run else None,
    )
    run(job, tmp_path)

    reasons = argued()
    results = Result.read_all(job.results)
    if long_run:
        (state / f"killers-{part}.json").write_text(killers_of(results))
    alive = {result.name for result in results if result.killer is None}
    killed = {result.name for result in results} - alive
    record_property(
        "mutation",
        {"seed": seed, "killed": len(killed), "alive": sorted(alive), "argued": sorted(reasons)},
    )
    assert results
    assert alive - set(reasons) == set(), "nothing notices these"
    assert killed & set(reasons) == set(), "argued to live, and killed: take them out"
    there = set(job.names.read_text().splitlines())
    assert set(reasons) - there == set(), "argued to live, and no mutants: take them out"
