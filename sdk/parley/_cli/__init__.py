"""The command ``parley``."""

from __future__ import annotations
