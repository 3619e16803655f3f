"""Fixtures of all suites: those of the stack's pytest plugin, on Parley's own project."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

pytest_plugins = ["parley_stack.pytest_plugin"]

# Examples are judged by what they find, not by how busy the machine is.
settings.register_profile(
    "parley", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("parley")
