"""Cross-origin headers: every answer is open to every origin, as behind Supabase's gateway.

Requests carry their own credentials in headers, never in cookies, so ``*`` gives nothing away.
An upstream's own ``Access-Control-*`` headers are dropped in favour of these, but those of edge
functions: on a hosted project they answer browsers themselves, and one that forgets to must fail
here, too.
"""

from __future__ import annotations

# What PostgREST exposes, and what the Auth clients need (`X-Supabase-Api-Version`: without it a
# browser loses every `error.code`).
_EXPOSED = (
    "Content-Encoding",
    "Content-Length",
    "Content-Location",
    "Content-Profile",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Last-Modified",
    "Link",
    "Location",
    "Preference-Applied",
    "Range-Unit",
    "Retry-After",
    "Server",
    "Transfer-Encoding",
    "Tus-Extension",
    "Tus-Max-Size",
    "Tus-Resumable",
    "Tus-Version",
    "Upload-Expires",
    "Upload-Length",
    "Upload-Offset",
    "X-Relay-Error",
    "X-Sb-Error-Code",
    "X-Supabase-Api-Version",
    "X-Total-Count",
)
_ALLOWED_HEADERS = b"authorization, apikey, content-type, x-client-info, x-supabase-api-version"
_PREFLIGHT_SECONDS = 3600

HEADERS = (
    f"Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: {', '.join(_EXPOSED)}"
).encode()
"""Header lines of every answer, without the last line end."""


def preflight(asked_headers: bytes | None) -> bytes:
    """The answer to a preflight that asks for ``asked_headers``: all of them."""
    return (
        b"HTTP/1.1 204 No Content\r\n"
        b"Access-Control-Allow-Origin: *\r\n"
        b"Access-Control-Allow-Methods: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
        b"Access-Control-Allow-Headers: %b\r\n"
        b"Access-Control-Max-Age: %d\r\n"
        b"Vary: Access-Control-Request-Headers\r\n\r\n"
    ) % (asked_headers or _ALLOWED_HEADERS, _PREFLIGHT_SECONDS)
