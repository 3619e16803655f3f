"""Takes secrets out of text before it reaches a log."""

from __future__ import annotations

import re
from collections.abc import Iterable

_PATTERNS = (
    # A compact JWS: header and payload begin with `{"`.
    (re.compile(r"eyJ[\w-]{5,}\.eyJ[\w-]{5,}\.[\w-]*"), "[token]"),
    (re.compile(r"\bsb_(secret|publishable)_[\w-]+"), r"sb_\1_[key]"),
    (re.compile(r"(postgres(?:ql)?://[^:/@\s]+:)[^@\s]+@"), r"\1[secret]@"),
    # bcrypt
    (re.compile(r"\$2[aby]\$\d\d\$[./\w]{53}"), "[hash]"),
    # `password 'x'` of SQL, `"password": "x"` of JSON, `password=x` of a connection string.
    (
        re.compile(r"""(password['"]?\s*[=:\s]\s*)('[^']*'|"[^"]*"|[^\s'"]\S*)""", re.IGNORECASE),
        r"\1[secret]",
    ),
    (
        re.compile(
            r"""((?:authorization|apikey|access_token|refresh_token)['"]?\s*[=:]\s*['"]?"""
            r"""(?:bearer\s+)?)[\w.-]+""",
            re.IGNORECASE,
        ),
        r"\1[token]",
    ),
)


class Redactor:
    """Replaces what looks like a secret, and the given secrets wherever they stand."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        known = sorted({re.escape(s) for s in secrets if s}, key=len, reverse=True)
        self._known = re.compile("|".join(known)) if known else None

    def __call__(self, text: str) -> str:
        """``text`` without its secrets."""
        if self._known is not None:
            text = self._known.sub("[secret]", text)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text
