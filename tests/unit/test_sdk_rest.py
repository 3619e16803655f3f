"""How requests are sent: credentials, attempts, errors. No network: httpx's mock transport."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from parley import (
    AsyncParley,
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    NotFoundError,
    RequestTimeoutError,
    ServerError,
    new_id,
)
from parley._async import rest
from parley._config import Config

MESSAGE_ID = new_id()
ROOM = {
    "id": str(new_id()),
    "tenant_id": str(new_id()),
    "kind": "direct",
    "title": None,
    "created_by": None,
    "created_at": "2026-11-21T00:00:00+00:00",
    "epoch": 1,
}
MESSAGE = {
    "conversation_id": ROOM["id"],
    "id": str(MESSAGE_ID),
    "sender_id": None,
    "seq": 1,
    "rev": 2,
    "created_at": "2026-11-21T00:00:00+00:00",
    "kind": "text",
    "body": "hi",
}
Answer = httpx.Response | Exception


class Server:
    """Answers requests in turn, the last answer for ever, and remembers them."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answers: list[Answer | Callable[[], Answer]] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return httpx.Response(answer.status_code, content=answer.content)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def parley(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncParley]:
    async def at_once(seconds: float) -> None:
        assert seconds > 0

    monkeypatch.setattr(rest, "async_sleep", at_once)
    async with httpx.AsyncClient(transport=httpx.MockTransport(server)) as http_client:
        async with AsyncParley("https://example.com", "the key", http_client=http_client) as made:
            yield made
        assert not http_client.is_closed


async def test_every_request_names_the_schema_and_carries_the_key(
    parley: AsyncParley, server: Server
) -> None:
    server.answers = [httpx.Response(200, json=ROOM)]
    await parley.conversations.start_direct("bob")
    (request,) = server.requests
    assert str(request.url) == "https://example.com/rest/v1/rpc/start_direct"
    assert request.headers["Content-Profile"] == "chat"
    assert request.headers["apikey"] == "the key"
    assert request.headers["Authorization"] == "Bearer the key"


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("refused"),
        httpx.RemoteProtocolError("cut"),
        httpx.ReadTimeout("slow"),
        httpx.Response(502, text="<html>"),
        httpx.Response(503, json={"code": "PGRST001", "message": "No connection."}),
        httpx.Response(504),
        httpx.Response(500, text="upstream"),
        httpx.Response(500, json={"code": "57P01", "message": "Shut down."}),
    ],
)
async def test_a_send_is_repeated_with_the_same_id(
    parley: AsyncParley, server: Server, failure: Answer
) -> None:
    server.answers = [httpx.Response(200, json=ROOM)]
    room = await parley.conversations.start_direct("bob")
    server.requests.clear()
    server.answers = [failure, failure, httpx.Response(200, json=MESSAGE)]
    message = await room.send("hi")
    assert message.seq == 1
    bodies = [request.content for request in server.requests]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert json.loads(bodies[0])["id"]


@pytest.mark.parametrize("status", [400, 401, 404, 409, 429, 500])
async def test_a_refusal_is_not_repeated(parley: AsyncParley, server: Server, status: int) -> None:
    server.answers = [httpx.Response(status, json={"code": "XX000", "message": "No."})]
    with pytest.raises(Exception, match=r"No\."):
        await parley.conversations.start_group("Tea")
    assert len(server.requests) == 1


async def test_attempts_end_with_the_last_error(server: Server) -> None:
    client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    server.answers = [httpx.ConnectError("refused by 10.0.0.1")]
    async with (
        client,
        AsyncParley("https://example.com", "key", retry_seconds=0, http_client=client) as parley,
    ):
        with pytest.raises(ConnectionFailedError) as raised:
            await parley.inbox.list()
        assert "10.0.0.1" not in str(raised.value)
        assert isinstance(raised.value.__cause__, httpx.ConnectError)
        server.answers = [httpx.ReadTimeout("slow")]
        with pytest.raises(RequestTimeoutError):
            await parley.inbox.list()
    assert len(server.requests) == 2


