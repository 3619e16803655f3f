"""What the tables of ``supabase/config.toml`` are made of."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


class Section(BaseModel):
    """A table of the file: immutable, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Switch(Section):
    """A table that only turns something on."""

    enabled: bool = False


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        raise ValueError('a duration such as "30s", "2m" or "1h30m"')
    parts = _DURATION_PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError('a duration such as "30s", "2m" or "1h30m"')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _bytes(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError('a size such as "500KB" or "50MiB"')
    return round(float(match[1]) * 1024 ** _POWERS[match[2].lower()])


Seconds = Annotated[float, BeforeValidator(_seconds)]
"""A Go duration, ``"1h30m"``, as seconds."""

Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=0)]
"""A size, ``"50MiB"``, as bytes. ``MB`` and ``MiB`` are both 1024 * 1024, as in the CLI."""

Port = Annotated[int, Field(ge=1, le=65535)]
OptionalPort = Annotated[int, Field(ge=0, le=65535)]
"""A port, or 0 for none."""

Count = Annotated[int, Field(ge=0)]
Secret = Annotated[str, Field(repr=False)]
"""A value that must not show when settings are printed."""
