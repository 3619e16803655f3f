"""``/functions/v1/<slug>`` as an ASGI application."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import httpx
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from parley_stack.config import Config
from parley_stack.keys import Keys, TokenError

from .project import EdgeFunction, find, newest_change
from .worker import BootError, Worker, find_deno

log = logging.getLogger(__name__)

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
REQUEST_SECONDS = 150.0
"""How long a function may take to begin its answer, as hosted."""

_BEARER = re.compile(r"bearer (\S+)", re.IGNORECASE)
# Of one connection, not of the message (RFC 9110, 7.6.1).
_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"}
)

_NOT_REACHED = {"X-Relay-Error": "true"}
"""Tells clients that the function was not asked: they raise FunctionsRelayError."""


@dataclass
class Functions:
    """The functions of a project. ``env``: what each finds besides its own."""

    config: Config
    keys: Keys
    env: dict[str, str] = field(repr=False)
    _workers: dict[str, Worker] = field(default_factory=dict)
    _clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    @property
    def app(self) -> ASGIApp:
        """Paths are without the gateway's ``/functions/v1``."""
        return Starlette(
            routes=[
                Route("/_internal/health", _health),
                Route("/{slug}", self._serve, methods=METHODS),
                Route("/{slug}/{path:path}", self._serve, methods=METHODS),
            ]
        )

    async def stop(self) -> None:
        """Ends the functions' processes."""
        await asyncio.gather(*(client.aclose() for client in self._clients.values()))
        await asyncio.gather(*(worker.stop() for worker in self._workers.values()))

    async def _serve(self, request: Request) -> Response:
        slug = request.path_params["slug"]
        function = find(self.config, slug) if self.config.edge_runtime.enabled else None
        if function is None:
            return PlainTextResponse("Function not found", 404, headers=_NOT_REACHED)
        if function.verify_jwt and request.method != "OPTIONS":
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
        try:
            client = await self._client(function)
        except BootError:
            message = "Worker failed to boot (please check logs)"
            return JSONResponse(
                {"code": "BOOT_ERROR", "message": message}, 503, headers=_NOT_REACHED
            )
        except FileNotFoundError:
            message = "Deno is not installed: pip install deno"
            return JSONResponse(
                {"code": "BOOT_ERROR", "message": message}, 503, headers=_NOT_REACHED
            )
        return await _forward(request, client)

    def _refusal(self, request: Request) -> Response | None:
        """401 unless the bearer token verifies."""
        header = request.headers.get("authorization", "")
        if not header:
            return JSONResponse(
                {"msg": "Error: Missing authorization header"}, 401, headers=_NOT_REACHED
            )
        match = _BEARER.fullmatch(header)
        if match is None:
            return JSONResponse(
                {"msg": "Error: Auth header is not 'Bearer {token}'"}, 401, headers=_NOT_REACHED
            )
        try:
            self.keys.verify(match[1])
        except TokenError:
            return JSONResponse({"msg": "Invalid JWT"}, 401, headers=_NOT_REACHED)
        return None

    async def _client(self, function: EdgeFunction) -> httpx.AsyncClient:
        """A client of the function's process, which is of the files as they are now."""
        slug = function.slug
        async with self._locks.setdefault(slug, asyncio.Lock()):
            as_of = await asyncio.to_thread(newest_change, self.config)
            worker = self._workers.get(slug)
            if worker and worker.is_alive and (worker.as_of, worker.function) == (as_of, function):
                return self._clients[slug]
            if worker is not None:
                await self._end(slug)
            deno = find_deno()
            if deno is None:
                raise FileNotFoundError("deno")
            worker = self._workers[slug] = await Worker.start(
                deno,
                function,
                {**function.env, **self.env},
                as_of=as_of,
                cache=self.config.workdir / ".parley" / "deno",
            )
            self._clients[slug] = httpx.AsyncClient(
                base_url=f"http://127.0.0.1:{worker.port}", timeout=REQUEST_SECONDS, trust_env=False
            )
            return self._clients[slug]

    async def _end(self, slug: str) -> None:
        worker, client = self._workers.pop(slug), self._clients.pop(slug)
        await client.aclose()
        await worker.stop()


async def _health(_request: Request) -> Response:
    return JSONResponse({"message": "ok"})


async def _forward(request: Request, client: httpx.AsyncClient) -> Response:
    """The function's answer, passed on as it comes; its path begins with the slug."""
    headers = [(name, value) for name, value in request.headers.items() if name.lower() not in _HOP]
    has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
    sent = client.build_request(
        request.method, url, headers=headers, content=request.stream() if has_body else None
    )
    try:
        answer = await client.send(sent, stream=True)
    except httpx.TimeoutException:
        message = "The function did not answer in time"
        return JSONResponse({"code": "WORKER_LIMIT", "message": message}, 546)
    except httpx.HTTPError as error:
        log.warning("a function broke off: %s", type(error).__name__)
        message = "The function ended without an answer; see its log"
        return JSONResponse({"code": "WORKER_ERROR", "message": message}, 500)
    passed_on = StreamingResponse(
        _body(answer), answer.status_code, background=BackgroundTask(answer.aclose)
    )
    passed_on.raw_headers = [
        (name, value)
        for name, value in answer.headers.raw
        if name.decode("latin-1").lower() not in _HOP
    ]
    return passed_on


async def _body(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    finally:
        await answer.aclose()
