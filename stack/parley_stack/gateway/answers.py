"""What the gateway answers by itself.

Errors are JSON objects of PostgREST's four members; ``message`` is also where Kong, the gateway of
a hosted project, puts its text.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from . import cors


def answer(status: HTTPStatus, body: object) -> bytes:
    """A whole HTTP response with a JSON ``body``; keeps the connection open."""
    data = json.dumps(body).encode()
    return (
        b"HTTP/1.1 %d %b\r\n%b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (
            status,
            status.phrase.encode(),
            cors.HEADERS,
            len(data),
            data,
        )
    )


def error(status: HTTPStatus, code: str, message: str, hint: str) -> bytes:
    """An error response."""
    return answer(status, {"code": code, "message": message, "details": None, "hint": hint})


def closing(response: bytes) -> bytes:
    """The same response, announcing the end of the connection."""
    line, rest = response.split(b"\r\n", 1)
    return line + b"\r\nConnection: close\r\n" + rest


def without_body(response: bytes) -> bytes:
    """The same response as HEAD has it."""
    return response[: response.index(b"\r\n\r\n") + 4]


HEALTH = answer(HTTPStatus.OK, {"status": "ok"})
NO_GRAPHQL = error(
    HTTPStatus.NOT_FOUND,
    "no_graphql",
    "this stack has no GraphQL endpoint",
    "use /rest/v1; pg_graphql is available in a hosted project only",
)
NO_ROUTE = error(
    HTTPStatus.NOT_FOUND,
    "no_route",
    "no Route matched with those values",
    "paths begin with /rest/v1/, /auth/v1/, /realtime/v1/, /storage/v1/ or /functions/v1/",
)
MALFORMED = error(
    HTTPStatus.BAD_REQUEST,
    "malformed_request",
    "the request is not valid HTTP/1.1",
    "check the request line, the headers and the framing of the body",
)
HEAD_TOO_LARGE = error(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    "request_head_too_large",
    "the request line and headers are larger than 64 KiB together",
    "send long filters in the body of a function call",
)
UNREACHABLE = error(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "upstream_unreachable",
    "the service behind this path cannot be reached",
    "it may still be starting, or have stopped: see its log file",
)
BROKEN = error(
    HTTPStatus.BAD_GATEWAY,
    "upstream_broken",
    "An invalid response was received from the upstream server",
    "the service closed the connection; the request may have taken effect",
)
BUSY = error(
    HTTPStatus.GATEWAY_TIMEOUT,
    "upstream_busy",
    "no connection to the service behind this path became free in time",
    "fewer requests at once, or shorter ones",
)
