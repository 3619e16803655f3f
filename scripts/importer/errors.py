"""What an import ends with when it does not end well."""

from __future__ import annotations

from collections.abc import Sequence


class ImportFailed(Exception):  # noqa: N818 - as said to whoever runs it
    """Nothing was changed by the step that raised it, or what was can be gone on from."""

    def __init__(self, message: str, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.hint = hint
        self.details = list(details)
