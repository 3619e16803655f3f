"""Exports of a person's data."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from .base import Model


class PersonalExport(Model):
    """An export of what is a person's, and how far it is.

    expires_at: Then its files go.
    finished_at: None while something is to be written.
    part_count, row_count, file_count: What is written.
    """

    relation: ClassVar[str] = "exports"

    id: UUID
    user_id: UUID
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None
    part_count: int
    row_count: int
    file_count: int


class WrittenExport(PersonalExport):
    """An export of which all is written.

    url: Where its index is, for a day: JSON with the addresses of ``parts`` (lines of JSON) and
        ``files``. Whoever has it can read everything.
    """

    relation: ClassVar[str] = ""

    url: str
