"""The connection to Realtime: up while anybody listens, however often it breaks.

The realtime package connects; staying connected is seen to here, because its own reconnection
gives up after five attempts and raises where nobody hears it. Each connection gets a new client
object, each join a new channel object: nothing of a broken one is used again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from parley import _retry
from parley._async.auth import AsyncAuth
from parley._config import Config
from parley._errors import AuthenticationError, InvalidRequestError, ParleyError

from .topic import Listener, Topic

if TYPE_CHECKING:
    from realtime import AsyncRealtimeClient

_logger = logging.getLogger("parley.live")
_REFRESH_RETRY_SECONDS = 5.0


class LiveSocket:
    """Topics with their listeners, on one connection."""

    def __init__(self, config: Config, auth: AsyncAuth) -> None:
        self._config = config
        self._auth = auth
        self._user = auth.user
        self._topics: dict[str, Topic] = {}
        self._leaving: dict[str, Topic] = {}
        self._client: AsyncRealtimeClient | None = None
        self._is_up = asyncio.Event()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Future[None]] = set()
        auth.on_change(self._session_changed)

    def listen(
        self, topic: str, conversation_id: str, listener: Listener, *, awaits_changes: bool = False
    ) -> None:
        """Has ``listener`` hear what is said about a conversation on a topic; see Join."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="parley.live")
        if topic not in self._topics:
            self._topics[topic] = Topic(
                self, topic, awaits_changes=awaits_changes, after=self._leaving.get(topic)
            )
        self._topics[topic].add(conversation_id, listener)
        self._wake.set()

    def unlisten(self, topic: str, conversation_id: str, listener: Listener) -> None:
        """Undoes ``listen``. The topic is left with its last listener, in the background."""
        found = self._topics.get(topic)
        if found is None or found.remove(conversation_id, listener):
            return
        del self._topics[topic]
        self._leaving[topic] = found
        found.stop(lambda: self._left(topic, found))

    async def say(self, topic: str, event: str, payload: Mapping[str, object]) -> None:
        """Broadcasts to a topic that is listened to, if it is joined."""
        if topic in self._topics:
            await self._topics[topic].say(event, payload)

    async def aclose(self) -> None:
        """Ends all streams and closes the connection."""
        self._fail(InvalidRequestError("The client was closed.", hint="Make a new one."))
        topics = [*self._topics.values(), *self._leaving.values()]
        self._topics.clear()
        for topic in topics:
            topic.stop()
        await asyncio.gather(*(topic.ended() for topic in topics))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._disconnect()
        await asyncio.gather(*self._closing)

    async def connected(self) -> AsyncRealtimeClient:
        """The client, as soon as it is connected."""
        while self._client is None or not self.is_up(self._client):
            self._lost()
            await self._is_up.wait()
        return self._client

    def is_up(self, client: AsyncRealtimeClient) -> bool:
        """Whether this client is in use, and connected as far as is known."""
        return client is self._client and self._is_up.is_set() and client.is_connected

    def _lost(self) -> None:
        self._is_up.clear()
        self._wake.set()

    def _listening_ended(self, client: AsyncRealtimeClient, listening: asyncio.Task[None]) -> None:
        if not listening.cancelled() and (error := listening.exception()) is not None:
            _logger.info("listening to Realtime ended: %s", type(error).__name__)
        if client is self._client:
            self._lost()
            for topic in [*self._topics.values(), *self._leaving.values()]:
                topic.disconnected()

    def _left(self, name: str, topic: Topic) -> None:
        if self._leaving.get(name) is topic:
            del self._leaving[name]
        self._wake.set()

    def _session_changed(self) -> None:
        user = self._auth.user
        if (user and user.id) != (self._user and self._user.id):
            self._user = user
            self._fail(
                AuthenticationError(
                    "The user who was listening has signed out.", hint="Open the stream again."
                )
            )
        self._wake.set()

    def _fail(self, error: ParleyError) -> None:
        for topic in list(self._topics.values()):
            topic.fail(error)

    async def _run(self) -> None:
        """Connects whenever somebody listens, and keeps the token fresh."""
        while True:
            self._wake.clear()
            if not (self._topics or self._leaving):
                await self._disconnect()
            elif not self._is_up.is_set():
                await self._connect()
            await self._share_token()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._seconds_to_refresh()):
                    await self._wake.wait()

    async def _connect(self) -> None:
        from realtime import AsyncRealtimeClient

        for wait in _retry.delays(None):
            await self._disconnect()
            if not (self._topics or self._leaving):
                return
            client = AsyncRealtimeClient(
                self._config.realtime_url,
                token=self._config.key,
                auto_reconnect=False,
                timeout=max(1, round(self._config.timeout_seconds)),
            )
            try:
                client.access_token = await self._auth.token() or self._config.key
                await client.connect()
            except ParleyError as error:
                _logger.info("no token for Realtime: %s", error.message)
            except asyncio.CancelledError:
                await self._close(client)
                raise
            except Exception as error:  # noqa: BLE001 - whatever its libraries raise is tried again
                _logger.info("Realtime cannot be reached: %s", type(error).__name__)
                await self._close(client)
            else:
                _logger.debug("connected to Realtime")
                self._client = client
                self._is_up.set()
                self._watch(client)
                return
            await asyncio.sleep(wait)

    def _watch(self, client: AsyncRealtimeClient) -> None:
        # There is no other way to learn that it has ended: it may do so with an error, of which
        # neither the client nor its channels know.
        listening: asyncio.Task[None] | None = client._listen_task  # noqa: SLF001
        if listening is not None:
            listening.add_done_callback(lambda ended: self._listening_ended(client, ended))

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        self._is_up.clear()
        if client is not None:
            await self._close(client)

    async def _close(self, client: AsyncRealtimeClient) -> None:
        """Closes a connection, to the end even when whoever waits for it is cancelled."""
        closing = asyncio.ensure_future(_closed(client))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        await asyncio.shield(closing)

    async def _share_token(self) -> None:
        """Gives the connection the token, refreshed first if need be."""
        client = self._client
        if client is None or not self._is_up.is_set():
            return
        try:
            token = await self._auth.token() or self._config.key
        except ParleyError as error:
            _logger.info("the token was not refreshed: %s", error.message)
            return
        if token == client.access_token:
            return
        # What its set_auth does, for channels that come and go meanwhile.
        client.access_token = token
        for channel in list(client.channels.values()):
            if channel.is_joined:
                with contextlib.suppress(Exception):
                    await channel.push("access_token", {"access_token": token})

    def _seconds_to_refresh(self) -> float | None:
        due = self._auth.refresh_due_seconds
        if due is None or not self._topics:
            return None
        return due if due > 0 else _REFRESH_RETRY_SECONDS


async def _closed(client: AsyncRealtimeClient) -> None:
    with contextlib.suppress(Exception):
        await client.close()
