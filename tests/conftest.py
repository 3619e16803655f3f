"""Fixtures of all suites: those of the stack's pytest plugin, on Parley's own project."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from mutation import summary as mutation
from sql.model import summary as model
from support.stacks import ROOT

pytest_plugins = ["parley_stack.pytest_plugin"]

# Examples are judged by what they find, not by how busy the machine is.
settings.register_profile(
    "parley", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("parley")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Also asked for by ``PARLEY_LONG=1``."""
    parser.addoption("--long", action="store_true", help="do all of what is sampled otherwise")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The mutation score, and how far the model test went."""
    mutation.report(terminalreporter, ROOT / ".parley" / "mutation.json")
    model.report(terminalreporter)


@pytest.fixture(scope="session")
def long_run(request: pytest.FixtureRequest) -> bool:
    """Whether tests that take a sample should take everything."""
    return bool(request.config.getoption("--long")) or os.environ.get("PARLEY_LONG") == "1"
