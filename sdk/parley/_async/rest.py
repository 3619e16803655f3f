"""Requests to PostgREST: the user's token added, errors mapped, repeated when that is safe."""

from __future__ import annotations

import json
import platform
from collections.abc import Awaitable, Callable, Mapping

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
from parley._version import __version__

CLIENT_INFO = f"parley-py/{__version__}; python={platform.python_version()}"
_POOL_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20)


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
                timeout=self._timeout_seconds, limits=_POOL_LIMITS, follow_redirects=True
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

        Repeated for ``retry_seconds`` (default: the configuration's) on connection errors and on
        502, 503 and 504, if that is safe.
        """
        budget = self._config.retry_seconds if retry_seconds is None else retry_seconds
        waits = _retry.delays(budget if request.is_repeatable else 0)
        while True:
            try:
                response = await self.exchange(
                    request.method,
                    f"{self._config.rest_url}/{request.path}",
                    params=httpx.QueryParams(request.params),
                    content=_encoded(request.body),
                    headers=self._headers,
                )
            except ParleyError as error:
                wait = next(waits, None) if _is_passing(error) else None
                if wait is None:
                    raise
                await async_sleep(wait)
            else:
                return response.content

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
        try:
            return await self._http.client.request(
                method,
                url,
                params=params,
                content=content,
                headers={**headers, **credentials},
                timeout=self._config.timeout_seconds,
            )
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


def _is_passing(error: ParleyError) -> bool:
    return isinstance(error, ConnectionFailedError) or _retry.is_retried_status(error.status or 0)
