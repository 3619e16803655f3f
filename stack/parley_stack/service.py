"""One supervised child process: started, watched, restarted with back-off, ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .account import Account, end_with_parent
from .errors import StackError
from .redaction import Redactor

_LOG_LIMIT_BYTES = 10 * 1024 * 1024
_READY_POLL_SECONDS = 0.02
_BACKOFF_SECONDS = (0.1, 5.0)
_STABLE_SECONDS = 10.0
_TAIL_LINES = 15


class ServiceLog:
    """A service's log file: redacted lines, started anew (one old copy kept) past 10 MB."""

    def __init__(self, path: Path, redact: Redactor) -> None:
        self._path = path
        self._redact = redact
        self._file = path.open("a", encoding="utf-8")
        self.tail: list[str] = []

    def write(self, line: str) -> None:
        """Appends one line."""
        line = self._redact(line)
        self.tail = [*self.tail[1 - _TAIL_LINES :], line]
        self._file.write(line + "\n")
        self._file.flush()
        if self._file.tell() > _LOG_LIMIT_BYTES:
            self._file.close()
            self._path.replace(self._path.with_suffix(".log.1"))
            self._file = self._path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


@dataclass
class Service:
    """A program the stack keeps running.

    ``is_ready`` is called in a thread. ``before_start`` runs before each start, in a thread too.
    """

    name: str
    argv: Sequence[str]
    log: ServiceLog
    is_ready: Callable[[], bool]
    ready_seconds: float = 30.0
    env: Mapping[str, str] | None = None
    account: Account = field(default_factory=Account.current)
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 4.0
    before_start: Callable[[], None] = lambda: None
    restarts: int = 0
    _process: asyncio.subprocess.Process | None = None
    _reader: asyncio.Task[None] | None = None
    _keeper: asyncio.Task[None] | None = None
    _started_at: float = 0.0

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Starts the program, without waiting until it is ready."""
        await asyncio.to_thread(self.before_start)
        self._process = await asyncio.create_subprocess_exec(
            *self.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self.env,
            cwd="/",
            start_new_session=True,
            preexec_fn=end_with_parent(self.stop_signal),
            limit=1024 * 1024,
            **self.account.identity(),
        )
        self._started_at = time.monotonic()
        self._reader = asyncio.create_task(self._read_output(self._process))

    async def _read_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line longer than the limit
                self.log.write("[a line of over 1 MB was left out]")
                continue
            if not line:
                return
            self.log.write(line.decode("utf-8", "replace").rstrip("\n"))

    async def wait_ready(self) -> None:
        """Returns when the service answers. Raises StackError with its last lines when not."""
        deadline = time.monotonic() + self.ready_seconds
        while not await asyncio.to_thread(self.is_ready):
            if self.pid is None:
                raise StackError(f"{self.name} ended while starting:\n{self._last_lines()}")
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.name} was not ready within {self.ready_seconds:g} s:\n"
                    f"{self._last_lines()}"
                )
            await asyncio.sleep(_READY_POLL_SECONDS)

    def _last_lines(self) -> str:
        return "\n".join(f"  {line}" for line in self.log.tail) or "  (it printed nothing)"

    def keep(self) -> None:
        """From now on starts the program again whenever it ends."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        shortest, longest = _BACKOFF_SECONDS
        pause = shortest
        while True:
            if self._process is not None:
                await self._process.wait()
                self.log.write(f"[{self.name} ended with code {self._process.returncode}]")
            if time.monotonic() - self._started_at > _STABLE_SECONDS:
                pause = shortest
            await asyncio.sleep(pause)
            pause = min(pause * 2, longest)
            self.restarts += 1
            try:
                await self.start()
            except (OSError, StackError) as error:
                self.log.write(f"[{self.name} could not be started: {error}]")
                self._process = None

    async def stop(self) -> None:
        """Ends the program: its stop signal, then SIGKILL after ``stop_seconds``."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(self.stop_signal)
                try:
                    await asyncio.wait_for(process.wait(), self.stop_seconds)
                except TimeoutError:
                    process.kill()
                    await process.wait()
        if self._reader is not None:
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                await asyncio.wait_for(self._reader, 1.0)
        self.log.close()
