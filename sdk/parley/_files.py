"""Files on their way to a message: what they are called and what is in them. No network."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from ._errors import InvalidRequestError
from ._models import TenantSettings

PIECE_BYTES = 64 * 1024
_LONGEST_NAME = 100
# What Storage does not take in an object's name; the name that is shown may have anything.
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class File:
    """A file to send.

    content: Its bytes, or where it is on disk.
    name: What to call it, up to 255 characters; default: of a path, its last part.
    mime_type: Default: what the name says.
    width, height: Of an image or video, in pixels; both or neither.
    duration_seconds: Of a sound or video.
    """

    content: bytes | Path
    name: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an upload or download is.

    name: The file's.
    total_bytes: None when the server does not say.
    """

    name: str
    done_bytes: int
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class ReadyFile:
    """A file whose name, type and size are known."""

    file: File
    name: str
    mime_type: str
    size_bytes: int

    @property
    def safe_name(self) -> str:
        """A name that Storage takes, with the same ending."""
        name = _UNSAFE.sub("_", self.name).lstrip(".")[-_LONGEST_NAME:]
        return name or "file"

    def open(self) -> BinaryIO:
        """Its content from the start."""
        content = self.file.content
        return BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def made_ready(files: Iterable[File | Path | str]) -> list[ReadyFile]:
    """Files with names, types and sizes.

    Raises InvalidRequestError when there are none, one cannot be found or its type is unknown.
    """
    if isinstance(files, str | Path | File):
        raise InvalidRequestError("`files` is one file.", hint="Give a list of files.")
    ready = [_made_ready(file if isinstance(file, File) else File(Path(file))) for file in files]
    if not ready:
        raise InvalidRequestError(
            "There is nothing to attach.", code="attachments_required", hint="Give a file."
        )
    return ready


def _made_ready(file: File) -> ReadyFile:
    content = file.content
    name = file.name or (content.name if isinstance(content, Path) else "")
    if not name:
        raise InvalidRequestError("A file of bytes has no name.", hint="Give File(..., name=...).")
    mime_type = file.mime_type or mimetypes.guess_type(name)[0]
    if mime_type is None:
        raise InvalidRequestError(
            "The type of a file cannot be told from its name.",
            hint="Give File(..., mime_type=...).",
        )
    try:
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
    except OSError as error:
        raise InvalidRequestError("A file cannot be read.", hint="Check its path.") from error
    return ReadyFile(file, name, mime_type, size)


def check_allowed(files: list[ReadyFile], settings: TenantSettings) -> None:
    """Raises InvalidRequestError with the code that the server would give, before an upload."""
    if len(files) > settings.attachments_per_message:
        raise InvalidRequestError(
            "One message does not take as many attachments.",
            code="too_many_attachments",
            hint=f"At most {settings.attachments_per_message}.",
        )
    for file in files:
        if file.size_bytes > settings.attachment_max_bytes:
            raise InvalidRequestError(
                "A file is larger than the tenant allows.",
                code="attachment_too_large",
                hint=f"At most {settings.attachment_max_bytes} bytes.",
            )
        if file.mime_type not in settings.attachment_mime_types:
            raise InvalidRequestError(
                "The tenant does not allow files of this type.",
                code="attachment_type_not_allowed",
                hint=f"Allowed: {', '.join(settings.attachment_mime_types)}.",
            )


def target_of(to: Path | str, name: str) -> Path:
    """Where to write a file that is called ``name``, into a folder or as a file."""
    path = Path(to)
    # Of a name that somebody else chose, only the last part can be trusted.
    return path / Path(name).name if path.is_dir() else path
