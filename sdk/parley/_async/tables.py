"""The way past the SDK: postgrest's builders, sent through the SDK's own requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import httpx
from pydantic import JsonValue

from parley import _wire
from parley._config import Config
from parley._errors import InvalidRequestError

from .rest import AsyncRest

if TYPE_CHECKING:
    from postgrest import AsyncPostgrestClient, AsyncRequestBuilder, AsyncRPCFilterRequestBuilder


class AsyncTables:
    """Builders for tables, views and functions of schema ``chat``."""

    def __init__(self, config: Config, rest: AsyncRest) -> None:
        self._config = config
        self._rest = rest
        self._client: AsyncPostgrestClient | None = None

    def table(self, name: str) -> AsyncRequestBuilder:
        """Raises InvalidRequestError when the name is empty."""
        return self._postgrest().from_(_named(name))

    def rpc(self, name: str, params: Mapping[str, JsonValue]) -> AsyncRPCFilterRequestBuilder:
        """Raises InvalidRequestError when the name is empty."""
        # Its annotation says that every argument is text; it writes any JSON.
        return self._postgrest().rpc(_named(name), cast("dict[str, str]", dict(params)))

    def _postgrest(self) -> AsyncPostgrestClient:
        if self._client is None:
            # Takes a fifth of a second to import, which those who do not need it need not wait.
            from postgrest import AsyncPostgrestClient

            self._client = AsyncPostgrestClient(
                self._config.rest_url,
                schema=_wire.SCHEMA,
                headers={},
                http_client=cast("httpx.AsyncClient", _Session(self._rest)),
                retry_enabled=False,
            )
        return self._client


class _Session:
    """What postgrest uses of an httpx client, so that its requests, too, are sent as ours are."""

    auth = None

    def __init__(self, rest: AsyncRest) -> None:
        self._rest = rest

    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | None,
        params: httpx.QueryParams,
        headers: httpx.Headers,
        auth: httpx.Auth | None,
    ) -> httpx.Response:
        return await self._rest.exchange(
            method, url, params=params, content=content, headers=dict(headers)
        )


def _named(name: str) -> str:
    if not name:
        raise InvalidRequestError("`name` is empty.")
    return name
