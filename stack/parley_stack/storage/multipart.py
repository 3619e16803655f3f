"""multipart/form-data (RFC 7578), read as it comes: a file is never held in memory.

Of our own because the parsers that are well kept drop parts with an empty field name, which is
what supabase-js sends, or collect files.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

_MAX_HEAD_BYTES = 16 << 10
_BOUNDARY = re.compile(r"[\x20-\x7e]{0,69}[\x21-\x7e]")
# Quoted values are consumed whole, so that what is inside them is no parameter.
_PARAMETER = re.compile(r';\s*([\w*!-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;\s]*)')


class MultipartError(Exception):
    """Not multipart, or cut off; the text is safe to show."""


@dataclass(frozen=True)
class Part:
    """The head of one part."""

    name: str
    is_file: bool
    content_type: str


def boundary_of(content_type: str) -> bytes:
    """The parameter of a ``multipart/form-data`` type. Raises MultipartError."""
    boundary = _parameters(content_type).get("boundary", "")
    if not _BOUNDARY.fullmatch(boundary):
        raise MultipartError("Multipart: Boundary not found")
    return boundary.encode()


class Multipart:
    """Parts in order::

    while (part := await multipart.next_part()) is not None:
        async for data in multipart.data(): ...
    """

    def __init__(self, boundary: bytes, chunks: AsyncIterator[bytes]) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter has no line before it.
        self._buffer = bytearray(b"\r\n")
        self._chunks = chunks
        self._in_data = True

    async def next_part(self) -> Part | None:
        """The next part, skipping what is left of this one; None after the last."""
        async for _ in self.data():
            pass
        await self._have(2)
        if self._buffer.startswith(b"--"):
            return None
        end = await self._find(b"\r\n\r\n", _MAX_HEAD_BYTES)
        head, self._in_data = bytes(self._buffer[:end]), True
        del self._buffer[: end + 4]
        return _part(head)

    async def data(self) -> AsyncIterator[bytes]:
        """What is left of the part. Raises MultipartError if it is cut off."""
        while self._in_data:
            end = self._buffer.find(self._delimiter)
            # The last bytes can be the beginning of a delimiter.
            stop = end if end >= 0 else len(self._buffer) - len(self._delimiter)
            if stop > 0:
                yield bytes(self._buffer[:stop])
                del self._buffer[:stop]
            if end >= 0:
                del self._buffer[: len(self._delimiter)]
                self._in_data = False
            else:
                await self._more()

    async def drain(self) -> None:
        """Reads to the end of the request, so that the connection can be used again."""
        async for _ in self._chunks:
            pass

    async def _more(self) -> None:
        async for chunk in self._chunks:
            self._buffer += chunk
            return
        raise MultipartError("Unexpected end of form")

    async def _have(self, size: int) -> None:
        while len(self._buffer) < size:
            await self._more()

    async def _find(self, wanted: bytes, limit: int) -> int:
        while (at := self._buffer.find(wanted)) < 0:
            if len(self._buffer) > limit:
                raise MultipartError("Malformed part header")
            await self._more()
        return at


def _parameters(value: str) -> dict[str, str]:
    return {
        name.lower(): re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        for name, text in _PARAMETER.findall(value)
    }


def _part(head: bytes) -> Part:
    headers = {}
    for line in head.decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    disposition = headers.get("content-disposition", "")
    parameters = _parameters(disposition)
    if disposition.partition(";")[0].strip().lower() != "form-data":
        raise MultipartError("Malformed part header")
    return Part(
        name=parameters.get("name", ""),
        is_file="filename" in parameters or "filename*" in parameters,
        content_type=headers.get("content-type", ""),
    )
