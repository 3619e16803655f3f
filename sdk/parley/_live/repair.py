"""When a conversation is read to find what was not heard."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from parley import _retry
from parley._errors import AuthenticationError, ParleyError, PermissionDeniedError

from .sequence import RevSequence
from .snapshot import Snapshot

_logger = logging.getLogger("parley.live")

# A change may be heard on two topics, and overtake another by a little.
_REORDER_SECONDS = 0.05
# What a snapshot knows may still be on its way through Realtime, and says more when heard. When
# later changes have been heard, or nothing could be, it hardly is.
_PATIENT_SECONDS = 2.0
_GRACE_SECONDS = 0.2
# A change that Realtime did not take, and that no other follows, is found by asking now and then.
_LIVE_CHECK_SECONDS = 60.0
_DEAF_CHECK_SECONDS = 5.0
_MARKED_EVENTS = 500


class Repair:
    """Reads in the background when asked to, when there is a hole, and now and then."""

    def __init__(self, read: Callable[[str | None], Awaitable[Snapshot | None]]) -> None:
        """``read`` takes a snapshot of all since a cursor, or None when that is nothing; without a
        cursor, of where the conversation stands.
        """
        self.is_asked = False
        self._has_missed = False
        self._read = read
        self._reading: asyncio.Task[Snapshot | None] | None = None
        self._is_marking = False
        self._found: Snapshot | None = None
        self._found_at = 0.0
        self._since = 0
        self._marked_at = 0
        self._hole_at: float | None = None
        self._read_at = time.monotonic()
        self._not_before = 0.0
        self._waits = _retry.delays(None)

    def ask(self, *, has_missed: bool = False) -> None:
        """Has a snapshot read on the next step; ``has_missed``: for a while nothing was heard."""
        self.is_asked = True
        self._has_missed = self._has_missed or has_missed

    def step(
        self, sequence: RevSequence, wake: asyncio.Event, *, is_live: bool
    ) -> tuple[Snapshot | None, float]:
        """Does what is due: begins a reading, takes its result, applies it to the sequence.

        Returns the snapshot that has just arrived, if any, and the seconds until the next step.
        Sets ``wake`` when there is a step to take earlier. Raises ParleyError when the
        conversation can no longer be read.
        """
        now = time.monotonic()
        snapshot = None
        if self._reading is not None and self._reading.done():
            reading, self._reading = self._reading, None
            snapshot = self._result(reading, now)
            if snapshot is not None and self._is_marking:
                sequence.mark(snapshot, since=self._since)
            elif snapshot is not None:
                sequence.note(snapshot.rev)
                self._found, self._found_at = snapshot, now
        if self._found is not None:
            # Of what was missed for long there is more to read than will still be heard.
            is_long = self._found.has_more or self._found.is_reset
            is_overtaken = sequence.is_overtaken and not self._has_missed and not is_long
            wait = self._found_at + self._patience_seconds(sequence) - now
            if sequence.has_hole and wait > 0 and not is_long:
                return snapshot, wait
            sequence.apply(self._found, since=self._since, only_overtaken=is_overtaken)
            self._found = None
            self._has_missed = self._has_missed and not is_live
            wake.set()
        if self._reading is not None:
            return snapshot, _DEAF_CHECK_SECONDS
        due = self._due(sequence, now, is_live=is_live)
        if now >= due:
            self.is_asked = False
            self._read_at = now
            self._is_marking = not (sequence.has_hole or self._has_missed)
            self._since = sequence.rev
            cursor = None if self._is_marking else sequence.cursor
            self._reading = asyncio.ensure_future(self._read(cursor))
            self._reading.add_done_callback(lambda _: wake.set())
        return snapshot, max(due - now, _REORDER_SECONDS)

    async def aclose(self) -> None:
        """Ends the reading under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None

    def _due(self, sequence: RevSequence, now: float, *, is_live: bool) -> float:
        due = self._read_at + (_LIVE_CHECK_SECONDS if is_live else _DEAF_CHECK_SECONDS)
        if sequence.rev - self._marked_at >= _MARKED_EVENTS:
            # The older the cursor, the more is read twice when there is a hole.
            self._marked_at, due = sequence.rev, now
        if not sequence.has_hole:
            self._hole_at = None
        elif sequence.must_read:
            due = now
        else:
            self._hole_at = self._hole_at or now
            due = min(due, self._hole_at + _REORDER_SECONDS)
        return max(now if self.is_asked else due, self._not_before)

    def _patience_seconds(self, sequence: RevSequence) -> float:
        if sequence.must_read:
            return 0.0
        is_urgent = sequence.is_overtaken or self._has_missed
        return _GRACE_SECONDS if is_urgent else _PATIENT_SECONDS

    def _result(self, reading: asyncio.Future[Snapshot | None], now: float) -> Snapshot | None:
        try:
            snapshot = reading.result()
        except ParleyError as error:
            if _is_final(error):
                raise
            _logger.info("the conversation was not read: %s", error.message)
            self.is_asked = True
            self._not_before = now + next(self._waits)
            return None
        self._waits = _retry.delays(None)
        if snapshot is None:
            self._not_before = now + _GRACE_SECONDS
        return snapshot


def _is_final(error: ParleyError) -> bool:
    return error.code == "conversation_not_found" or isinstance(
        error, AuthenticationError | PermissionDeniedError
    )
