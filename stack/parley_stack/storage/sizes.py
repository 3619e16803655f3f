"""Sizes as the API takes them: bytes, or text with decimal units."""

from __future__ import annotations

import re

from . import errors

_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([KMGT]?)B?\s*", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}
_HINT = "Invalid file size format, hint: use 20GB / 20MB / 30KB / 3B"


def parse_size(value: object) -> int:
    """Bytes of ``20000000`` or ``"20mb"``. Raises InvalidRequest."""
    match = _SIZE.fullmatch(str(value)) if isinstance(value, int | str) else None
    if match is None or isinstance(value, bool):
        raise errors.invalid_request(_HINT)
    return round(float(match[1]) * 1000.0 ** _POWERS[match[2].upper()])
