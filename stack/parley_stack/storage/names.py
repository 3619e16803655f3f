"""Names of buckets and objects, and which media types a bucket takes."""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import errors

PLACEHOLDER = ".emptyFolderPlaceholder"
"""What dashboards upload, empty, to make a folder."""

_BUCKET = re.compile(r"[A-Za-z0-9_!.*'() &$@=;:+,?-]{1,100}")
_KEY = re.compile(r"[A-Za-z0-9_/!.*'() &$@=;:+,?-]{1,1024}")
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")
_ALLOWED_ENTRY = re.compile(r"[\w.+-]+/[\w.+-]+(?:;\s*charset=[\w-]+)?")


def check_bucket(name: str) -> str:
    """``name``, or InvalidBucketName."""
    if not _BUCKET.fullmatch(name) or name != name.strip():
        raise errors.invalid_bucket_name()
    return name


def check_key(name: str) -> str:
    """``name``, or InvalidKey. Segments ``.`` and ``..`` are refused: clients resolve them."""
    if not _KEY.fullmatch(name) or {".", ".."} & set(name.split("/")):
        raise errors.invalid_key(name)
    return name


def is_placeholder(name: str) -> bool:
    return name.rpartition("/")[2] == PLACEHOLDER


def is_header_value(text: str) -> bool:
    """Whether ``text`` can be sent in a header as it is."""
    return _PRINTABLE.fullmatch(text) is not None


def check_allowed_entries(entries: Iterable[str]) -> None:
    """Raises InvalidMimeType for an entry of a bucket's list that is no media type."""
    for entry in entries:
        if not (entry.endswith("*") or _ALLOWED_ENTRY.fullmatch(entry)):
            raise errors.invalid_mime_type(entry)


def check_mime_type(given: str, allowed: Iterable[str] | None) -> None:
    """Raises InvalidMimeType. ``allowed`` empty: all; parameters count, ``text/*`` matches all."""
    entries = list(allowed or ())
    if not is_header_value(given):
        raise errors.invalid_mime_type(ascii(given))
    kind, _, _ = given.partition("/")
    if entries and not ({given, f"{kind}/*", "*/*", "*"} & set(entries)):
        raise errors.invalid_mime_type(given)
