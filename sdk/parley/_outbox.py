"""Messages that wait to be sent, in a file: which, and in which order. No network."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from pydantic import JsonValue

from ._errors import ConfigurationError

_VERSION = 1
_TABLE = """
create table if not exists waiting (
    number integer primary key autoincrement,
    id text not null unique,
    user_id text not null,
    conversation_id text not null,
    arguments text not null,
    queued_at text not null,
    error_code text,
    error text
)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message that waits to be sent, or was refused.

    number: Its place in the queue.
    id: The message's, chosen when it was put here.
    error_code, error: Why it was refused; None while it waits.
    """

    number: int
    id: UUID
    user_id: UUID
    conversation_id: UUID
    arguments: Mapping[str, JsonValue]
    queued_at: datetime
    error_code: str | None
    error: str | None

    @property
    def body(self) -> str | None:
        """The text."""
        body = self.arguments.get("body")
        return body if isinstance(body, str) else None


class OutboxFile:
    """An SQLite file of messages. Each call is one transaction, on disk when it returns."""

    def __init__(self, path: Path | str) -> None:
        """Raises ConfigurationError when the file is none of this kind."""
        try:
            self._connection = sqlite3.connect(
                path, timeout=10, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")
            (version,) = self._connection.execute("pragma user_version").fetchone()
            if version not in (0, _VERSION):
                raise ConfigurationError("The outbox was written by another version.")
            self._connection.execute(_TABLE)
            self._connection.execute(f"pragma user_version = {_VERSION}")
        except sqlite3.Error as error:
            raise ConfigurationError(
                "The outbox cannot be opened.", hint="Check its path and permissions."
            ) from error

    def put(
        self, id: UUID, user_id: UUID, conversation_id: UUID, arguments: Mapping[str, JsonValue]
    ) -> None:
        """Adds a message at the end; one that is there already stays as it is."""
        self._connection.execute(
            "insert into waiting (id, user_id, conversation_id, arguments, queued_at)"
            " values (?, ?, ?, ?, ?) on conflict (id) do nothing",
            (
                str(id),
                str(user_id),
                str(conversation_id),
                json.dumps(arguments),
                datetime.now(UTC).isoformat(),
            ),
        )

    def first(self, user_id: UUID, after: int = 0) -> Waiting | None:
        """A user's next message that was not refused."""
        row = self._connection.execute(
            "select * from waiting where user_id = ? and error is null and number > ?"
            " order by number limit 1",
            (str(user_id), after),
        ).fetchone()
        return None if row is None else _waiting(row)

    def all(self, user_id: UUID) -> tuple[Waiting, ...]:
        """All of a user's, in order, those that were refused too."""
        rows = self._connection.execute(
            "select * from waiting where user_id = ? order by number", (str(user_id),)
        )
        return tuple(_waiting(row) for row in rows)

    def refuse(self, number: int, code: str | None, error: str) -> None:
        """Keeps a message with the reason why it was refused, out of the others' way."""
        self._connection.execute(
            "update waiting set error_code = ?, error = ? where number = ?", (code, error, number)
        )

    def retry(self, id: UUID) -> None:
        """Has a refused message wait again, in its old place."""
        self._connection.execute(
            "update waiting set error_code = null, error = null where id = ?", (str(id),)
        )

    def remove(self, id: UUID) -> None:
        """Removes a message: it was sent, or given up."""
        self._connection.execute("delete from waiting where id = ?", (str(id),))

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()


def _waiting(row: tuple[object, ...]) -> Waiting:
    number, message_id, user_id, conversation_id, arguments, queued_at = map(str, row[:6])
    code, error = row[6:]
    return Waiting(
        number=int(number),
        id=UUID(message_id),
        user_id=UUID(user_id),
        conversation_id=UUID(conversation_id),
        arguments=json.loads(arguments),
        queued_at=datetime.fromisoformat(queued_at),
        error_code=None if code is None else str(code),
        error=None if error is None else str(error),
    )
