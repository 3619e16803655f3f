"""The Realtime server: sockets, topics, the stream from the database, and upkeep.

It runs inside the gateway's process and event loop. The database may go away and come back:
sockets stay, joins of private channels meanwhile get a reason, and the stream reconnects.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from starlette.types import ASGIApp

from parley_stack.keys import Keys

from .authorization import Authorizer
from .broadcasts import Broadcast, EventBroadcast
from .changes.feed import PostgresChanges
from .channel import Channel
from .errors import AuthorizationError, Problem
from .http import http_app
from .messages_feed import PUBLICATION, MessagesFeed
from .presence import Presences
from .rates import RateMeter
from .replay import Replays
from .replication import ReplicationStream
from .settings import RealtimeSettings
from .socket import RealtimeSocket
from .topics import TopicKey, Topics

_log = logging.getLogger(__name__)

_KILOBYTE = 1024
_PAYLOAD_SLACK_BYTES = 500
_UPKEEP_SECONDS = 600.0
_UPKEEP_RETRY_SECONDS = 5.0
_SWEEPS_PER_TIMEOUT = 6
_STOP_SECONDS = 1.0


class Realtime:
    """One per stack. ``conninfo``: libpq string of a superuser, over a unix socket.

    Everything happens on the event loop that calls ``start``.
    """

    def __init__(self, settings: RealtimeSettings, keys: Keys, conninfo: str) -> None:
        self.settings = settings
        self.keys = keys
        self.topics = Topics()
        self.presences = Presences()
        self.replays = Replays()
        self.changes = PostgresChanges(conninfo, settings.max_events_per_second)
        self.sockets: set[RealtimeSocket] = set()
        self.joins = RateMeter(settings.max_joins_per_second)
        self.events = RateMeter(settings.max_events_per_second)
        self.presence_events = RateMeter(settings.max_presence_events_per_second)
        self.max_payload_bytes = settings.max_payload_size_in_kb * _KILOBYTE + _PAYLOAD_SLACK_BYTES
        self.http_app: ASGIApp = http_app(self)
        self.authorizer: Authorizer
        feed = MessagesFeed(self._broadcast_row, self.max_payload_bytes)
        self.stream = ReplicationStream(conninfo, PUBLICATION, feed.begin, feed.receive)
        self._conninfo = conninfo
        self._tasks: list[asyncio.Task[None]] = []
        self._upkeep_due = asyncio.Event()
        self._empty = asyncio.Event()

    async def start(self) -> None:
        """Start the stream and the upkeep. Neither waits nor fails if the database is down."""
        if not self.settings.enabled:
            return
        size = self.settings.database_pool_size
        self.authorizer = Authorizer(self._conninfo, size, self.stream.live.is_set)
        await self.authorizer.open()
        await self.changes.start()
        self._tasks = [
            asyncio.create_task(self.stream.run(), name="realtime-stream"),
            asyncio.create_task(self._keep_partitions(), name="realtime-partitions"),
            asyncio.create_task(self._sweep(), name="realtime-sweep"),
        ]

    async def stop(self) -> None:
        """Tell every channel, close every socket (1012), and let the database go."""
        if not self._tasks:
            return
        for socket in list(self.sockets):
            socket.disconnect()
        if self.sockets:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), _STOP_SECONDS)
        for socket in list(self.sockets):
            socket.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self.changes.stop()
        await self.authorizer.close()

    async def ready(self) -> bool:
        """Whether broadcasts committed from now on will be streamed; true if disabled."""
        return self.stream.live.is_set() or not self.settings.enabled

    def new_socket(self) -> RealtimeSocket:
        """A protocol for a connection that asks for the WebSocket."""
        self._empty.clear()
        return RealtimeSocket(self)

    def forget(self, socket: RealtimeSocket) -> None:
        """A connection is gone."""
        self.sockets.discard(socket)
        if not self.sockets:
            self._empty.set()

    def broadcast(self, key: TopicKey, broadcast: Broadcast, sender: Channel | None = None) -> bool:
        """Deliver to a topic; False if there are too many events: its channels are then ended."""
        self.events.add()
        if self.events.is_exceeded():
            for channel in self.topics.listeners(key):
                channel.expel_for_rate()
            return False
        self.topics.deliver(key, broadcast, () if sender is None else (sender,))
        return True

    def report(self, error: AuthorizationError) -> None:
        """Log a check that failed, and mend what can be mended."""
        _log.warning("a private channel could not be checked: %s", error)
        if error.problem is Problem.MISSING_PARTITION:
            self._upkeep_due.set()

    def _broadcast_row(self, is_private: bool, topic: str, broadcast: EventBroadcast) -> None:
        self.events.add()
        if self.events.is_exceeded():
            _log.warning("a broadcast from the database was dropped: too many events")
            return
        key = (is_private, topic)
        self.topics.deliver(key, broadcast, self.replays.streamed(key, broadcast))

    async def _keep_partitions(self) -> None:
        """Keep the daily partitions of realtime.messages around today."""
        while True:
            self._upkeep_due.clear()
            pause = _UPKEEP_SECONDS
            try:
                await self.authorizer.maintain_partitions()
            except AuthorizationError as error:
                _log.warning("partitions of realtime.messages were not kept: %s", error)
                pause = _UPKEEP_RETRY_SECONDS
            try:
                await asyncio.wait_for(self._upkeep_due.wait(), pause)
            except TimeoutError:
                continue

    async def _sweep(self) -> None:
        """Close sockets that are silent, or that joined nothing."""
        loop = asyncio.get_running_loop()
        settings = self.settings
        while True:
            await asyncio.sleep(settings.idle_timeout_seconds / _SWEEPS_PER_TIMEOUT)
            now = loop.time()
            for socket in list(self.sockets):
                if now - socket.last_seen > settings.idle_timeout_seconds:
                    socket.close(1000, "no message for too long")
                elif (
                    not socket.channels
                    and now - socket.last_joined > settings.unjoined_timeout_seconds
                ):
                    socket.close(1000, "no channel for too long")
