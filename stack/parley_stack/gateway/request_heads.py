"""The head of a request as the upstream gets it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto

_ABSOLUTE = re.compile(rb"https?://[^/?]*", re.IGNORECASE)
_NEVER_NAMED = {b"close", b"keep-alive", b"upgrade", b"te", b"host", b"content-length", b""}
"""What ``Connection`` may list without effect: handled anyway, or needed upstream."""


class Kind(Enum):
    """What becomes of a header that the gateway looks at."""

    KEPT = auto()
    DROPPED = auto()


SPECIAL = {
    b"authorization": Kind.DROPPED,
    b"connection": Kind.DROPPED,
    b"keep-alive": Kind.DROPPED,
    b"proxy-authorization": Kind.DROPPED,
    b"proxy-connection": Kind.DROPPED,
    b"te": Kind.DROPPED,
    b"trailer": Kind.DROPPED,
    b"transfer-encoding": Kind.DROPPED,
    b"upgrade": Kind.DROPPED,
    b"x-forwarded-for": Kind.DROPPED,
    b"x-forwarded-host": Kind.DROPPED,
    b"x-forwarded-port": Kind.DROPPED,
    b"x-forwarded-prefix": Kind.DROPPED,
    b"x-forwarded-proto": Kind.DROPPED,
    b"access-control-request-headers": Kind.KEPT,
    b"access-control-request-method": Kind.KEPT,
    b"apikey": Kind.KEPT,
    b"host": Kind.KEPT,
}
"""Headers the gateway looks at: those it sends on as they are, and those it does not."""


def origin_form(url: bytes) -> bytes:
    """The path and query of a request target in absolute form; RFC 9112 section 3.2.2."""
    return _ABSOLUTE.sub(b"", url, count=1) or b"/"


def for_upstream(
    lines: list[bytes],
    special: Mapping[bytes, bytes],
    authorization: bytes | None,
    peer: bytes,
    forwarded: bytes,
) -> bytes:
    """A whole head.

    ``lines``: the request line and the headers to send on; more are appended. ``special``: the
    values of the headers in ``SPECIAL``, by lower-case name. ``forwarded``: the route's own header
    lines, with the empty line that ends the head.
    """
    if b"connection" in special:
        lines = _without_named(lines, special[b"connection"])
    if authorization is not None:
        lines.append(b"Authorization: " + authorization)
    if b"transfer-encoding" in special:
        lines.append(b"Transfer-Encoding: chunked")
    host = special.get(b"host")
    if host is None:
        host = b"localhost"
        lines.append(b"Host: localhost")
    through = special.get(b"x-forwarded-for")
    lines.append(b"X-Forwarded-For: " + (through + b", " if through else b"") + peer)
    lines.append(b"X-Forwarded-Host: " + host)
    lines.append(forwarded)
    return b"\r\n".join(lines)


def _without_named(lines: list[bytes], connection: bytes) -> list[bytes]:
    """Drops the headers that ``Connection`` says are for one connection only."""
    named = {name.strip() for name in connection.lower().split(b",")} - _NEVER_NAMED
    if not named:
        return lines
    return lines[:1] + [line for line in lines[1:] if line.partition(b":")[0].lower() not in named]
