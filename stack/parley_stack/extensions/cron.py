"""Runs the jobs of ``cron.job``, where the server does not do so itself.

Times are UTC. A job runs as its user, in one transaction, and never twice at a time: a run that is
due while the one before still goes on is left out. What a run did is in ``cron.job_run_details``.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from cronsim import CronSim, CronSimError
from psycopg.rows import class_row

Conninfo = Callable[[str, str], str]
"""A libpq string for a user and a database."""

_TICK_SECONDS = 0.5
_INTERVAL = re.compile(r"(\d+) seconds?")
_NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Ours are written in SQL; the real extension's are in C, and it runs its jobs itself.
_IS_OURS = """select exists (
    select
    from pg_catalog.pg_proc as p
    join pg_catalog.pg_language as l on l.oid = p.prolang
    where p.pronamespace = to_regnamespace('cron') and p.proname = 'schedule'
        and l.lanname <> 'c'
)"""
_JOBS = """select jobid, schedule, command, database, username
from cron.job
where active
order by jobid"""
_BEGIN = """insert into cron.job_run_details (
    jobid, database, username, command, status, start_time
)
values (%s, %s, %s, %s, 'running', clock_timestamp())
returning runid"""
_END = """update cron.job_run_details
set status = %s, return_message = %s, job_pid = %s, end_time = clock_timestamp()
where runid = %s"""
_INTERRUPTED = """update cron.job_run_details
set status = 'failed', return_message = 'server restarted', end_time = clock_timestamp()
where status = 'running'"""


@dataclass(frozen=True)
class Job:
    """A row of ``cron.job``."""

    jobid: int
    schedule: str
    command: str
    database: str
    username: str


def interval_seconds(schedule: str) -> int | None:
    """The interval of ``30 seconds``; None for a schedule by the calendar."""
    match = _INTERVAL.fullmatch(schedule)
    return int(match[1]) if match else None


def is_due(schedule: str, minute: datetime) -> bool:
    """Whether a schedule by the calendar names this minute. A malformed one names none."""
    expression = _NAMES.get(schedule.lower(), schedule).replace("$", "L")
    try:
        return next(CronSim(expression, minute - timedelta(minutes=1))) == minute
    except (CronSimError, StopIteration):
        return False


@dataclass
class Scheduler:
    """Looks at the jobs twice a second."""

    conninfo: Conninfo
    superuser: str
    _last: dict[int, datetime] = field(default_factory=dict)
    _running: dict[int, asyncio.Task[None]] = field(default_factory=dict)

    async def run(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Until cancelled. Raises psycopg.Error when the database goes."""
        known_minute = _minute(datetime.now(UTC))
        is_clean = False
        try:
            while True:
                await asyncio.sleep(_TICK_SECONDS)
                if not await _is_ours(connection):
                    continue
                if not is_clean:
                    await connection.execute(_INTERRUPTED)
                    is_clean = True
                now = datetime.now(UTC)
                minute = _minute(now)
                for job in await _jobs(connection):
                    if self._is_due(job, now, minute if minute > known_minute else None):
                        self._start(job, now)
                known_minute = minute
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _is_due(self, job: Job, now: datetime, new_minute: datetime | None) -> bool:
        if job.jobid in self._running:
            return False
        seconds = interval_seconds(job.schedule)
        if seconds is None:
            return new_minute is not None and is_due(job.schedule, new_minute)
        last = self._last.setdefault(job.jobid, now)
        return now >= last + timedelta(seconds=seconds)

    def _start(self, job: Job, now: datetime) -> None:
        self._last[job.jobid] = now
        task = asyncio.create_task(self._execute(job))
        self._running[job.jobid] = task
        task.add_done_callback(lambda _: self._running.pop(job.jobid, None))

    async def _execute(self, job: Job) -> None:
        """One run, with its row of details."""
        with contextlib.suppress(psycopg.OperationalError):
            async with await psycopg.AsyncConnection.connect(
                self.conninfo(self.superuser, "postgres"), autocommit=True
            ) as details:
                values = (job.jobid, job.database, job.username, job.command)
                cursor = await details.execute(_BEGIN, values)
                row = await cursor.fetchone()
                outcome = await self._outcome(job)
                await details.execute(_END, (*outcome, row[0] if row else None))

    async def _outcome(self, job: Job) -> tuple[str, str, int | None]:
        """Status, message and process id."""
        pid = None
        try:
            async with await psycopg.AsyncConnection.connect(
                self.conninfo(job.username, job.database), autocommit=True
            ) as connection:
                pid = connection.info.backend_pid
                cursor = await connection.execute(job.command.encode())
                return "succeeded", cursor.statusmessage or "", pid
        except psycopg.Error as error:
            return "failed", f"ERROR:  {error.diag.message_primary or error}", pid


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


async def _is_ours(connection: psycopg.AsyncConnection[Any]) -> bool:
    row = await (await connection.execute(_IS_OURS)).fetchone()
    return bool(row and row[0])


async def _jobs(connection: psycopg.AsyncConnection[Any]) -> list[Job]:
    async with connection.cursor(row_factory=class_row(Job)) as cursor:
        await cursor.execute(_JOBS)
        return await cursor.fetchall()
