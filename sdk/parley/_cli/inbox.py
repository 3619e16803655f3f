"""``parley inbox``: conversations with what is unread."""

from __future__ import annotations

import shutil
import sys

from parley import AsyncParley, InboxEntry

from .text import BOLD, PLAIN, content, one_line

_NAME_WIDTH = 24
_LONGEST_PAGE = 100


async def inbox(parley: AsyncParley, *, limit: int, unread: bool, as_json: bool) -> None:
    """Prints up to ``limit`` entries, newest activity first."""
    shown = 0
    page = await parley.inbox.list(limit=min(max(limit, 1), _LONGEST_PAGE))
    async for entry in page:
        if unread and entry.unread_count == 0:
            continue
        print(entry.model_dump_json() if as_json else _line(entry))
        shown += 1
        if shown == limit:
            break
    if not as_json:
        totals = await parley.inbox.unread_totals()
        count = sum(total.unread_count for total in totals)
        print(
            f"{count} unread in {sum(total.conversation_count for total in totals)} conversations"
        )


def _line(entry: InboxEntry) -> str:
    name = one_line(entry.name, _NAME_WIDTH).ljust(_NAME_WIDTH)
    if entry.unread_count and sys.stdout.isatty():
        name = f"{BOLD}{name}{PLAIN}"
    count = str(entry.unread_count or "").rjust(5)
    at = entry.last_activity_at.astimezone().strftime("%Y-%m-%d %H:%M")
    width = shutil.get_terminal_size().columns - _NAME_WIDTH - 26
    last = "" if entry.last_message is None else one_line(content(entry.last_message), width)
    return f"{name} {count}  {at}  {last}".rstrip()
