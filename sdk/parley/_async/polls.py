"""Polls."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from pydantic import JsonValue

from parley import _wire
from parley._errors import InvalidRequestError
from parley._models import Message, PollResults, Vote

from .here import AsyncHere, seq_of
from .messages import message_arguments


class AsyncPolls(AsyncHere):
    """``conversation.polls``. A poll is a message of kind ``poll``."""

    async def start(
        self,
        question: str,
        *,
        options: Sequence[str],
        multiple: bool = False,
        closes_at: datetime | None = None,
        id: UUID | str | None = None,
    ) -> Message:
        """Sends a poll. The ids of its options are ``"1"``, ``"2"`` and so on.

        options: 2 to 20 texts of up to 200 characters.
        multiple: Whether one may vote for several.
        closes_at: With a time zone. None: when it is closed.

        Raises InvalidRequestError (``messages_metadata_kind_check``) and what ``send`` raises.
        """
        if isinstance(options, str) or not 2 <= len(options) <= 20:
            raise InvalidRequestError(
                "`options` is not a list of 2 to 20 texts.", code="messages_metadata_kind_check"
            )
        numbered: list[JsonValue] = [
            {"id": str(number), "text": text} for number, text in enumerate(options, 1)
        ]
        metadata: dict[str, JsonValue] = {
            "question": question,
            "options": numbered,
            "multiple": multiple,
        }
        if closes_at is not None:
            metadata["closes_at"] = closes_at.isoformat()
        arguments = message_arguments(None, id, "poll", metadata, None, None, ())
        return await self._services.rest.one(Message, self._call("send_message", arguments))

    async def vote(self, poll: Message | int, options: Iterable[str]) -> PollResults:
        """Votes, instead of how one voted before; no options take the vote back.

        options: Their ids.

        Raises InvalidRequestError (``unknown_option``, ``one_option_only``, ``not_a_poll``),
        ConflictError (``poll_closed``).
        """
        if isinstance(options, str):
            raise InvalidRequestError("`options` is one text.", hint="Give a list of ids.")
        request = self._call("vote", {"seq": seq_of(poll), "option_ids": list(options)})
        return await self._services.rest.value(PollResults, request)

    async def close(self, poll: Message | int) -> PollResults:
        """Ends a poll for good.

        Raises PermissionDeniedError (``not_allowed_to_close``).
        """
        request = self._call("close_poll", {"seq": seq_of(poll)})
        return await self._services.rest.value(PollResults, request)

    async def votes(self, poll: Message | int) -> tuple[Vote, ...]:
        """Who voted for what; first come first."""
        seq = _wire.equals("message_seq", seq_of(poll))
        request = _wire.read("poll_votes", self._is_here(), seq, order="created_at.asc,user_id.asc")
        return await self._services.rest.rows(Vote, request)
