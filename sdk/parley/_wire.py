"""Requests to build and responses to read: plain functions, no I/O."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from ._errors import (
    AuthenticationError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ParleyError,
    RateLimitedError,
    ServerError,
    class_for_status,
)
from ._ids import is_uuid_text
from ._models import ConversationRow, ConversationState, InboxEntry, Message

SCHEMA = "chat"
LONGEST_PAGE = 500
SNAPSHOT_LIMIT = 200

_CONVERSATION_COLUMNS = "id,tenant_id,kind,title,created_by,created_at,epoch"
_CONSTRAINT = re.compile(r'constraint "([^"]+)"')
_CODE = re.compile(r"[a-z]+(_[a-z]+)+")

_CONVERSATIONS = TypeAdapter(tuple[ConversationRow, ...])
_ENTRIES = TypeAdapter(tuple[InboxEntry, ...])
_MESSAGES = TypeAdapter(tuple[Message, ...])
_STATES = TypeAdapter(tuple[ConversationState, ...])

ModelT = TypeVar("ModelT", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One request to PostgREST.

    path: Below the API's address, without a slash at its start.
    params: The query, in order.
    body: JSON to post, or None.
    is_repeatable: Whether doing it twice is the same as doing it once.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, JsonValue] | None = None
    is_repeatable: bool = True


# Requests -------------------------------------------------------------------------------------


def start_direct(user: UUID | str) -> Request:
    """Repeatable: a pair has one direct conversation. Raises InvalidRequestError."""
    if isinstance(user, UUID) or is_uuid_text(user):
        return _call("start_direct", {"user_id": str(user)})
    if not user:
        raise InvalidRequestError(
            "`user` is empty.", code="user_required", hint="Give a username or an id."
        )
    return _call("start_direct", {"username": user})


def start_group(title: str, user_ids: Sequence[UUID], id: UUID) -> Request:
    """Repeatable with the same id. Raises InvalidRequestError."""
    if not title:
        raise InvalidRequestError(
            "A group needs a title.",
            code="conversations_title_check",
            hint="Give 1 to 200 characters.",
        )
    return _call(
        "start_group",
        {"title": title, "user_ids": [str(user_id) for user_id in user_ids], "id": str(id)},
    )


def send_message(
    conversation_id: UUID,
    body: str,
    id: UUID,
    metadata: Mapping[str, JsonValue] | None,
    reply_to_seq: int | None,
) -> Request:
    """Repeatable: the same id returns the stored message. Raises InvalidRequestError."""
    if not body.strip():
        raise InvalidRequestError(
            "A message needs text.",
            code="messages_body_check",
            hint="Give up to 10,000 characters, not all of them spaces.",
        )
    arguments: dict[str, JsonValue] = {
        "conversation_id": str(conversation_id),
        "body": body,
        "id": str(id),
    }
    if metadata is not None:
        arguments["metadata"] = dict(metadata)
    if reply_to_seq is not None:
        arguments["reply_to_seq"] = reply_to_seq
    return _call("send_message", arguments)


def mark_read(conversation_id: UUID, seq: int | None) -> Request:
    """Repeatable: the watermark only moves on."""
    arguments: dict[str, JsonValue] = {"conversation_id": str(conversation_id)}
    if seq is not None:
        arguments["seq"] = seq
    return _call("mark_read", arguments)


def read_conversation(conversation_id: UUID) -> Request:
    """One row of chat.conversations, or none."""
    return Request(
        "GET",
        "conversations",
        (("select", _CONVERSATION_COLUMNS), ("id", f"eq.{conversation_id}")),
    )


def read_state(conversation_id: UUID, after_seq: int | None) -> Request:
    """Where a conversation stands, with the messages after a ``seq``, in one snapshot.

    At most SNAPSHOT_LIMIT messages, oldest first. None: no messages.
    """
    return Request(
        "GET",
        "conversations",
        (
            ("select", "rev,epoch,last_seq,messages(*)"),
            ("id", f"eq.{conversation_id}"),
            ("messages.seq", f"gt.{after_seq or 0}"),
            ("messages.order", "seq.asc"),
            ("messages.limit", "0" if after_seq is None else str(SNAPSHOT_LIMIT)),
        ),
    )


def read_history(conversation_id: UUID, limit: int, before_seq: int | None) -> Request:
    """Messages of a conversation, newest first, one more than the page needs."""
    filters = (("seq", f"lt.{before_seq}"),) if before_seq is not None else ()
    return Request(
        "GET",
        "messages",
        (
            ("conversation_id", f"eq.{conversation_id}"),
            *filters,
            ("order", "seq.desc"),
            ("limit", str(checked_limit(limit) + 1)),
        ),
    )


def read_inbox(limit: int, cursor: str | None) -> Request:
    """The caller's inbox, newest activity first, one more than the page needs."""
    filters: tuple[tuple[str, str], ...] = ()
    if cursor is not None:
        at, conversation_id = _read_inbox_cursor(cursor)
        # The first filter is implied by the second; it is one that an index can use.
        filters = (
            ("last_activity_at", f"lte.{at}"),
            ("or", f'(last_activity_at.lt."{at}",conversation_id.lt.{conversation_id})'),
        )
    return Request(
        "GET",
        "inbox",
        (
            *filters,
            ("order", "last_activity_at.desc,conversation_id.desc"),
            ("limit", str(checked_limit(limit) + 1)),
        ),
    )


