"""What the parts of one client share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from parley._config import Config
from parley._errors import InvalidRequestError

from .auth import AsyncAuth
from .rest import AsyncHttp, AsyncRest
from .storage import AsyncStorage

# Not in the synchronous client: it listens.
if TYPE_CHECKING:
    from parley._live.socket import LiveSocket


class Services:
    """What the parts of one client share."""

    def __init__(self, config: Config, http_client: httpx.AsyncClient | None) -> None:
        self.config = config
        self.http = AsyncHttp(config, http_client)
        self.auth = AsyncAuth(config, self.http)
        self.rest = AsyncRest(config, self.http, self.auth.token, self.auth.renew)
        self.storage = AsyncStorage(config, self.http, self.auth.token)
        # Not in the synchronous client: it listens.
        self._socket: LiveSocket | None = None
        self._is_closed = False

    # Not in the synchronous client: it listens.
    def socket(self) -> LiveSocket:
        """The connection to Realtime, made on first use. Raises InvalidRequestError if closed."""
        if self._is_closed:
            raise InvalidRequestError("This client is closed.", hint="Make a new one.")
        if self._socket is None:
            from parley._live.socket import LiveSocket

            self._socket = LiveSocket(self.config, self.auth)
        return self._socket

    async def aclose(self) -> None:
        """Ends streams and closes connections."""
        self._is_closed = True
        # Not in the synchronous client: it listens.
        if self._socket is not None:
            await self._socket.aclose()
        await self.auth.aclose()
        await self.http.aclose()
