"""The opening handshake: which sockets are let in, and with what.

Source: Supabase Realtime protocol, section 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from parley_stack.keys import Keys

from . import tokens
from .errors import ConnectRefusedError
from .wire import Wire, to_json, wire_of

_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
}


@dataclass(frozen=True, slots=True)
class Admission:
    """A socket that may open: serializer, connect token, and its ``x-*`` headers."""

    wire: Wire
    token: str
    headers: Mapping[str, str]


def admit(request: Request, keys: Keys, max_header_length: int) -> Admission:
    """Judge an upgrade request. Raises ConnectRefusedError."""
    pairs = [(name.lower(), value) for name, value in request.headers.raw_items()]
    if any(len(value) > max_header_length for _, value in pairs):
        raise ConnectRefusedError(431, "A request header is too long")
    headers = dict(pairs)
    query = parse_qs(urlsplit(request.path).query)
    wire = wire_of(query["vsn"][-1] if "vsn" in query else None)
    if wire is None:
        raise ConnectRefusedError(403, "Unsupported serializer version")
    api_key = headers.get("x-api-key") or query.get("apikey", [""])[-1]
    if not api_key.strip():
        raise ConnectRefusedError(401, "API key is missing")
    token = tokens.token_of_api_key(keys, api_key.strip())
    try:
        tokens.verify(keys, token)
    except tokens.TokenRefusedError as error:
        raise ConnectRefusedError(401, error.brief) from error
    kept = {n: v for n, v in headers.items() if n.startswith("x-") and n != "x-api-key"}
    return Admission(wire, token, kept)


def refusal(error: ConnectRefusedError) -> Response:
    """The HTTP response of a handshake that failed."""
    body = to_json({"error": error.message})
    headers = Headers()
    headers["Content-Type"] = "application/json; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(error.status, _REASONS[error.status], headers, body)
