"""Broadcasts over HTTP, for senders without a socket.

Paths are those behind ``/realtime/v1``. Errors have the official server's shape, because its
clients read ``message``, ``error`` and ``errors``. Source: Supabase Realtime protocol, section 6.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from . import tokens
from .broadcasts import MAX_FIELD_BYTES, PREFIX, EventBroadcast, ObjectBroadcast
from .errors import DISABLED, AuthorizationError, MalformedFrameError, Problem
from .inbound import load_json
from .tokens import Caller, TokenRefusedError
from .wire import to_json

if TYPE_CHECKING:
    from .server import Realtime

_BLANK = "can't be blank"
_INVALID = "is invalid"
_TOO_LARGE = "Payload size exceeds tenant limit"
_RATE_LIMIT = {"message": "You have exceeded your rate limit"}
_UNSUPPORTED = {"error": "Unsupported Media Type. Use application/json or application/octet-stream"}
_SINGLE = re.compile(r"/api/broadcast/([^/]+)/events/([^/]+)/?$")
_MAX_BATCH_BYTES = 8_000_000
_CHECK_ERRORS = {
    Problem.QUERY_CANCELED: "Query canceled",
    Problem.MISSING_PARTITION: "Missing messages partition",
    Problem.POLICY: "RLS policy error",
}


def http_app(realtime: Realtime) -> ASGIApp:
    """The ASGI application."""
    endpoints = _Endpoints(realtime)
    routes = [
        Route("/api/broadcast", endpoints.batch, methods=["POST"]),
        Route("/api/broadcast/{rest:path}", endpoints.single, methods=["POST"]),
        Route("/api/ping", endpoints.ping),
        Route("/healthcheck", endpoints.health),
    ]
    cors = Middleware(
        CORSMiddleware,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "OPTIONS"],
        allow_headers=["*"],
    )
    return Starlette(routes=routes, middleware=[cors])


class _Endpoints:
    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime

    async def ping(self, _: Request) -> Response:
        return JSONResponse({"message": "Success"})

    async def health(self, _: Request) -> Response:
        return PlainTextResponse("ok")

    async def batch(self, request: Request) -> Response:
        """``{"messages": [{topic, event, payload, private?, id?}]}``: all valid, or none is sent.

        Private messages whose sender no policy allows are dropped in silence.
        """
        caller = self._caller(request)
        if isinstance(caller, Response):
            return caller
        data = await _read(request, _MAX_BATCH_BYTES)
        if data is None:
            return self._respond(413, {"message": "Payload Too Large"})
        try:
            body = load_json(data)
        except MalformedFrameError:
            return self._respond(400, {"message": "The body is not JSON"})
        messages = body.get("messages") if isinstance(body, dict) else None
        if not isinstance(messages, list) or not messages:
            return self._respond(422, {"errors": {"messages": [_BLANK]}})
        faults = [self._faults(message) for message in messages]
        if any(faults):
            return self._respond(422, {"errors": {"messages": faults}})
        if len(messages) > self._realtime.settings.max_events_per_second:
            text = "Too many messages to broadcast, please reduce the batch size"
            return self._respond(429, {"message": text})
        await self._send_batch(caller, messages)
        return self._respond(202)

    async def _send_batch(self, caller: Caller, messages: list[dict[str, Any]]) -> None:
        allowed: dict[str, bool] = {}
        for message in messages:
            topic = message["topic"]
            is_private = message.get("private") is True
            if is_private and topic not in allowed:
                try:
                    rights = await self._realtime.authorizer.write(caller, topic)
                    allowed[topic] = rights.broadcast
                except AuthorizationError as error:
                    self._realtime.report(error)
                    allowed[topic] = False
            if is_private and not allowed[topic]:
                continue
            payload = {
                "type": "broadcast",
                "event": message["event"],
                "payload": message["payload"],
            }
            if isinstance(message.get("id"), str):
                payload["meta"] = {"id": message["id"]}
            self._realtime.broadcast((is_private, topic), ObjectBroadcast(to_json(payload)))

    async def single(self, request: Request) -> Response:
        """One event, its payload being the body: JSON or bytes."""
        path = request.scope.get("raw_path") or request.url.path.encode()
        match = _SINGLE.search(path.decode("ascii", "replace"))
        if match is None:
            return self._respond(404, {"message": "Not Found"})
        caller = self._caller(request)
        if isinstance(caller, Response):
            return caller
        topic, event = (unquote(segment) for segment in match.groups())
        errors = _name_errors(topic, event)
        body = await _read(request, self._realtime.max_payload_bytes)
        if body is None:
            errors["payload"] = [_TOO_LARGE]
        if errors or body is None:
            return self._respond(422, {"errors": errors})
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":
            try:
                value = load_json(body)
            except MalformedFrameError:
                return self._respond(422, {"errors": {"payload": [_INVALID]}})
            data = body if isinstance(value, dict) else to_json({"_json": value})
            broadcast = EventBroadcast(event, data, is_json=True)
        elif kind == "application/octet-stream":
            broadcast = EventBroadcast(event, body, is_json=False)
        else:
            return self._respond(415, _UNSUPPORTED)
        is_private = request.query_params.get("private") == "true"
        if is_private and (refusal := await self._refuse_write(caller, topic)):
            return refusal
        if not self._realtime.broadcast((is_private, topic), broadcast):
            return self._respond(429, _RATE_LIMIT)
        return self._respond(202)

    async def _refuse_write(self, caller: Caller, topic: str) -> Response | None:
        try:
            rights = await self._realtime.authorizer.write(caller, topic)
        except AuthorizationError as error:
            self._realtime.report(error)
            message = _CHECK_ERRORS.get(error.problem)
            if message is None:
                return self._respond(500, {"message": error.problem.message})
            return self._respond(422, {"message": message})
        return None if rights.broadcast else self._respond(403, {"message": "Unauthorized"})

    def _caller(self, request: Request) -> Caller | Response:
        """Who sends: the bearer token, else the API key; or the answer to who may not."""
        if not self._realtime.settings.enabled:
            return self._respond(403, {"message": DISABLED})
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            token = request.headers.get("apikey", "")
        keys = self._realtime.keys
        try:
            claims = tokens.verify(keys, tokens.token_of_api_key(keys, token.strip()))
        except TokenRefusedError:
            return self._respond(401, {"message": "Unauthorized"})
        if self._realtime.events.is_exceeded():
            return self._respond(429, {"message": "Too many requests"})
        return Caller(claims, dict(request.headers))

    def _faults(self, message: object) -> dict[str, list[str]]:
        """What is wrong with one message of a batch, by field."""
        if not isinstance(message, dict):
            return {"payload": [_BLANK], "event": [_BLANK], "topic": [_BLANK]}
        faults = _name_errors(message.get("topic"), message.get("event"))
        payload = message.get("payload")
        if payload is None:
            faults["payload"] = [_BLANK]
        elif not isinstance(payload, dict):
            faults["payload"] = [_INVALID]
        elif len(to_json(payload)) > self._realtime.max_payload_bytes:
            faults["payload"] = [_TOO_LARGE]
        return faults

    def _respond(self, status: int, content: object = None) -> Response:
        """A response with the rate headers every answer carries."""
        events = self._realtime.events
        average = events.average()
        headers = {
            "x-rate-rolling": f"{average:.2f}",
            "x-rate-limit": str(events.limit),
            "x-rate-limit-remaining": str(max(0, int(events.limit - average))),
        }
        if content is None:
            return Response(status_code=status, headers=headers)
        return JSONResponse(content, status, headers)


async def _read(request: Request, limit: int) -> bytes | None:
    """The request's body; None if it has more than ``limit`` bytes, which are not kept."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
    return b"".join(chunks) if size <= limit else None


def _name_errors(topic: object, event: object) -> dict[str, list[str]]:
    """Faults of a topic (without prefix) and an event."""
    errors: dict[str, list[str]] = {}
    for field, value, longest in (
        ("topic", topic, MAX_FIELD_BYTES - len(PREFIX)),
        ("event", event, MAX_FIELD_BYTES),
    ):
        if value is None or value == "":
            errors[field] = [_BLANK]
        elif not isinstance(value, str):
            errors[field] = [_INVALID]
        elif len(value.encode(errors="replace")) > longest:
            errors[field] = [f"should be at most {longest} byte(s)"]
    return errors
