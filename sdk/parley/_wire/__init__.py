"""Requests to build, and responses and errors to read: plain functions, no I/O."""

from __future__ import annotations

from .errors import error_of_auth, error_of_response, error_of_storage
from .pages import LONGEST_PAGE, Keyset, checked_limit, cut_page, read_page
from .requests import (
    NOT_GIVEN,
    SCHEMA,
    Argument,
    Filter,
    NotGiven,
    Request,
    any_of,
    call,
    delete,
    equals,
    insert_once,
    read,
    update,
    upsert,
)
from .responses import (
    conversation_not_found,
    message_not_found,
    only,
    parse_model,
    parse_rows,
    parse_value,
    unreadable,
    user_not_found,
)

__all__ = [
    "LONGEST_PAGE",
    "NOT_GIVEN",
    "SCHEMA",
    "Argument",
    "Filter",
    "Keyset",
    "NotGiven",
    "Request",
    "any_of",
    "call",
    "checked_limit",
    "conversation_not_found",
    "cut_page",
    "delete",
    "equals",
    "error_of_auth",
    "error_of_response",
    "error_of_storage",
    "insert_once",
    "message_not_found",
    "only",
    "parse_model",
    "parse_rows",
    "parse_value",
    "read",
    "read_page",
    "unreadable",
    "update",
    "upsert",
    "user_not_found",
]
