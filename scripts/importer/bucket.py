"""Files, through the Storage API, as any client's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psycopg


@dataclass(frozen=True)
class Bucket:
    """Where files go, and where relative addresses are looked for."""

    url: str
    secret_key: str
    folder: Path | None = None


def upload_files(connection: psycopg.Connection, bucket: Bucket) -> None:
    """Uploads what is not in the bucket yet."""
    raise NotImplementedError


def remove_files(connection: psycopg.Connection, bucket: Bucket) -> None:
    """Takes out of the bucket what the import put there."""
    raise NotImplementedError