def _call(function: str, arguments: Mapping[str, JsonValue]) -> Request:
    return Request("POST", f"rpc/{function}", body=arguments)


def checked_limit(limit: int) -> int:
    """Raises InvalidRequestError unless a page of this many items can be had."""
    if not 1 <= limit <= LONGEST_PAGE:
        raise InvalidRequestError("`limit` is out of range.", hint=f"Give 1 to {LONGEST_PAGE}.")
    return limit


# Cursors --------------------------------------------------------------------------------------


def cut_page(items: tuple[T, ...], limit: int) -> tuple[tuple[T, ...], T | None]:
    """A page's items, and its last one when there are more after it."""
    if len(items) > limit:
        return items[:limit], items[limit - 1]
    return items, None


def inbox_cursor(entry: InboxEntry) -> str:
    """Where the page after this entry starts: opaque text, safe in a URL."""
    key = json.dumps([entry.last_activity_at.isoformat(), str(entry.conversation_id)])
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _read_inbox_cursor(cursor: str) -> tuple[str, UUID]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        at, conversation_id = json.loads(base64.urlsafe_b64decode(padded))
        return datetime.fromisoformat(at).isoformat(), UUID(conversation_id)
    except (binascii.Error, ValueError, TypeError, AttributeError):
        raise InvalidRequestError(
            "`cursor` is not one of this list's.", hint="Give a page's next_cursor as it is."
        ) from None


def read_seq_cursor(before: int | str | None) -> int | None:
    """The ``seq`` that a page of history ends before. Raises InvalidRequestError."""
    if before is None:
        return None
    try:
        seq = int(before)
    except ValueError:
        seq = 0
    if seq < 1:
        raise InvalidRequestError(
            "`before` is neither a seq nor a cursor.", hint="Give a page's next_cursor as it is."
        )
    return seq


# Responses ------------------------------------------------------------------------------------


def parse_model(model: type[ModelT], content: bytes) -> ModelT:
    """One row. Raises ServerError when the response is something else."""
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise _unreadable() from None


def parse_conversation(content: bytes) -> ConversationRow:
    """The row of read_conversation. Raises NotFoundError when there is none."""
    return _only(_rows(_CONVERSATIONS, content))


def parse_state(content: bytes) -> ConversationState:
    """The row of read_state. Raises NotFoundError when there is none."""
    return _only(_rows(_STATES, content))


def parse_messages(content: bytes) -> tuple[Message, ...]:
    """Rows of chat.messages."""
    return _rows(_MESSAGES, content)


def parse_inbox(content: bytes) -> tuple[InboxEntry, ...]:
    """Rows of chat.inbox."""
    return _rows(_ENTRIES, content)


def _rows(adapter: TypeAdapter[tuple[T, ...]], content: bytes) -> tuple[T, ...]:
    try:
        return adapter.validate_json(content)
    except ValidationError:
        raise _unreadable() from None


def _only(rows: tuple[T, ...]) -> T:
    if not rows:
        raise conversation_not_found()
    return rows[0]


def conversation_not_found() -> NotFoundError:
    """The same error that the database raises when it is asked to write."""
    return NotFoundError(
        "There is no such conversation among yours.",
        status=404,
        code="conversation_not_found",
        hint="Check the id, and that you are still a participant.",
    )


def _unreadable() -> ServerError:
    return ServerError(
        "The server's answer cannot be read.",
        hint="Check that the URL is the project's and that its migrations are applied.",
    )


# Errors ---------------------------------------------------------------------------------------


def error_of_response(status: int, content: bytes) -> ParleyError:
    """The error of a response of PostgREST or a gateway with status 400 and up.

    Only PostgREST's own fields are used: an HTML page of a proxy never becomes a message. The
    details of a violated constraint hold the row, so they are left out too.
    """
    fields = _error_fields(content)
    sqlstate = fields.get("code")
    message = fields.get("message")
    code = _error_code(fields)
    error_class = class_for_status(status)
    if code == "sign_in_required":
        error_class = AuthenticationError
    return error_class(
        message, status=status, code=code, hint=fields.get("hint"), sqlstate=sqlstate
    )


def _error_fields(content: bytes) -> dict[str, str]:
    try:
        fields = json.loads(content)
    except ValueError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {key: value for key, value in fields.items() if isinstance(value, str) and value}


def _error_code(fields: Mapping[str, str]) -> str | None:
    if fields.get("code", "").startswith("23"):
        found = _CONSTRAINT.search(fields.get("message", ""))
        return found.group(1) if found else None
    details = fields.get("details", "")
    return details if _CODE.fullmatch(details) else None


_AUTH_CLASSES: dict[str, type[ParleyError]] = {
    "email_exists": ConflictError,
    "user_already_exists": ConflictError,
    "invalid_credentials": AuthenticationError,
    "email_not_confirmed": AuthenticationError,
    "refresh_token_already_used": AuthenticationError,
    "refresh_token_not_found": AuthenticationError,
    "session_expired": AuthenticationError,
    "session_not_found": AuthenticationError,
    "over_request_rate_limit": RateLimitedError,
    "over_email_send_rate_limit": RateLimitedError,
}


def error_of_auth(message: str, status: int, code: str | None) -> ParleyError:
    """The error of an answer of the Auth server with status 400 and up."""
    error_class = _AUTH_CLASSES.get(code or "", class_for_status(status))
    return error_class(message or None, status=status, code=code)
