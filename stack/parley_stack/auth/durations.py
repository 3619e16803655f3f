"""Durations as Go writes them (``1h30m``, ``500ms``): config.toml and the admin API use them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_SECONDS = (2**63 - 1) / 1e9
"""The longest duration Go can hold, about 292 years."""


def parse_duration(text: str) -> timedelta:
    """The length ``text`` names; ``0`` needs no unit.

    Raises ValueError for any other spelling, a negative length, or one Go could not hold.
    """
    if text == "0":
        return timedelta()
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"not a duration such as 1h30m or 500ms: {text!r}")
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _MAX_SECONDS:
        raise ValueError(f"duration is too long: {text!r}")
    return timedelta(seconds=seconds)


def _from_config(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_from_config)]
"""A settings field that accepts Go's spelling."""
