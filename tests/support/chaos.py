"""A way to the servers that nobody would want."""

from __future__ import annotations

import asyncio
import contextlib
import random
from urllib.parse import urlsplit


class ChaosProxy:
    """Passes TCP on, and cuts, delays and doubles what passes.

    What it cuts is cut in the middle; what it doubles are requests that write, each sent to the
    server a second time on a connection of its own, at the same moment.
    """

    def __init__(self, target: str, seed: int) -> None:
        self._target = urlsplit(target)
        self._random = random.Random(seed)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_calm = False
        self.url = ""
        self.cuts = self.doubles = self.delays = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    def calm(self) -> None:
        """From now on everything passes."""
        self._is_calm = True

    def _happens(self, probability: float) -> bool:
        return not self._is_calm and self._random.random() < probability

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(self._target.hostname, self._target.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pour(reader, there, to_server=True))
                group.create_task(self._pour(back, writer, to_server=False))
        except (OSError, ExceptionGroup, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()
                    with contextlib.suppress(OSError, asyncio.CancelledError):
                        await end.wait_closed()

    async def _pour(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, to_server: bool
    ) -> None:
        while data := await reader.read(65536):
            if to_server and data.startswith(b"POST /rest/v1/rpc/send") and self._happens(0.05):
                self.doubles += 1
                self._again(data)
            if self._happens(0.05):
                self.delays += 1
                await asyncio.sleep(self._random.uniform(0.01, 0.3))
            if self._happens(0.01):
                self.cuts += 1
                writer.write(data[: len(data) // 2])
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()

    def _again(self, request: bytes) -> None:
        task = asyncio.create_task(self._send_again(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_again(self, request: bytes) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            back, there = await asyncio.open_connection(self._target.hostname, self._target.port)
            with contextlib.closing(there.transport):
                there.write(request)
                async with asyncio.timeout(5):
                    await back.read(1)
