"""A pytest session that runs no test once, but asks tests again and again what they notice.

``test_mutants.py`` starts it: ``pytest -p mutation.plugin --mutants=JOB.json tests/sql tests/rls``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from .laboratory import Laboratory, Places
from .results import Job
from .runner import Coverage, Runner

_NOT_ASKED = {
    *("test_structure.py", "test_supabase_cli.py", "test_plans.py", "test_model.py"),
    *("test_all_are_tried", "test_the_matrix_has_every_table_view_and_function"),
    "test_a_page_asks_the_index_and_nothing_else",
}
"""Structure and plans are not behaviour; the model takes its time and finds by chance."""

_fixtures: dict[str, Any] = {}


def pytest_addoption(parser: pytest.Parser) -> None:
    """What to do is in a file."""
    parser.addoption("--mutants", help="a job, as JSON")


def pytest_sessionstart() -> None:
    """What a mutant fails on is no example to try again."""
    settings.register_profile("mutation", settings.default, database=None)
    settings.load_profile("mutation")


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Notes what mutants are made on."""
    value = yield
    if fixturedef.scope == "session":
        _fixtures[fixturedef.argname] = value
    return value


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out what must not kill."""
    items[:] = [
        item
        for item in items
        # What the matrix finds over HTTP it finds in SQL.
        if not _NOT_ASKED & {item.path.name, item.name} and "[http-" not in item.name
    ]


def pytest_runtestloop(session: pytest.Session) -> bool:
    """In place of running each test once."""
    job = Job.read(Path(session.config.getoption("mutants")))
    runner = Runner(session.items)
    # Once without a mutant: what is of the session is made then.
    for fixture in ("database", "story", "way"):
        test = next(item for item in session.items if fixture in item.fixturenames)
        if runner.fails(test.nodeid, within=300):
            pytest.exit(f"{test.nodeid} fails without a mutant:\n{runner.failure}", 1)
    # A mutant that waits for ever is dead.
    os.environ["PGOPTIONS"] = "-c statement_timeout=15s"
    places = Places(
        _fixtures["stack"], _fixtures["database_template"], _fixtures["world"].database.url
    )
    ends = time.monotonic() + job.seconds
    learn = partial(_learn, job, runner, session.config)
    with Laboratory(places, runner, job, learn) as laboratory:
        job.names.write_text("\n".join(laboratory.names))
        for mutant in laboratory.chosen():
            if time.monotonic() > ends:
                break
            laboratory.judge(mutant).append(job.results)
    return True


def _learn(job: Job, runner: Runner, config: pytest.Config) -> Coverage | None:
    if job.coverage is None:
        return None
    coverage = Coverage(job.coverage, runner)
    failed = coverage.learn(config, _fixtures["stack"])
    if failed:
        pytest.exit(f"{len(failed)} fail without a mutant: {failed[0]}", 1)
    return coverage
