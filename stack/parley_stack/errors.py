"""What can go wrong while a stack starts, in words its user can act on."""

from __future__ import annotations


class StackError(Exception):
    """A start, stop or status that cannot go on. The CLI prints both parts and exits."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        text = super().__str__()
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ConfigError(StackError):
    """A configuration that cannot be used; the text names every place and what to change."""

    exit_code = 2
