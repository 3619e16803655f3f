"""Supabase Storage, as the signed-in user."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field

from parley import _retry, _wire
from parley._compat import async_read, async_sleep
from parley._config import Config
from parley._errors import ConflictError, ParleyError
from parley._files import PIECE_BYTES, Progress, ReadyFile

from .rest import CLIENT_INFO, AsyncHttp, transport_errors

BUCKET = "chat-attachments"

OnProgress = Callable[[Progress], None]


class _Signed(BaseModel):
    path: str = Field(validation_alias="signedURL")


class AsyncStorage:
    """The bucket of attachments. Raises nothing but ParleyError."""

    def __init__(
        self, config: Config, http: AsyncHttp, token: Callable[[], Awaitable[str | None]]
    ) -> None:
        self._config = config
        self._http = http
        self._token = token

    async def upload(self, path: str, file: ReadyFile, on_progress: OnProgress | None) -> None:
        """Stores a file under a path of its own. Tried again like any request."""
        waits = _retry.delays(self._config.retry_seconds)
        has_failed = False
        while True:
            try:
                await self._upload_once(path, file, on_progress)
            except ConflictError:
                # Nobody else knows the path: an attempt whose answer was lost has stored it.
                if not has_failed:
                    raise
                return
            except ParleyError as error:
                wait = next(waits, None) if _retry.is_passing(error) else None
                if wait is None:
                    raise
                has_failed = True
                await async_sleep(wait)
            else:
                return

    async def remove(self, path: str) -> None:
        """Removes what has not been sent."""
        await self._exchange("DELETE", self._url(path))

    async def sign(self, path: str, expires_in_seconds: int, download: str | None) -> str:
        """An address by which anybody can read the file for a while."""
        url = f"{self._config.storage_url}/object/sign/{BUCKET}/{quote(path)}"
        response = await self._exchange("POST", url, json={"expiresIn": expires_in_seconds})
        signed = f"{self._config.storage_url}{_wire.parse_model(_Signed, response.content).path}"
        return signed if download is None else f"{signed}&download={quote(download)}"

    async def pieces(
        self, path: str, name: str, on_progress: OnProgress | None
    ) -> AsyncIterator[bytes]:
        """The content of a file, as it comes."""
        async for piece in self._stream(self._url(path), await self._headers(), name, on_progress):
            yield piece

    async def signed_pieces(
        self, url: str, name: str, on_progress: OnProgress | None
    ) -> AsyncIterator[bytes]:
        """The content at a signed address, which needs no token."""
        async for piece in self._stream(url, {}, name, on_progress):
            yield piece

    async def _stream(
        self, url: str, headers: dict[str, str], name: str, on_progress: OnProgress | None
    ) -> AsyncIterator[bytes]:
        timeout = self._config.timeout_seconds
        with transport_errors():
            async with self._http.client.stream(
                "GET", url, headers=headers, timeout=timeout
            ) as response:
                if not response.is_success:
                    content = await response.aread()
                    raise _wire.error_of_storage(response.status_code, content)
                length = response.headers.get("content-length")
                total, done = (int(length) if length else None), 0
                async for piece in response.aiter_bytes(PIECE_BYTES):
                    done += len(piece)
                    if on_progress is not None:
                        on_progress(Progress(name, done, total))
                    yield piece

    async def _upload_once(
        self, path: str, file: ReadyFile, on_progress: OnProgress | None
    ) -> None:
        headers = {
            **await self._headers(),
            "Content-Type": file.mime_type,
            "Content-Length": str(file.size_bytes),
        }
        with transport_errors():
            response = await self._http.client.post(
                self._url(path),
                content=_pieces_of(file, on_progress),
                headers=headers,
                timeout=self._config.timeout_seconds,
            )
        if not response.is_success:
            raise _wire.error_of_storage(response.status_code, response.content)

    async def _exchange(
        self, method: str, url: str, json: dict[str, int] | None = None
    ) -> httpx.Response:
        headers = await self._headers()
        timeout = self._config.timeout_seconds
        with transport_errors():
            response = await self._http.client.request(
                method, url, json=json, headers=headers, timeout=timeout
            )
        if not response.is_success:
            raise _wire.error_of_storage(response.status_code, response.content)
        return response

    async def _headers(self) -> dict[str, str]:
        return {
            "apikey": self._config.key,
            "Authorization": f"Bearer {await self._token() or self._config.key}",
            "X-Client-Info": CLIENT_INFO,
        }

    def _url(self, path: str) -> str:
        return f"{self._config.storage_url}/object/{BUCKET}/{quote(path)}"


async def _pieces_of(file: ReadyFile, on_progress: OnProgress | None) -> AsyncIterator[bytes]:
    done = 0
    with file.open() as source:
        while piece := await async_read(source, PIECE_BYTES):
            yield piece
            done += len(piece)
            if on_progress is not None:
                on_progress(Progress(file.name, done, file.size_bytes))
