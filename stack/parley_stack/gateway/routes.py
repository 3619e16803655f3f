"""Which path goes where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CONNECTIONS = 64
"""Open connections to one upstream, unless it says otherwise."""


@dataclass(frozen=True)
class Upstream:
    """The address of a service: a unix socket's path, or a host and port.

    ``connections`` bounds how many are open at once; further requests wait in the order they came.
    ``answers_preflights``: it has cross-origin rules of its own, which are left alone.
    """

    path: str | None = None
    host: str = ""
    port: int = 0
    connections: int = CONNECTIONS
    answers_preflights: bool = False

    @classmethod
    def unix(
        cls, path: str | Path, *, connections: int = CONNECTIONS, answers_preflights: bool = False
    ) -> Upstream:
        """A service on a unix socket."""
        return cls(path=str(path), connections=connections, answers_preflights=answers_preflights)

    @classmethod
    def tcp(cls, host: str, port: int, *, connections: int = CONNECTIONS) -> Upstream:
        """A service on a TCP port."""
        return cls(host=host, port=port, connections=connections)

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    async def connect(self, factory: Callable[[], asyncio.Protocol]) -> None:
        """Opens a connection. Raises OSError."""
        loop = asyncio.get_running_loop()
        if self.path is not None:
            await loop.create_unix_connection(factory, self.path)
        else:
            await loop.create_connection(factory, self.host, self.port)


@dataclass(frozen=True)
class Route:
    """Requests below ``prefix`` (``/rest/v1``) go to ``upstream``, without the prefix."""

    prefix: str
    upstream: Upstream

    def __post_init__(self) -> None:
        if not self.prefix.startswith("/") or self.prefix.endswith("/"):
            raise ValueError(f"a route's prefix is like /rest/v1, not {self.prefix!r}")
