"""Requests to PostgREST: the user's token added, errors mapped, repeated when that is safe."""

from __future__ import annotations

import json
import logging
import platform
import ssl
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import httpx

from parley import _retry, _wire
from parley._compat import async_sleep
from parley._config import Config
from parley._errors import (
    ConnectionFailedError,
    InvalidRequestError,
    ParleyError,
    RequestTimeoutError,
)
from parley._models import Model
from parley._version import __version__

from .page import AsyncPage

CLIENT_INFO = f"parley-py/{__version__}; python={platform.python_version()}"
_logger = logging.getLogger("parley.rest")
_POOL_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)

ModelT = TypeVar("ModelT", bound=Model)
T = TypeVar("T")


@cache
def _trust() -> ssl.SSLContext:
    """Whom to trust: one for all clients of the process, for reading it takes 50 ms."""
    return httpx.create_ssl_context()


class AsyncHttp:
    """The HTTP client shared by everything: the caller's, or one made on first use."""

    def __init__(self, config: Config, client: httpx.AsyncClient | None) -> None:
        self._timeout_seconds = config.timeout_seconds
        self._client = client
        self._is_ours = client is None
        self._is_closed = False

    @property
    def client(self) -> httpx.AsyncClient:
        """Raises InvalidRequestError after ``aclose``."""
        if self._is_closed:
            raise InvalidRequestError("This client is closed.", hint="Make a new one.")
        if self._client is None:
            self._client = httpx.AsyncClient(
                verify=_trust(),
                timeout=self._timeout_seconds,
                limits=_POOL_LIMITS,
                follow_redirects=True,
            )
        return self._client

    async def aclose(self) -> None:
        """Closes the client, unless it is the caller's."""
        self._is_closed = True
        if self._is_ours and self._client is not None:
            await self._client.aclose()


class AsyncRest:
    """PostgREST, as the signed-in user. Raises nothing but ParleyError."""

    def __init__(
        self,
        config: Config,
        http: AsyncHttp,
        token: Callable[[], Awaitable[str | None]],
        renew: Callable[[str], Awaitable[bool]],
    ) -> None:
        """``token`` gives the user's access token; ``renew`` replaces one that was refused."""
        self._config = config
        self._http = http
        self._token = token
        self._renew = renew
        self._headers = {
            "Accept": "application/json",
            "Accept-Profile": _wire.SCHEMA,
            "apikey": config.key,
            "Content-Profile": _wire.SCHEMA,
            "Content-Type": "application/json",
            "X-Client-Info": CLIENT_INFO,
        }

    async def send(self, request: _wire.Request, *, retry_seconds: float | None = None) -> bytes:
        """The body of the response to a request.

        Repeated for ``retry_seconds`` (default: the configuration's) while the server cannot be
        reached or is not ready, if that is safe.
        """
        budget = self._config.retry_seconds if retry_seconds is None else retry_seconds
        waits = _retry.delays(budget if request.is_repeatable else 0)
        headers = self._headers
        if request.prefer is not None:
            headers = {**headers, "Prefer": request.prefer}
        content = _encoded(request.body)
        has_failed = False
        while True:
            try:
                response = await self.exchange(
                    request.method,
                    f"{self._config.rest_url}/{request.path}",
                    params=httpx.QueryParams(request.params),
                    content=content,
                    headers=headers,
                )
            except ParleyError as error:
                if has_failed and error.code is not None and error.code == request.done_code:
                    return b""
                wait = next(waits, None) if _retry.is_passing(error) else None
                if wait is None:
                    raise
                has_failed = True
                _logger.debug("%s is tried again in %.1f s: %s", request.path, wait, error.message)
                await async_sleep(wait)
            else:
                return response.content

    async def one(self, model: type[ModelT], request: _wire.Request) -> ModelT:
        """The row that a function returns."""
        return _wire.parse_model(model, await self.send(request))

    async def rows(self, model: type[ModelT], request: _wire.Request) -> tuple[ModelT, ...]:
        """The rows of a table, view or function."""
        return _wire.parse_rows(model, await self.send(request))

    async def value(self, kind: type[T], request: _wire.Request) -> T:
        """What a function returns, of any type."""
        return _wire.parse_value(kind, await self.send(request))

    async def page(
        self,
        model: type[ModelT],
        keyset: _wire.Keyset,
        *filters: _wire.Filter,
        limit: int,
        cursor: str | None,
        select: str = "*",
    ) -> AsyncPage[ModelT]:
        """A page of the rows of the model's table or view."""
        request = _wire.read_page(model.relation, keyset, limit, cursor, *filters, select=select)
        items, last = _wire.cut_page(await self.rows(model, request), limit)

        async def following(cursor: str) -> AsyncPage[ModelT]:
            return await self.page(
                model, keyset, *filters, limit=limit, cursor=cursor, select=select
            )

        return AsyncPage(items, None if last is None else keyset.cursor(last), following)

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        params: httpx.QueryParams,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """One request and its response, which has a status below 400.

        Asks a second time with a new token when the first has expired early.
        """
        token = await self._token()
        response = await self._request(method, url, token, params, content, headers)
        if response.status_code == 401 and token and await self._renew(token):
            token = await self._token()
            response = await self._request(method, url, token, params, content, headers)
        if not response.is_success:
            raise _wire.error_of_response(response.status_code, response.content)
        return response

    async def _request(
        self,
        method: str,
        url: str,
        token: str | None,
        params: httpx.QueryParams,
        content: bytes | None,
        headers: Mapping[str, str],
    ) -> httpx.Response:
        credentials = {
            "apikey": self._config.key,
            "Authorization": f"Bearer {token or self._config.key}",
        }
        with transport_errors():
            return await self._http.client.request(
                method,
                url,
                params=params,
                content=content,
                headers={**headers, **credentials},
                timeout=self._config.timeout_seconds,
            )


@contextmanager
def transport_errors() -> Iterator[None]:
    """Has nothing of httpx escape."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise RequestTimeoutError(hint="Try again, or give more time.") from error
    except httpx.TransportError as error:
        raise ConnectionFailedError(
            hint="Check the URL, the network and that the server runs."
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InvalidRequestError("The request cannot be sent.") from error


def _encoded(body: Mapping[str, object] | None) -> bytes | None:
    if body is None:
        return None
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidRequestError(
            "An argument cannot be written as JSON.", hint="Look at `metadata`."
        ) from error
