"""For tests of programs that use Parley: a client without a server.

    server = FakeServer()
    server.answer("rpc/send_message", json={...})
    async with server.client() as parley:
        ...
    assert server.requests[0].json["body"] == "hello"

It answers what it was told to, and knows no rule of the database: for those, use the local stack
(``python -m parley_stack``), which is the real thing.
"""

from __future__ import annotations

import json as json_module
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx

from ._async.client import AsyncParley
from ._sync.client import Parley

__all__ = ["FakeRequest", "FakeServer", "message_row"]

URL = "https://parley.test"
_KEY = "the key of a test"


@dataclass(frozen=True)
class FakeRequest:
    """A request that came.

    path: Below the service's address: ``rpc/send_message``, ``inbox``.
    json: Its body, or None.
    """

    method: str
    path: str
    params: dict[str, str]
    json: Any
    headers: dict[str, str] = field(repr=False)


@dataclass
class _Answer:
    status: int
    json: Any
    error: Exception | None
    is_once: bool


class FakeServer:
    """Answers requests as told; unknown ones with 404.

    user_id: Who signs in, with any password.
    requests: Those that came, but for signing in.
    """

    def __init__(self, user_id: UUID | None = None) -> None:
        self.user_id = user_id or uuid4()
        self.requests: list[FakeRequest] = []
        self._answers: dict[str, list[_Answer]] = {}

    def answer(
        self,
        path: str,
        *,
        json: Any = None,
        status: int = 200,
        error: Exception | None = None,
        once: bool = False,
    ) -> None:
        """What to answer from now on, or the next time only.

        error: Raised instead, as by a broken connection: ``httpx.ConnectError("refused")``.
        """
        answers = self._answers.setdefault(path, [])
        if not once:
            answers[:] = [answer for answer in answers if answer.is_once]
        answers.append(_Answer(status, json, error, once))
        answers.sort(key=lambda answer: not answer.is_once)

    def refuse(self, path: str, *, code: str, status: int, once: bool = False) -> None:
        """Has a request refused with a code of docs/reference/errors.md."""
        body = {"code": f"PT{status}", "message": "Refused.", "details": code, "hint": None}
        self.answer(path, json=body, status=status, once=once)

    def client(self, **options: Any) -> AsyncParley:
        """A client of this server, not signed in. ``options``: AsyncParley's."""
        transport = httpx.MockTransport(self._answer)
        http_client = httpx.AsyncClient(transport=transport)
        return AsyncParley(URL, _KEY, http_client=http_client, **options)

    def sync_client(self, **options: Any) -> Parley:
        """As ``client``."""
        transport = httpx.MockTransport(self._answer)
        return Parley(URL, _KEY, http_client=httpx.Client(transport=transport), **options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        _, service, _, path = request.url.path.split("/", 3)
        if service == "auth":
            return httpx.Response(200, json=self._session())
        body = json_module.loads(request.content) if request.content else None
        params = dict(request.url.params)
        self.requests.append(FakeRequest(request.method, path, params, body, dict(request.headers)))
        answers = self._answers.get(path)
        if not answers:
            return httpx.Response(404, json={"message": f"Nothing to answer {path} with."})
        answer = answers.pop(0) if answers[0].is_once else answers[0]
        if answer.error is not None:
            raise answer.error
        return httpx.Response(answer.status, json=answer.json)

    def _session(self) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        claims = {"sub": str(self.user_id), "exp": int(time.time()) + 3600}
        payload = urlsafe_b64encode(json_module.dumps(claims).encode()).decode().rstrip("=")
        return {
            "access_token": f"e30.{payload}.x",
            "refresh_token": "a refresh token",
            "token_type": "bearer",
            "expires_in": 3600,
            "user": {
                "id": str(self.user_id),
                "aud": "authenticated",
                "email": "somebody@parley.test",
                "app_metadata": {},
                "user_metadata": {},
                "created_at": now,
            },
        }


def message_row(body: str = "hello", **columns: Any) -> dict[str, Any]:
    """A row of chat.messages, to answer with."""
    now = datetime.now(UTC).isoformat()
    return {
        "conversation_id": str(uuid4()),
        "id": str(uuid4()),
        "sender_id": str(uuid4()),
        "seq": 1,
        "rev": 1,
        "created_at": now,
        "kind": "text",
        "body": body,
        "metadata": {},
        **columns,
    }
