"""Every exception the SDK raises.

    ParleyError
    ├── ConfigurationError       url or key is missing or malformed
    ├── InvalidRequestError      an argument was refused, here or by the database (400, 422)
    ├── AuthenticationError      nobody is signed in, or credentials or session are no good (401)
    ├── PermissionDeniedError    signed in, and not allowed (403)
    ├── NotFoundError            no such thing among those the caller may see (404)
    ├── ConflictError            somebody was first: an id or a name is taken (409)
    ├── RateLimitedError         too many requests (429)
    ├── ServerError              the server failed, or answered what nobody can read (5xx)
    └── ConnectionFailedError    no answer at all
        └── RequestTimeoutError  no answer in time

A subclass exists only where a caller would act differently. What a caller may rely on is the class
and ``code``; ``message`` is for people and changes.
"""

from __future__ import annotations


class ParleyError(Exception):
    """Something went wrong in Parley.

    message: One sentence for people, without data.
    status: HTTP status, or None when there was no answer.
    code: The documented code (``conversation_not_found``), the name of the violated constraint
        (``messages_body_check``), or the Auth server's code (``invalid_credentials``); None when
        there is none.
    hint: What to do about it.
    sqlstate: Five characters from PostgreSQL, or a ``PGRST...`` code, or None.
    """

    _hint = "Look at the message and its code."

    def __init__(
        self,
        message: str | None = None,
        *,
        status: int | None = None,
        code: str | None = None,
        hint: str | None = None,
        sqlstate: str | None = None,
    ) -> None:
        self.message = message or (type(self).__doc__ or "").partition("\n")[0]
        self.status = status
        self.code = code
        self.hint = hint or self._hint
        self.sqlstate = sqlstate
        super().__init__(self.message)

    def __str__(self) -> str:
        parts = [self.message]
        if self.code:
            parts.append(f"({self.code})")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)


class ConfigurationError(ParleyError):
    """The client is not configured."""

    _hint = "Give `url` and `key`."


class InvalidRequestError(ParleyError):
    """The request was refused as it is."""

    _hint = "Change an argument; trying again as it is does not help."


class AuthenticationError(ParleyError):
    """Only a signed-in user can do this."""

    _hint = "Sign in."


class PermissionDeniedError(ParleyError):
    """The signed-in user may not do this."""

    _hint = "Ask somebody who may."


class NotFoundError(ParleyError):
    """There is no such thing among yours."""

    _hint = "Check the id."


class ConflictError(ParleyError):
    """Somebody was first."""

    _hint = "Read what is there, or choose another."


class RateLimitedError(ParleyError):
    """Too many requests."""

    _hint = "Wait a while."


class ServerError(ParleyError):
    """The server failed."""

    _hint = "Try again later; the server's log says more."


class ConnectionFailedError(ParleyError):
    """The server cannot be reached."""

    _hint = "Check the URL, the network and that the server runs."


class RequestTimeoutError(ConnectionFailedError):
    """The server did not answer in time."""

    _hint = "Try again, or give more time."


_BY_STATUS: dict[int, type[ParleyError]] = {
    400: InvalidRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    422: InvalidRequestError,
    429: RateLimitedError,
}


def class_for_status(status: int) -> type[ParleyError]:
    """The class of an answer with this HTTP status (400 and up)."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else InvalidRequestError
