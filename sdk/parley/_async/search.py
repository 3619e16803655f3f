"""Finding messages and people."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from parley import _wire
from parley._errors import InvalidRequestError
from parley._models import Profile, SearchHit

from .conversations import named, optional_id
from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_LONGEST_PAGE = 100


class AsyncSearch:
    """``parley.search``."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def messages(
        self,
        query: str,
        *,
        conversation_id: UUID | str | None = None,
        sender_id: UUID | str | None = None,
        sent_after: datetime | None = None,
        sent_before: datetime | None = None,
        order_by: Literal["newest", "ranked"] = "newest",
        limit: int = 20,
        cursor: str | None = None,
    ) -> AsyncPage[SearchHit]:
        """Finds messages by their words: all words, ``"a phrase"``, ``or``, ``-without``.

        query: Up to 500 characters.
        order_by: ``newest`` first, or ``ranked``: the best of the newest 500.
        limit: How many a page holds, up to 100.
        cursor: A page's ``next_cursor``, with all else as before.

        Raises InvalidRequestError (``search_query_empty``, ``search_query_too_long``,
        ``search_cursor_invalid``).
        """
        if not query.strip():
            raise InvalidRequestError(
                "There is no word to search for.", code="search_query_empty", hint="Give one."
            )
        arguments: dict[str, _wire.Argument] = {
            "query": query,
            "conversation_id": optional_id(conversation_id, "conversation_id"),
            "sender_id": optional_id(sender_id, "sender_id"),
            "sent_after": sent_after,
            "sent_before": sent_before,
            "order_by": order_by,
            "page_size": _wire.checked_limit(limit, _LONGEST_PAGE),
        }
        return await self._page(arguments, cursor)

    async def people(self, text: str, *, limit: int = 20) -> tuple[Profile, ...]:
        """People one knows whose username or display name begins with a text.

        One knows one's contacts, and who is in one's conversations.

        limit: Up to 500.
        """
        if not text.strip():
            raise InvalidRequestError("`text` is empty.", hint="Give some letters.")
        # In PostgREST's list of conditions a text is quoted, and * stands for anything.
        pattern = '"' + re.sub(r'(["\\])', r"\\\1", re.sub(r"([%_\\])", r"\\\1", text)) + '*"'
        request = _wire.read(
            "profiles",
            ("or", f"(username.ilike.{pattern},display_name.ilike.{pattern})"),
            order="username.asc",
            limit=_wire.checked_limit(limit),
        )
        return await self._services.rest.rows(Profile, request)

    async def profile(self, user: UUID | str) -> Profile:
        """Somebody one knows, by username (whatever the case) or id. As ``people``.

        Raises NotFoundError (``user_not_found``). Others can be written to by their exact
        username: ``conversations.start_direct``.
        """
        ((column, value),) = named(user).items()
        if column == "user_id":
            key = ("id", f"eq.{value}")
        else:
            key = ("username", "ilike." + re.sub(r"([%_\\*])", r"\\\1", str(value)))
        rows = await self._services.rest.rows(Profile, _wire.read("profiles", key))
        return _wire.only(rows, _wire.user_not_found())

    async def _page(
        self, arguments: dict[str, _wire.Argument], cursor: str | None
    ) -> AsyncPage[SearchHit]:
        request = _wire.call("search_messages", {**arguments, "cursor": cursor})
        hits = await self._services.rest.rows(SearchHit, request)
        is_full = len(hits) == arguments["page_size"]

        async def following(cursor: str) -> AsyncPage[SearchHit]:
            return await self._page(arguments, cursor)

        return AsyncPage(hits, hits[-1].next_cursor if is_full else None, following)
