"""What several suites share: a running stack, people who use it, throw-away databases."""

from __future__ import annotations
