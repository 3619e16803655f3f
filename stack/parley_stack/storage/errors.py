"""Errors as clients of the Supabase Storage API read them.

``{"statusCode": "404", "error": "not_found", "message": "Object not found", "code": "NoSuchKey"}``,
all of them text. The HTTP status is 400 for nearly all: clients look into the body.
"""

from __future__ import annotations

import logging

import psycopg
from psycopg import errors as pg
from psycopg_pool import PoolTimeout
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

log = logging.getLogger(__name__)

_RULE_TAIL = "new row violates row-level security policy"


class StorageError(Exception):
    """An answer other than success; the text is safe to show.

    ``status`` is the body's, ``http_status`` the response's. Without ``error`` it is the code.
    """

    def __init__(
        self, status: int, code: str, message: str, *, error: str = "", http_status: int = 400
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.error = error or code
        self.http_status = http_status

    def respond(self) -> Response:
        """The response that says so."""
        body = {
            "statusCode": str(self.status),
            "error": self.error,
            "message": self.message,
            "code": self.code,
        }
        return JSONResponse(body, self.http_status)


def no_such_bucket() -> StorageError:
    return StorageError(404, "NoSuchBucket", "Bucket not found", error="Bucket not found")


def no_such_key() -> StorageError:
    return StorageError(404, "NoSuchKey", "Object not found", error="not_found")


def no_file() -> StorageError:
    """The row is there, its file is not."""
    return StorageError(404, "NoSuchKey", "The resource was not found", error="Not found")


def no_upload() -> StorageError:
    """A resumable upload that never was, ended, or is somebody else's."""
    return StorageError(404, "NoSuchUpload", "The upload was not found", http_status=404)


def already_exists(code: str = "KeyAlreadyExists") -> StorageError:
    return StorageError(409, code, "The resource already exists", error="Duplicate")


def access_denied(message: str) -> StorageError:
    return StorageError(403, "AccessDenied", message, error="Unauthorized")


def invalid_mime_type(name: str) -> StorageError:
    message = f"mime type {name} is not supported"
    return StorageError(415, "InvalidMimeType", message, error="invalid_mime_type")


def too_large(message: str = "The object exceeded the maximum allowed size") -> StorageError:
    return StorageError(413, "EntityTooLarge", message, error="Payload too large")


def invalid_key(name: str) -> StorageError:
    return StorageError(400, "InvalidKey", f"Invalid key: {name}")


def invalid_bucket_name() -> StorageError:
    return StorageError(400, "InvalidBucketName", "Bucket name invalid", error="Invalid Input")


def not_empty() -> StorageError:
    return StorageError(409, "ResourceNotEmpty", "The bucket you tried to delete is not empty")


def invalid_jwt(message: str) -> StorageError:
    return StorageError(400, "InvalidJWT", message)


def invalid_signature(message: str = "Invalid signature") -> StorageError:
    return StorageError(400, "InvalidSignature", message)


def invalid_request(message: str) -> StorageError:
    return StorageError(400, "InvalidRequest", message)


def invalid_body(message: str) -> StorageError:
    """A body or query that does not have the documented fields."""
    return StorageError(400, "InvalidRequest", message, error="Error")


def invalid_range() -> StorageError:
    message = "invalid range provided"
    return StorageError(416, "InvalidRange", message, error="invalid_range", http_status=416)


def not_offered(what: str) -> StorageError:
    message = f"{what} is not offered by the local stack"
    return StorageError(404, "FeatureNotEnabled", message, http_status=404)


def of_database(error: psycopg.Error) -> StorageError:
    """What a failed statement tells the caller."""
    diag = error.diag
    message = diag.message_primary or "the database refused"
    state = error.sqlstate or ""
    if isinstance(error, pg.InsufficientPrivilege):
        return access_denied(_RULE_TAIL if message.startswith(_RULE_TAIL) else message)
    if isinstance(error, pg.UniqueViolation):
        return already_exists("ResourceAlreadyExists")
    if isinstance(error, pg.ForeignKeyViolation):
        return StorageError(404, "InvalidRequest", "The related resource does not exist")
    if isinstance(error, pg.QueryCanceled):
        timeout = "The connection to the database timed out"
        return StorageError(544, "DatabaseTimeout", timeout, http_status=544)
    if isinstance(error, PoolTimeout) or state.startswith("53"):
        busy = "Too many connections issued to the database"
        return StorageError(429, "SlowDown", busy, http_status=429)
    if state.startswith("22") or (not state and isinstance(error, psycopg.DataError)):
        # A value the database cannot take, such as a number out of range.
        return invalid_request(message)
    return StorageError(500, "DatabaseError", message, http_status=500)


async def on_storage_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, StorageError)
    return error.respond()


async def on_database_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, psycopg.Error)
    answer = of_database(error)
    if answer.http_status >= 500:
        # Never the detail: it can hold a whole row.
        log.error("%s %s: %s %s", request.method, _place(request), error.sqlstate, answer.message)
    return answer.respond()


async def on_routing_error(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    assert isinstance(error, HTTPException)
    message = f"Route {request.method}:{request.url.path} not found"
    return StorageError(404, "NotFound", message, error="Not Found", http_status=404).respond()


async def on_disconnect(_request: Request, _error: Exception) -> Response:
    """Nobody reads it: the client is gone."""
    return Response(status_code=400)


async def on_unhandled(_request: Request, _error: Exception) -> Response:
    message = "Internal Server Error"
    return StorageError(500, "InternalError", message, http_status=500).respond()


def _place(request: Request) -> str:
    """The route's pattern; names of files are people's own."""
    return getattr(request.scope.get("route"), "path", "?")


HANDLERS = {
    StorageError: on_storage_error,
    psycopg.Error: on_database_error,
    HTTPException: on_routing_error,
    ClientDisconnect: on_disconnect,
    Exception: on_unhandled,
}
