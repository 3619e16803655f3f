"""What all models share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen; fields it does not know are ignored, so that a newer database does not break it.

    relation: The table or view of schema ``chat`` whose rows it holds. A test compares the fields
        with the columns.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    relation: ClassVar[str] = ""