async def test_an_unreadable_answer_is_a_server_error(parley: AsyncParley, server: Server) -> None:
    server.answers = [httpx.Response(200, text="<html>Welcome</html>")]
    with pytest.raises(ServerError):
        await parley.inbox.list()
    with pytest.raises(ServerError):
        await parley.conversations.get(MESSAGE_ID)


async def test_empty_arguments_fail_before_the_network(parley: AsyncParley, server: Server) -> None:
    conversations = parley.conversations
    server.answers = [httpx.Response(200, json=ROOM)]
    room = await conversations.start_direct("bob")
    server.requests.clear()
    calls: list[Callable[[], object]] = [
        lambda: conversations.get(""),
        lambda: conversations.start_direct(""),
        lambda: conversations.start_group(""),
        lambda: conversations.start_group("Tea", users=[""]),
        lambda: room.send(""),
        lambda: room.send("hi", id=""),
        lambda: room.send("hi", metadata={"x": float("nan")}),
        lambda: room.history(limit=0),
        lambda: parley.auth.sign_in_with_password("", "x"),
        lambda: parley.auth.sign_up("alice@example.com", ""),
    ]
    for call in calls:
        with pytest.raises(InvalidRequestError):
            await call()  # type: ignore[misc]
    with pytest.raises(InvalidRequestError):
        parley.table("")
    assert server.requests == []


async def test_the_escape_hatch_fails_as_the_rest_does(parley: AsyncParley, server: Server) -> None:
    server.answers = [httpx.Response(200, json=[{"id": 1}])]
    rows = await parley.table("inbox").select("*").limit(1).execute()
    assert rows.data == [{"id": 1}]
    (request,) = server.requests
    assert request.headers["Accept-Profile"] == "chat"
    assert request.headers["Authorization"] == "Bearer the key"
    server.answers = [httpx.Response(404, json={"message": "No.", "details": "user_not_found"})]
    with pytest.raises(NotFoundError) as raised:
        await parley.rpc("start_direct", {"username": "x"}).execute()
    assert raised.value.code == "user_not_found"
    server.answers = [httpx.ConnectError("refused")]
    with pytest.raises(ConnectionFailedError):
        await parley.table("inbox").select("*").execute()


async def test_a_closed_client_says_so(server: Server) -> None:
    parley = AsyncParley("https://example.com", "key")
    await parley.aclose()
    with pytest.raises(InvalidRequestError, match="closed"):
        await parley.inbox.list()


async def test_clients_share_whom_they_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    real = httpx.create_ssl_context

    def create() -> ssl.SSLContext:
        read.append(1)
        return real()

    rest._trust.cache_clear()
    monkeypatch.setattr(httpx, "create_ssl_context", create)
    for _ in range(3):
        http = rest.AsyncHttp(Config("https://example.com", "key"), None)
        assert not http.client.is_closed
        await http.aclose()
    assert len(read) == 1


async def test_nobody_signed_in_cannot_listen(parley: AsyncParley, server: Server) -> None:
    server.answers = [httpx.Response(200, json=ROOM)]
    room = await parley.conversations.start_direct("bob")
    with pytest.raises(AuthenticationError) as raised:
        await anext(room.events())
    assert raised.value.code == "sign_in_required"


async def test_pages_follow_their_cursors(parley: AsyncParley, server: Server) -> None:
    server.answers = [httpx.Response(200, json=ROOM)]
    room = await parley.conversations.start_direct("bob")
    server.requests.clear()

    def rows(*seqs: int) -> httpx.Response:
        return httpx.Response(200, json=[{**MESSAGE, "seq": seq} for seq in seqs])

    server.answers = [rows(5, 4, 3), rows(3, 2, 1), rows(1)]
    page = await room.history(limit=2)
    assert page.next_cursor == "4"
    assert [message.seq async for message in page] == [5, 4, 3, 2, 1]
    assert [request.url.params.get("seq") for request in server.requests] == [
        None,
        "lt.4",
        "lt.2",
    ]
