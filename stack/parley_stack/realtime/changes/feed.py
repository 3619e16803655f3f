"""postgres_changes as a whole: the stream, the subscriptions, and who is told.

There is a stream from the first subscription until ten minutes after the last. Changes are judged
one after the other, in commit order. What was committed while there was no stream is not told;
subscribers hear that they are subscribed again.
Source: Supabase Realtime protocol, section 8.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Sequence
from typing import Any

import psycopg

from parley_stack.keys import Claims
from parley_stack.realtime.rates import RateMeter
from parley_stack.realtime.replication import ReplicationStream

from .bindings import Binding
from .judge import OPTIONS, PUBLICATION, Judge, SubscribeError, UnavailableError
from .messages import render
from .stream import Change, ChangeQueue
from .subscriptions import Listener, Subscriptions

_log = logging.getLogger(__name__)

_LIVE_SECONDS = 10.0
_UPKEEP_SECONDS = 2.0
_UNUSED_SECONDS = 600.0
_TRIES = 3


class PostgresChanges:
    """One per server. ``conninfo`` is a superuser's."""

    def __init__(self, conninfo: str, max_events_per_second: int) -> None:
        self._judge = Judge(conninfo)
        self._subscriptions = Subscriptions()
        self._queue = ChangeQueue(self._subscriptions.is_wanted)
        options = psycopg.conninfo.make_conninfo(conninfo, options=OPTIONS)
        self._stream = ReplicationStream(options, PUBLICATION, self._begin, self._queue.receive)
        self._events = RateMeter(max_events_per_second)
        self._lock = asyncio.Lock()
        """Subscriptions are made and forgotten one at a time."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._streaming: asyncio.Task[None] | None = None
        self._published: tuple[int, ...] = ()
        self._is_current = False
        """Whether realtime.subscription holds these subscriptions and no others."""
        self._has_streamed = self._has_missed = False
        self._used_at = 0.0

    async def start(self) -> None:
        """Start the upkeep; neither waits nor fails if the database is down."""
        await self._judge.open()
        self.spawn(self._keep())
        self.spawn(self._work())

    async def stop(self) -> None:
        """Let the database go."""
        tasks = {*self._tasks, *([self._streaming] if self._streaming else [])}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._judge.close()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do ``work`` until it ends or the server stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("postgres_changes crashed", exc_info=error)

    async def subscribe(
        self, listener: Listener, bindings: Sequence[tuple[int, Binding]], claims: Claims
    ) -> None:
        """Tell ``listener`` of changes from now on, instead of what it subscribed to before.

        Raises SubscribeError and UnavailableError; then it is told nothing.
        """
        try:
            async with self._lock:
                requests = self._subscriptions.missing([item for _, item in bindings], claims)
                if requests or not self._is_current:
                    await self._follow()
                    made = await self._judge.subscribe(requests)
                    for request in requests:
                        self._subscriptions.add(request, made[request.id])
                self._subscriptions.join(listener, bindings, claims)
            await self._be_live()
        except (SubscribeError, UnavailableError):
            self._subscriptions.leave(listener)
            raise
        finally:
            self.spawn(self._tidy())

    def unsubscribe(self, listener: Listener) -> None:
        """Tell ``listener`` nothing more."""
        self._subscriptions.leave(listener)
        if self._streaming is not None:
            self.spawn(self._tidy())

    # The stream

    async def _be_live(self) -> None:
        """Wait until changes committed from now on will be told. Raises UnavailableError."""
        if self._streaming is None:
            self._has_streamed = False
            self._streaming = asyncio.create_task(self._stream.run(), name="realtime-changes")
        try:
            await asyncio.wait_for(self._stream.live.wait(), _LIVE_SECONDS)
        except TimeoutError:
            raise UnavailableError("The replication stream is not there yet") from None

    def _begin(self) -> None:
        """A stream begins. If it is not the first, something may have been missed."""
        self._queue.begin()
        if self._has_streamed:
            self._is_current, self._has_missed = False, True
            self.spawn(self._mend())
        self._has_streamed = True

    async def _work(self) -> None:
        while True:
            change = await self._queue.next()
            self._events.add()
            if self._events.is_exceeded():
                continue
            try:
                await self._tell(change)
            except (psycopg.Error, UnavailableError, ValueError) as error:
                _log.warning("a change of %s was not told: %s", change.relation.name, error)

    async def _tell(self, change: Change) -> None:
        for left in reversed(range(_TRIES)):
            try:
                judgement = await self._judge.judge(change)
                break
            except UnavailableError:
                if not left:
                    raise
        else:
            return
        # By channel and by what is shown: the bindings it is for.
        told: dict[Listener, dict[bytes, set[int]]] = {}
        shown: dict[object, bytes] = {}
        for verdict in judgement.verdicts:
            for subscription in verdict.subscriptions:
                shared = self._subscriptions.of(subscription)
                if shared is None:
                    continue
                select = shared.request.binding.select
                key = (verdict.role, verdict.error, select)
                if key not in shown:
                    shown[key] = render(change, judgement, verdict, select)
                for listener, ids in shared.members.items():
                    told.setdefault(listener, {}).setdefault(shown[key], set()).update(ids)
        frames: dict[object, bytes] = {}
        for listener, messages in told.items():
            for data, ids in messages.items():
                listener.tell(tuple(sorted(ids)), data, frames)

    # Upkeep

    async def _keep(self) -> None:
        """Follow the publication, and end a stream that nobody has used for long."""
        while True:
            await self._mend()
            await asyncio.sleep(_UPKEEP_SECONDS)
            if self._subscriptions:
                self._used_at = time.monotonic()
            elif self._streaming and time.monotonic() - self._used_at > _UNUSED_SECONDS:
                self._streaming.cancel()
                self._streaming = None

    async def _mend(self) -> None:
        """Make all subscriptions anew if the tables or the stream are others than before."""
        try:
            async with self._lock:
                if self._subscriptions or not self._is_current:
                    await self._follow()
        except UnavailableError as error:
            _log.debug("subscriptions to changes were not renewed: %s", error)

    async def _follow(self) -> None:
        """As ``_mend``, and whom it concerns is told. Raises UnavailableError."""
        published = await self._judge.published()
        if self._is_current and published == self._published:
            return
        made = await self._judge.renew(self._subscriptions.requests())
        self._published = published
        missed, self._has_missed = self._has_missed, False
        self._is_current = True
        told: dict[Listener, str | None] = {}
        for subscription, entities in made.items():
            problem = str(entities) if isinstance(entities, SubscribeError) else None
            tables = entities if isinstance(entities, frozenset) else frozenset()
            if self._subscriptions.moved(subscription, tables) or missed:
                for listener in self._subscriptions.listeners([subscription]):
                    told[listener] = told.get(listener) or problem
        for listener, problem in told.items():
            listener.resubscribed(problem)

    async def _tidy(self) -> None:
        """Forget subscriptions that nobody has any more."""
        try:
            async with self._lock:
                if unused := self._subscriptions.take_unused():
                    await self._judge.unsubscribe(unused)
        except UnavailableError:
            self._is_current = False
