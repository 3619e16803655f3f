"""Fixtures of all suites."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from mutation import summary
from support.databases import Database, clone, make_template
from support.stacks import ROOT, Stack, start_stack

# Examples are judged by what they find, not by how busy the machine is.
settings.register_profile(
    "parley", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("parley")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Also asked for by ``PARLEY_LONG=1``."""
    parser.addoption("--long", action="store_true", help="do all of what is sampled otherwise")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The mutation score."""
    summary.report(terminalreporter, ROOT / ".parley" / "mutation.json")


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether tests that take a sample should take everything."""
    return bool(request.config.getoption("--long")) or os.environ.get("PARLEY_LONG") == "1"


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One stack on Parley's own project for all tests of a process; data thrown away."""
    running = start_stack(ROOT, "--ephemeral")
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def database_template(stack: Stack) -> str:
    """Name of the template of ``database``."""
    name = "parley_template"
    make_template(stack, name)
    return name


@pytest.fixture
def database(stack: Stack, database_template: str) -> Iterator[Database]:
    """A database of one's own, with the migrations and without people."""
    with clone(stack, database_template) as made:
        yield made
