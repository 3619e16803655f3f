"""The Storage server as an ASGI application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from . import buckets, changes, downloads, errors, listing, resumable, signing, uploads
from .server import Server

Endpoint = Callable[[Server, Request], Awaitable[Response]]

_READ = ("GET", "HEAD")


async def status(_server: Server, _request: Request) -> Response:
    return Response(status_code=200)


async def version(_server: Server, _request: Request) -> Response:
    return PlainTextResponse("parley")


async def not_offered(_server: Server, request: Request) -> Response:
    raise errors.not_offered(request.url.path)


# The first that fits is taken.
ROUTES: tuple[tuple[tuple[str, ...], str, Endpoint], ...] = (
    (_READ, "/status", status),
    (_READ, "/version", version),
    (("GET",), "/bucket", buckets.list_all),
    (("POST",), "/bucket", buckets.create),
    (("GET",), "/bucket/{bucket}", buckets.get),
    (("PUT",), "/bucket/{bucket}", buckets.update),
    (("DELETE",), "/bucket/{bucket}", buckets.delete),
    (("POST",), "/bucket/{bucket}/empty", buckets.empty),
    (("GET", "PUT", "POST", "DELETE"), "/bucket/{bucket}/lifecycle", not_offered),
    (("POST",), "/object/list/{bucket}", listing.list_v1),
    (("POST",), "/object/list-v2/{bucket}", listing.list_v2),
    (("POST",), "/object/move", changes.move),
    (("POST",), "/object/copy", changes.copy),
    (("POST",), "/object/sign/{bucket}", signing.sign_many),
    (("POST",), "/object/sign/{bucket}/{name:path}", signing.sign_one),
    (_READ, "/object/sign/{bucket}/{name:path}", downloads.get_signed),
    (("POST",), "/object/upload/sign/{bucket}/{name:path}", uploads.sign),
    (("PUT",), "/object/upload/sign/{bucket}/{name:path}", uploads.put_signed),
    (_READ, "/object/info/public/{bucket}/{name:path}", downloads.info_public),
    (_READ, "/object/info/authenticated/{bucket}/{name:path}", downloads.info),
    (_READ, "/object/info/{bucket}/{name:path}", downloads.info),
    (_READ, "/object/public/{bucket}/{name:path}", downloads.get_public),
    (_READ, "/object/authenticated/{bucket}/{name:path}", downloads.get),
    (("DELETE",), "/object/{bucket}", changes.remove_many),
    (_READ, "/object/{bucket}/{name:path}", downloads.get),
    (("POST",), "/object/{bucket}/{name:path}", uploads.post),
    (("PUT",), "/object/{bucket}/{name:path}", uploads.put),
    (("DELETE",), "/object/{bucket}/{name:path}", changes.remove_one),
    # The original: images are not transformed here.
    (_READ, "/render/image/public/{bucket}/{name:path}", downloads.get_public),
    (_READ, "/render/image/authenticated/{bucket}/{name:path}", downloads.get),
    (_READ, "/render/image/sign/{bucket}/{name:path}", downloads.get_signed),
    (("OPTIONS",), "/upload/resumable", resumable.options),
    (("OPTIONS",), "/upload/resumable/{id}", resumable.options),
    (("POST",), "/upload/resumable", resumable.create),
    (("HEAD",), "/upload/resumable/{id}", resumable.head),
    (("PATCH",), "/upload/resumable/{id}", resumable.patch),
    (("DELETE",), "/upload/resumable/{id}", resumable.delete),
)


def create_app(server: Server) -> ASGIApp:
    """The application for paths without the gateway's ``/storage/v1``."""
    app = Starlette(
        routes=[_route(server, *route) for route in ROUTES],
        exception_handlers=errors.HANDLERS,
    )
    app.router.redirect_slashes = False

    async def without_line_ends(scope: Scope, receive: Receive, send: Send) -> None:
        # Patterns of routes stop at them: "a.txt\n" must not be taken for "a.txt".
        if "\n" in scope["path"]:
            await errors.invalid_key(scope["path"]).respond()(scope, receive, send)
        else:
            await app(scope, receive, send)

    return without_line_ends


def _route(server: Server, methods: tuple[str, ...], path: str, endpoint: Endpoint) -> Route:
    route = Route(path, partial(endpoint, server), methods=list(methods))
    # Starlette adds HEAD to GET, where the official server does not have it.
    route.methods = set(methods)
    return route
