"""What belongs to one conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from parley import _wire
from parley._errors import InvalidRequestError
from parley._models import Message, Model

if TYPE_CHECKING:
    from .services import Services

ModelT = TypeVar("ModelT", bound=Model)


class AsyncHere:
    """What the parts of one conversation share."""

    def __init__(self, services: Services, conversation_id: UUID) -> None:
        self._services = services
        self._conversation_id = conversation_id

    def _call(
        self,
        function: str,
        arguments: Mapping[str, _wire.Argument] | None = None,
        *,
        is_repeatable: bool = True,
        done_code: str | None = None,
    ) -> _wire.Request:
        """A function, called for this conversation."""
        return _wire.call(
            function,
            {"conversation_id": self._conversation_id, **(arguments or {})},
            is_repeatable=is_repeatable,
            done_code=done_code,
        )

    def _own(self) -> tuple[_wire.Filter, ...]:
        """Filters: what is here, and the caller's."""
        return self._is_here(), _wire.equals("user_id", self._services.auth.user_id)

    def _is_here(self) -> _wire.Filter:
        return _wire.equals("conversation_id", self._conversation_id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._conversation_id}>"


def seq_of(message: Message | int) -> int:
    """The ``seq`` of a message given as such or by its ``seq``. Raises InvalidRequestError."""
    seq = message.seq if isinstance(message, Message) else message
    if seq < 1:
        raise InvalidRequestError(
            "`seq` is out of range.", code="message_not_found", hint="The first message has 1."
        )
    return seq


def optional_seq_of(message: Message | int | None) -> int | None:
    """As seq_of, of None: None."""
    return None if message is None else seq_of(message)
