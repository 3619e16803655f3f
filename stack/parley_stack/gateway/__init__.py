"""The API gateway: one loopback port before all services of a stack.

::

    gateway = Gateway([Route("/rest/v1", Upstream.unix(path))], keys, realtime)
    await gateway.start("127.0.0.1", 54321)

A request goes from ``client`` (parses it, picks the route) through an ``exchange`` (one request and
its answer) to a connection of the upstream's ``pool``; bytes then flow both ways without being
collected anywhere. Nothing is awaited on that path: everything is a callback of the event loop.
"""

from __future__ import annotations

from .routes import Route, Upstream
from .server import Gateway, SocketAcceptor

__all__ = ["Gateway", "Route", "SocketAcceptor", "Upstream"]
