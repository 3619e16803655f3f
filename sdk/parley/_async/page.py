"""Lists that come in pages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

ItemT = TypeVar("ItemT")


class AsyncPage(Generic[ItemT]):
    """One page of a list. ``async for`` goes through its items and those of all pages after it.

    items: This page's.
    next_cursor: Where the next page starts, for another call or another process; None: this is
        the last.
    """

    def __init__(
        self,
        items: tuple[ItemT, ...],
        next_cursor: str | None,
        read: Callable[[str], Awaitable[AsyncPage[ItemT]]],
    ) -> None:
        self.items = items
        self.next_cursor = next_cursor
        self._read = read

    async def next_page(self) -> AsyncPage[ItemT] | None:
        """Reads the page after this one; None when this is the last."""
        return None if self.next_cursor is None else await self._read(self.next_cursor)

    async def __aiter__(self) -> AsyncIterator[ItemT]:
        page: AsyncPage[ItemT] | None = self
        while page is not None:
            for item in page.items:
                yield item
            page = await page.next_page()

    def __repr__(self) -> str:
        return f"<AsyncPage of {len(self.items)} items, next_cursor={self.next_cursor!r}>"
