"""The sink as an ASGI application."""

from __future__ import annotations

import html
import re
from functools import partial
from typing import Any
from uuid import UUID

from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from . import store
from .store import Filter, Pool, StoredMail
from .text import plain_text

PAGE_SIZE = 50
MAX_PAGE_SIZE = 500
SENDER = {"Name": "Auth", "Address": "admin@email.com"}
_SNIPPET_CHARACTERS = 250
_TERM = re.compile(r'(to|addressed|subject):(?:"([^"]*)"|(\S+))')
# A mail may be anybody's HTML: it is shown without scripts and in a frame of its own.
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src *"}


def create_app(pool: Pool) -> ASGIApp:
    """``pool``: connections that may read and change ``parley_stack.mails``."""
    routes = (
        ("GET", "/", _index),
        ("GET", "/view/{mail_id}", _view),
        ("GET", "/api/v1/messages", _list),
        ("GET", "/api/v1/search", _search),
        ("DELETE", "/api/v1/messages", _delete),
        ("GET", "/api/v1/message/{mail_id}", _message),
    )
    return Starlette(
        routes=[
            Route(path, partial(endpoint, pool), methods=[method])
            for method, path, endpoint in routes
        ]
    )


async def _index(pool: Pool, _request: Request) -> Response:
    """The newest mails as a page."""
    rows = "".join(
        f"<tr><td>{mail.sent_at:%Y-%m-%d %H:%M:%S}<td>{html.escape(mail.recipient)}"
        f'<td><a href="/view/{mail.id}">{html.escape(mail.subject)}</a>'
        f"<td><code>{html.escape(mail.token)}</code>"
        for mail in await store.page(pool, Filter(), start=0, limit=MAX_PAGE_SIZE)
    )
    return HTMLResponse(
        "<!doctype html><title>Mail</title><style>body{font-family:sans-serif}"
        "td,th{padding:.2em 1em;text-align:left}</style><h1>Mail</h1>"
        f"<table><tr><th>Sent<th>To<th>Subject<th>Code{rows}</table>",
        headers=_HEADERS,
    )


async def _view(pool: Pool, request: Request) -> Response:
    """One mail as its reader sees it."""
    mail = await _found(pool, request)
    return HTMLResponse(mail.html, headers=_HEADERS)


async def _list(pool: Pool, request: Request) -> Response:
    return await _page(pool, request, Filter())


async def _search(pool: Pool, request: Request) -> Response:
    """``query``: ``to:<address>`` and ``subject:<text>``, the commonest of Mailpit's terms."""
    terms = {
        name: quoted or plain
        for name, quoted, plain in _TERM.findall(request.query_params.get("query", ""))
    }
    recipient = terms.get("to") or terms.get("addressed", "")
    return await _page(pool, request, Filter(recipient, terms.get("subject", "")))


async def _page(pool: Pool, request: Request, wanted: Filter) -> Response:
    start = _number(request, "start", 0)
    limit = min(_number(request, "limit", PAGE_SIZE), MAX_PAGE_SIZE)
    mails = await store.page(pool, wanted, start=start, limit=limit)
    total, unread = await store.counts(pool, Filter())
    matching, matching_unread = await store.counts(pool, wanted)
    return JSONResponse(
        {
            "total": total,
            "unread": unread,
            "count": len(mails),
            "messages_count": matching,
            "messages_unread": matching_unread,
            "start": start,
            "tags": [],
            "messages": [_summary(mail) for mail in mails],
        }
    )


async def _message(pool: Pool, request: Request) -> Response:
    """One message with its text; ``latest`` is the newest's id."""
    mail = await _found(pool, request)
    summary = _summary(mail)
    for name in ("Read", "Created", "Snippet"):
        del summary[name]
    return JSONResponse(
        {
            **summary,
            "ReturnPath": SENDER["Address"],
            "Date": _time(mail),
            "ListUnsubscribe": {"Header": "", "Links": [], "Errors": "", "HeaderPost": ""},
            "Text": plain_text(mail.html),
            "HTML": mail.html,
            "Inline": [],
            "Attachments": [],
            "Auth": {
                "type": mail.kind,
                "token": mail.token,
                "token_hash": mail.token_hash,
                "link": mail.link,
                "redirect_to": mail.redirect_to,
            },
        }
    )


async def _delete(pool: Pool, request: Request) -> Response:
    """Of the mails ``{"IDs": []}`` names, or of all."""
    body = await request.body()
    try:
        fields = from_json(body) if body else {}
        ids = fields.get("IDs") or []
        mail_ids = [UUID(mail_id) for mail_id in ids]
    except (ValueError, TypeError, AttributeError) as error:
        raise HTTPException(400, 'expected {"IDs": ["<id>", ...]}') from error
    await store.delete(pool, mail_ids)
    return Response("ok", media_type="text/plain")


async def _found(pool: Pool, request: Request) -> StoredMail:
    text = request.path_params["mail_id"]
    try:
        mail_id = await store.latest_id(pool) if text == "latest" else UUID(text)
    except ValueError:
        mail_id = None
    mail = await store.read(pool, mail_id) if mail_id else None
    if mail is None:
        raise HTTPException(404, "message not found")
    return mail


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else default


def _time(mail: StoredMail) -> str:
    """RFC 3339."""
    return mail.sent_at.isoformat()


def _summary(mail: StoredMail) -> dict[str, Any]:
    return {
        "ID": str(mail.id),
        "MessageID": f"{mail.id}@localhost",
        "Read": mail.is_read,
        "From": SENDER,
        "To": [{"Name": "", "Address": mail.recipient}],
        "Cc": [],
        "Bcc": [],
        "ReplyTo": [],
        "Subject": mail.subject,
        "Created": _time(mail),
        "Username": "",
        "Tags": [],
        "Size": len(mail.html.encode()),
        "Attachments": 0,
        "Snippet": plain_text(mail.html)[:_SNIPPET_CHARACTERS].replace("\n", " "),
    }
