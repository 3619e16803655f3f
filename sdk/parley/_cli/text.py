"""How things look in a terminal. No I/O."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from parley import Message

DIM, BOLD, PLAIN = "\x1b[2m", "\x1b[1m", "\x1b[0m"
_COLOURS = (36, 33, 35, 32, 34, 31)
_BAR_WIDTH = 30


def clean(text: str) -> str:
    """What somebody else wrote, without what would command the terminal."""
    return "".join(
        letter if letter in "\n\t" or unicodedata.category(letter) not in ("Cc", "Cf") else "\ufffd"
        for letter in text
    )


def one_line(text: str, width: int) -> str:
    """The beginning of a text, on one line of at most so many characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= width else line[: max(width - 1, 0)] + "…"


def content(message: Message) -> str:
    """What a message says."""
    if message.deleted_at is not None:
        return "(deleted)"
    if message.kind == "poll":
        return f"(poll) {clean(str(message.metadata.get('question', '')))}"
    files = "".join(f"\n  [{clean(file.name)}]" for file in message.attachments or ())
    body = clean(message.body or "")
    if message.kind != "text" and not body:
        body = f"({clean(message.kind)})"
    return body + files


def clock(at: datetime) -> str:
    """The time of day, here."""
    return at.astimezone().strftime("%H:%M")


def colour(name: str, *, is_used: bool) -> str:
    """A name, each in a colour of its own."""
    name = clean(name)
    if not is_used:
        return name
    return f"\x1b[{_COLOURS[sum(name.encode()) % len(_COLOURS)]}m{name}{PLAIN}"


def bar(done: int, total: int, label: str) -> str:
    """A line that shows how far something is."""
    share = 1.0 if total == 0 else min(done / total, 1.0)
    filled = round(share * _BAR_WIDTH)
    shown = "█" * filled + "░" * (_BAR_WIDTH - filled)
    return f"{shown} {share:4.0%}  {done}/{total}  {one_line(label, 30)}"
