"""Reads and rewrites the head of an upstream's response, as bytes."""

from __future__ import annotations

import re

from . import cors

LIMIT = 65536
"""Bytes of a request's or a response's head."""

_DROPPED = re.compile(
    rb"\r\n(?:access-control-[^:\r\n]*|connection|keep-alive|proxy-connection|upgrade)"
    rb"[ \t]*:[^\r\n]*",
    re.IGNORECASE,
)
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5]\d\d(?: |\r\n|$)")
_DROPPED_BUT_CORS = re.compile(
    rb"\r\n(?:connection|keep-alive|proxy-connection|upgrade)[ \t]*:[^\r\n]*", re.IGNORECASE
)
_CORS = b"\r\n" + cors.HEADERS
_END = b"\r\n\r\n"
_CLOSING = b"\r\nConnection: close"
_OPEN_END = _CORS + _END
_CLOSING_END = _CLOSING + _OPEN_END


class BadHeadError(Exception):
    """A response that is not HTTP/1.1."""


class ResponseHead:
    """What decides where a response ends; RFC 9112 section 6.3."""

    __slots__ = ("has_own_cors", "is_chunked", "keeps_connection", "length", "status", "text")

    def __init__(self, text: bytes, *, keeps_cors: bool = False) -> None:
        """``text`` is the head without the empty line. Raises BadHeadError.

        ``keeps_cors``: cross-origin headers that name an origin are the upstream's to give.
        """
        if _STATUS_LINE.match(text) is None:
            raise BadHeadError
        lower = text.lower()
        self.text = text
        self.status = int(text[9:12])
        self.is_chunked = b"\r\ntransfer-encoding:" in lower
        self.length = None if self.is_chunked else _length(lower)
        self.keeps_connection = text[7] == 0x31 and b"close" not in _value(lower, b"connection")
        self.has_own_cors = keeps_cors and b"\r\naccess-control-allow-origin:" in lower
        if _mentions_dropped(lower):
            dropped = _DROPPED_BUT_CORS if self.has_own_cors else _DROPPED
            self.text = dropped.sub(b"", text)
        if self.is_chunked and b"\r\ncontent-length:" in lower:
            self.text = _without(self.text, b"content-length")

    def for_client(self, *, is_closing: bool, is_unchunked: bool = False) -> bytes:
        """The head to send on; ``is_unchunked`` when the body goes on without its chunks."""
        text = _without(self.text, b"transfer-encoding") if is_unchunked else self.text
        if self.has_own_cors:
            return text + (_CLOSING if is_closing else b"") + _END
        return text + (_CLOSING_END if is_closing else _OPEN_END)


def _mentions_dropped(lower: bytes) -> bool:
    # Most responses do not, and this is far cheaper than the expression.
    return (
        b"\r\naccess-control-" in lower
        or b"\r\nconnection" in lower
        or b"\r\nkeep-alive" in lower
        or b"\r\nupgrade" in lower
        or b"\r\nproxy-connection" in lower
    )


def _value(lower: bytes, name: bytes) -> bytes:
    start = lower.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    end = lower.find(b"\r\n", start)
    return lower[start:] if end < 0 else lower[start:end]


def _length(lower: bytes) -> int | None:
    text = _value(lower, b"content-length").strip()
    if not text:
        return None
    if not text.isdigit():
        raise BadHeadError
    return int(text)


def _without(text: bytes, name: bytes) -> bytes:
    return re.sub(rb"\r\n" + name + rb"[ \t]*:[^\r\n]*", b"", text, flags=re.IGNORECASE)
