"""The messages of a conversation: sending, reading, changing them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import JsonValue

from parley import _wire
from parley._errors import InvalidRequestError
from parley._ids import checked_id, new_id
from parley._models import Mention, Message, Report, Revision

from .here import AsyncHere, optional_seq_of, seq_of
from .page import AsyncPage

# Everything of a message that is shown with it.
SELECT: Final = "*,reaction_summary,poll_results,attachments(*)"
_NEWEST_FIRST: Final = _wire.Keyset(("seq",), (int,))
_OLDEST_FIRST: Final = _wire.Keyset(("seq",), (int,), is_descending=False)


class AsyncMessages(AsyncHere):
    """What one does with messages. A message is named by itself or by its ``seq``."""

    async def send(
        self,
        body: str | None = None,
        *,
        id: UUID | str | None = None,
        kind: str = "text",
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
        thread: Message | int | None = None,
        mentions: Iterable[UUID | str] = (),
    ) -> Message:
        """Sends a message and returns it as stored.

        Its id is chosen before the first attempt, so that trying again never makes a second
        message: on connection errors and 5xx this is done here, with growing pauses, for the
        configured ``retry_seconds``. To go on after that, or after a restart, give the ``id`` that
        you used before, or use an ``Outbox``.

        body: Up to 10,000 characters, not all of them spaces. A text needs one.
        kind: ``text``, ``location``, ``contact``, ``custom``; polls and files have methods of
            their own.
        metadata: A JSON object of up to 16 KiB.
        reply_to: The message this one answers.
        thread: The message whose thread this one is in.
        mentions: Ids of people, up to 50; ``metadata={"mention_all": True}`` for everybody.

        Raises InvalidRequestError (``messages_body_check``, ``messages_metadata_check``,
        ``message_too_long``, ``too_many_mentions``), NotFoundError (``conversation_not_found``,
        ``message_not_found``), ConflictError (``message_id_taken``), PermissionDeniedError
        (``blocked``, ``silenced``, ``conversation_closed``), RateLimitedError (``slow_mode``,
        ``rate_limited``), ConnectionFailedError.
        """
        arguments = message_arguments(
            body, id, kind, metadata, optional_seq_of(reply_to), optional_seq_of(thread), mentions
        )
        return await self._services.rest.one(Message, self._call("send_message", arguments))

    async def reply(
        self,
        to: Message | int,
        body: str,
        *,
        id: UUID | str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        mentions: Iterable[UUID | str] = (),
    ) -> Message:
        """Answers a message, in the thread it is in. As ``send``."""
        thread = to.thread_root_seq if isinstance(to, Message) else None
        return await self.send(
            body, id=id, metadata=metadata, reply_to=to, thread=thread, mentions=mentions
        )

    async def history(
        self,
        *,
        limit: int = 50,
        before: Message | int | str | None = None,
        after: Message | int | str | None = None,
    ) -> AsyncPage[Message]:
        """Messages, newest first, those in threads too, with reactions, polls and attachments.

        limit: How many a page holds, up to 500.
        before: Only those before this message, ``seq``, or page's ``next_cursor``.
        after: Only those after it, and oldest first; 0: from the beginning.

        Somebody who no longer takes part gets an empty page.
        """
        if after is None:
            return await self._page(limit, before)
        if before is not None:
            raise InvalidRequestError("Both `before` and `after` are given.", hint="Give one.")
        return await self._services.rest.page(
            Message,
            _OLDEST_FIRST,
            self._is_here(),
            limit=limit,
            cursor=_cursor(after, "after", first=0),
            select=SELECT,
        )

    async def thread(
        self, root: Message | int, *, limit: int = 50, before: Message | int | str | None = None
    ) -> AsyncPage[Message]:
        """The messages in the thread of ``root``, without ``root``. As ``history``."""
        return await self._page(limit, before, _wire.equals("thread_root_seq", seq_of(root)))

    async def message(self, message: Message | int) -> Message:
        """A message as it is now. Raises NotFoundError (``message_not_found``)."""
        seq = _wire.equals("seq", seq_of(message))
        request = _wire.read("messages", self._is_here(), seq, select=SELECT)
        rows = await self._services.rest.rows(Message, request)
        return _wire.only(rows, _wire.message_not_found())

    async def edit(
        self,
        message: Message | int,
        body: str,
        *,
        metadata: Mapping[str, JsonValue] | None = None,
        mentions: Iterable[UUID | str] | None = None,
    ) -> Message:
        """Replaces the text of one's own message; the earlier one is kept as a revision.

        Without ``metadata`` or ``mentions``, those stay.

        Raises PermissionDeniedError (``not_the_sender``, ``edit_window_over``), NotFoundError
        (``message_not_found``) and what ``send`` raises for the text.
        """
        arguments: dict[str, _wire.Argument] = {
            "seq": seq_of(message),
            "body": checked_body(body),
            "metadata": metadata,
            "mentions": None if mentions is None else checked_ids(mentions, "mentions"),
        }
        return await self._services.rest.one(Message, self._call("edit_message", arguments))

    async def delete(self, message: Message | int) -> Message:
        """Deletes a message for everyone, and returns what remains of it.

        Raises PermissionDeniedError (``not_allowed_to_delete``), NotFoundError
        (``message_not_found``).
        """
        request = self._call("delete_message", {"seq": seq_of(message)})
        return await self._services.rest.one(Message, request)

    async def restore(
        self, messages: Iterable[Message | int], *, kept_until: datetime | None = None
    ) -> int:
        """Brings back messages that were deleted for everyone or have expired, and returns how
        many. For owners and admins of the tenant, until the messages are purged.

        kept_until: How long those that have expired are kept, with a time zone; None: for the
            tenant's ``restore_window``.

        Raises NotFoundError (``conversation_not_found``).
        """
        seqs: list[_wire.Argument] = [seq_of(message) for message in messages]
        request = self._call("restore_messages", {"seqs": seqs, "kept_until": kept_until})
        return await self._services.rest.value(int, request)

    async def revisions(self, message: Message | int) -> tuple[Revision, ...]:
        """The earlier texts of a message, oldest first; none when the tenant hides them."""
        request = _wire.read(
            "message_revisions",
            self._is_here(),
            _wire.equals("message_seq", seq_of(message)),
            order="revision.asc",
        )
        return await self._services.rest.rows(Revision, request)

    async def mentions(self, message: Message | int) -> tuple[Mention, ...]:
        """Whom a message mentions."""
        seq = _wire.equals("message_seq", seq_of(message))
        request = _wire.read("mentions", self._is_here(), seq)
        return await self._services.rest.rows(Mention, request)

    async def report(
        self, message: Message | int, *, reason: str, details: str | None = None
    ) -> Report:
        """Reports a message to the moderators, who also get a copy of it.

        reason: ``spam``, ``harassment``, ``hate``, ``violence``, ``sexual``, ``self_harm``,
            ``illegal``, ``impersonation`` or ``other``.
        details: Up to 2,000 characters.

        Raises ConflictError (``report_exists``), InvalidRequestError (``reports_reason_check``,
        ``report_of_self``).
        """
        arguments: dict[str, _wire.Argument] = {
            "seq": seq_of(message),
            "reason": reason,
            "details": details,
        }
        request = self._call("report_message", arguments, is_repeatable=False)
        return await self._services.rest.one(Report, request)

    async def _page(
        self, limit: int, before: Message | int | str | None, *filters: _wire.Filter
    ) -> AsyncPage[Message]:
        return await self._services.rest.page(
            Message,
            _NEWEST_FIRST,
            self._is_here(),
            *filters,
            limit=limit,
            cursor=_cursor(before, "before", first=1),
            select=SELECT,
        )


def message_arguments(
    body: str | None,
    id: UUID | str | None,
    kind: str,
    metadata: Mapping[str, JsonValue] | None,
    reply_to_seq: int | None,
    thread_root_seq: int | None,
    mentions: Iterable[UUID | str],
) -> dict[str, _wire.Argument]:
    """What describes a new message. Raises InvalidRequestError."""
    if kind == "text":
        body = checked_body(body or "")
    people = checked_ids(mentions, "mentions")
    return {
        "body": body,
        "id": new_id() if id is None else checked_id(id, "id"),
        "kind": None if kind == "text" else kind,
        "metadata": metadata,
        "reply_to_seq": reply_to_seq,
        "thread_root_seq": thread_root_seq,
        "mentions": people or None,
    }


def checked_body(body: str) -> str:
    """A text. Raises InvalidRequestError when there is nothing in it."""
    if not body.strip():
        raise InvalidRequestError(
            "A message needs text.",
            code="messages_body_check",
            hint="Give up to 10,000 characters, not all of them spaces.",
        )
    return body


def checked_ids(ids: Iterable[UUID | str], name: str) -> list[UUID]:
    """Ids, each of them checked. Raises InvalidRequestError."""
    if isinstance(ids, str):
        raise InvalidRequestError(f"`{name}` is one text.", hint="Give a list of ids.")
    return [checked_id(each, name) for each in ids]


def _cursor(place: Message | int | str | None, name: str, *, first: int) -> str | None:
    if place is None:
        return None
    text = str(place.seq if isinstance(place, Message) else place)
    if not text.isdecimal() or int(text) < first:
        raise InvalidRequestError(
            f"`{name}` is neither a seq nor a cursor.", hint="Give a page's next_cursor as it is."
        )
    return text
