"""A terminal in which one writes at the bottom while things appear above."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Self

_END = "\x04"
_INTERRUPT = "\x03"
_BACKSPACE = ("\x7f", "\x08")
_CLEAR = "\r\x1b[K"


class Terminal:
    """Lines in, lines out. Without a terminal, lines of standard input.

    on_key: Called at each key, before the line is complete.
    """

    def __init__(self, on_key: Callable[[], None]) -> None:
        self.is_tty = sys.stdin.isatty() and sys.stdout.isatty()
        self.status = ""
        self._on_key = on_key
        self._text = ""
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._saved: list[object] | None = None
        self._in_escape = False

    def __enter__(self) -> Self:
        fd = sys.stdin.fileno()
        if self.is_tty:
            import termios
            import tty

            self._saved = termios.tcgetattr(fd)
            tty.setcbreak(fd)
        asyncio.get_running_loop().add_reader(fd, self._read, fd)
        self._draw()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        fd = sys.stdin.fileno()
        asyncio.get_running_loop().remove_reader(fd)
        if self._saved is not None:
            import termios

            termios.tcsetattr(fd, termios.TCSADRAIN, self._saved)  # type: ignore[arg-type]
            print(_CLEAR, end="", flush=True)

    async def line(self) -> str | None:
        """The next line written; None at the end."""
        return await self._lines.get()

    def show(self, text: str) -> None:
        """Prints above the line being written."""
        print(f"{_CLEAR}{text}" if self.is_tty else text, flush=True)
        self._draw()

    def set_status(self, status: str) -> None:
        """What stands before the line being written."""
        if status != self.status:
            self.status = status
            self._draw()

    def _draw(self) -> None:
        if self.is_tty:
            print(f"{_CLEAR}{self.status}> {self._text}", end="", flush=True)

    def _read(self, fd: int) -> None:
        data = os.read(fd, 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(fd)
            if self._text:
                self._finish_line()
            self._lines.put_nowait(None)
            return
        for letter in self._decoder.decode(data):
            self._take(letter)
        self._draw()

    def _take(self, letter: str) -> None:
        if self._in_escape:
            # Arrows and the like: none is used; one ends with a letter or ~.
            self._in_escape = not (letter.isalpha() or letter == "~")
        elif letter == "\x1b":
            self._in_escape = True
        elif letter in "\r\n":
            self._finish_line()
        elif letter in (_END, _INTERRUPT):
            self._lines.put_nowait(None)
        elif letter in _BACKSPACE:
            self._text = self._text[:-1]
        elif letter.isprintable():
            self._text += letter
            self._on_key()

    def _finish_line(self) -> None:
        self._lines.put_nowait(self._text)
        self._text = ""
