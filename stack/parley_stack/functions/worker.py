"""The Deno process of one edge function."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from parley_stack.account import end_with_parent

from .project import EdgeFunction

BOOT_SECONDS = 60.0
"""How long a function may take to start: it may have to download what it imports."""
_MARK = "\x04listening "
_STOP_SECONDS = 2.0
_BOOTSTRAP = Path(__file__).with_name("bootstrap.ts")
_PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "DENO_CERT", "DENO_TLS_CA_STORE", "NO_COLOR")
_PASSED_ON_PREFIXES = ("SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


class BootError(Exception):
    """A function that did not start; its log says why."""


def find_deno() -> Path | None:
    """The Deno of this Python environment, else the machine's."""
    beside = Path(sys.executable).with_name("deno")
    if beside.is_file():
        return beside
    found = shutil.which("deno")
    return Path(found) if found else None


@dataclass
class Worker:
    """A function's process; it listens on ``port`` of loopback."""

    function: EdgeFunction
    as_of: float
    """The newest change of the functions' folder it has seen."""
    process: asyncio.subprocess.Process
    port: int = 0
    _reader: asyncio.Task[None] | None = field(default=None, repr=False)

    @classmethod
    async def start(
        cls,
        deno: Path,
        function: EdgeFunction,
        env: Mapping[str, str],
        *,
        as_of: float,
        cache: Path,
    ) -> Worker:
        """Starts one and waits until it listens. Raises BootError."""
        passed_on = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.upper().startswith(_PASSED_ON_PREFIXES)
        }
        process = await asyncio.create_subprocess_exec(
            *_command(deno, function),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=function.entrypoint.parent,
            env={**passed_on, "DENO_DIR": str(cache), "DENO_NO_UPDATE_CHECK": "1", **env},
            preexec_fn=end_with_parent(signal.SIGKILL),
        )
        worker = cls(function, as_of, process)
        try:
            worker.port = await asyncio.wait_for(worker._listening(), BOOT_SECONDS)
        except BaseException as error:
            await worker.stop()
            if isinstance(error, TimeoutError):
                raise BootError(function.slug) from error
            raise
        worker._reader = asyncio.create_task(worker._read_on())
        return worker

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def stop(self) -> None:
        """Ends it, at once if it does not end by itself."""
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), _STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()
        if self._reader is not None:
            await self._reader

    async def _listening(self) -> int:
        """The port, once it is told. Raises BootError when the process ends before."""
        async for line in self._lines():
            if line.startswith(_MARK):
                return int(line.removeprefix(_MARK))
            self._log(line)
        raise BootError(self.function.slug)

    async def _read_on(self) -> None:
        async for line in self._lines():
            self._log(line)

    async def _lines(self) -> AsyncIterator[str]:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            yield line.decode(errors="replace").rstrip()

    def _log(self, line: str) -> None:
        # Into the log of the serving process, which its supervisor keeps free of secrets.
        print(f"[functions/{self.function.slug}] {line}", flush=True)


def _command(deno: Path, function: EdgeFunction) -> list[str]:
    """Deno with the rights a hosted function has: network and reading; of writing, ``/tmp``."""
    import_map = function.import_map
    option = []
    if import_map is not None:
        kind = "--import-map" if import_map.name == "import_map.json" else "--config"
        option = [f"{kind}={import_map}"]
    return [
        *(str(deno), "run", "--quiet", "--no-prompt", "--no-lock"),
        *("--allow-net", "--allow-env", "--allow-read", "--allow-sys", "--allow-import"),
        *("--allow-write=/tmp", *option),
        *(str(_BOOTSTRAP), _MARK, function.entrypoint.as_uri()),
    ]
