"""Answers of PostgREST, as values."""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import BaseModel, TypeAdapter, ValidationError

from parley._errors import NotFoundError, ServerError

ModelT = TypeVar("ModelT", bound=BaseModel)
T = TypeVar("T")


def parse_model(model: type[ModelT], content: bytes) -> ModelT:
    """One row. Raises ServerError when the response is something else."""
    try:
        return model.model_validate_json(content)
    except ValidationError:
        raise unreadable() from None


def parse_rows(model: type[ModelT], content: bytes) -> tuple[ModelT, ...]:
    """Rows. Raises ServerError when the response is something else."""
    return parse_value(tuple[model, ...], content)  # type: ignore[valid-type]


def parse_value(kind: type[T], content: bytes) -> T:
    """Anything with a type. Raises ServerError when the response is something else."""
    try:
        value: T = _adapter(cast("Hashable", kind)).validate_json(content)
    except ValidationError:
        raise unreadable() from None
    return value


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def only(rows: tuple[T, ...], missing: NotFoundError) -> T:
    """The one row there is. Raises ``missing`` when there is none."""
    if not rows:
        raise missing
    return rows[0]


def conversation_not_found() -> NotFoundError:
    """The same error that the database raises when it is asked to write."""
    return NotFoundError(
        "There is no such conversation among yours.",
        status=404,
        code="conversation_not_found",
        hint="Check the id, and that you are still a participant.",
    )


def message_not_found() -> NotFoundError:
    """As conversation_not_found."""
    return NotFoundError(
        "There is no such message here.",
        status=404,
        code="message_not_found",
        hint="Check the seq; it may have expired.",
    )


def user_not_found() -> NotFoundError:
    """As conversation_not_found."""
    return NotFoundError(
        "There is no such user here.",
        status=404,
        code="user_not_found",
        hint="Give an exact username or an id.",
    )


def unreadable() -> ServerError:
    """The error for an answer that is not what was asked for."""
    return ServerError(
        "The server's answer cannot be read.",
        hint="Check that the URL is the project's and that its migrations are applied.",
    )
