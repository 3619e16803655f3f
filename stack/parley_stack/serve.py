"""The process that serves: gateway, Auth, Realtime, Storage, functions and mail on one event loop.

Auth, Storage and Realtime's HTTP side are ordinary ASGI applications on unix sockets, reached
through the gateway like PostgREST; WebSockets are handed to Realtime by the gateway as they come
in.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import uvicorn
import uvloop
from psycopg_pool import AsyncConnectionPool

from .auth.app import create_app
from .config import Config
from .extensions.runner import Extensions
from .functions.app import Functions
from .gateway import Gateway, Route, Upstream
from .keys import Keys
from .mailbox.app import create_app as create_mailbox
from .paths import ready_file
from .realtime.server import Realtime
from .storage.storage import Storage

_STOP_SECONDS = 2.0


@dataclass(frozen=True)
class ServeOptions:
    """Where to listen and what to talk to. ``files``: the folder of Storage."""

    config: Config
    keys: Keys
    sockets: Path
    files: Path
    api_port: int
    db_port: int
    mail_port: int

    def conninfo(self, user: str, database: str = "postgres") -> str:
        """libpq string for ``user`` over the unix socket."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.sockets), port=self.db_port, user=user, dbname=database
        )

    def functions_env(self) -> dict[str, str]:
        """What an edge function of a hosted project finds in its environment."""
        keys = self.keys
        return {
            "SUPABASE_URL": self.api_url,
            "SUPABASE_DB_URL": f"postgresql://postgres:postgres@127.0.0.1:{self.db_port}/postgres",
            "SUPABASE_ANON_KEY": keys.anon_key,
            "SUPABASE_SERVICE_ROLE_KEY": keys.service_role_key,
            "SUPABASE_PUBLISHABLE_KEYS": json.dumps({"default": keys.publishable_key}),
            "SUPABASE_SECRET_KEYS": json.dumps({"default": keys.secret_key}),
            "SB_REGION": "local",
        }

    @property
    def api_url(self) -> str:
        """Base address of the API."""
        return f"http://127.0.0.1:{self.api_port}"


class _Server(uvicorn.Server):
    """An ASGI server that leaves the process's signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(128)
    return listener


def _listen_tcp(port: int) -> socket.socket:
    listener = socket.create_server(("127.0.0.1", port), backlog=128)
    listener.setblocking(False)
    return listener


def _asgi_server(app: Any) -> _Server:
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False
    )
    return _Server(config)


async def serve(options: ServeOptions) -> None:
    """Serves until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    ready = ready_file(options.sockets)
    ready.unlink(missing_ok=True)

    pool = AsyncConnectionPool(
        options.conninfo("supabase_auth_admin"), min_size=1, max_size=8, open=False, timeout=10
    )
    realtime = Realtime(options.config.realtime, options.keys, options.conninfo("supabase_admin"))
    storage = Storage(
        options.config.storage,
        options.keys,
        options.conninfo("supabase_storage_admin"),
        options.files,
    )
    functions = Functions(options.config, options.keys, options.functions_env())
    apps = {
        "auth": create_app(
            options.config.auth,
            options.keys,
            pool,
            external_url=options.config.auth.external_url or f"{options.api_url}/auth/v1",
            workdir=options.config.workdir,
        ),
        "realtime": realtime.http_app,
        "functions": functions.app,
    }
    if options.config.storage.enabled:
        apps["storage"] = storage.app
    servers = {name: _asgi_server(app) for name, app in apps.items()}
    routes = [
        Route("/rest/v1", Upstream.unix(options.sockets / "postgrest.sock")),
        *(
            Route(
                f"/{name}/v1",
                Upstream.unix(
                    options.sockets / f"{name}.sock", answers_preflights=name == "functions"
                ),
            )
            for name in apps
        ),
    ]
    gateway = Gateway(routes, options.keys, realtime)

    tasks = [
        asyncio.create_task(server.serve(sockets=[_listen(options.sockets / f"{name}.sock")]))
        for name, server in servers.items()
    ]
    servers["mail"] = _asgi_server(create_mailbox(pool))
    tasks.append(
        asyncio.create_task(servers["mail"].serve(sockets=[_listen_tcp(options.mail_port)]))
    )
    await pool.open(wait=False)
    await asyncio.gather(realtime.start(), storage.start())
    extensions = Extensions(options.conninfo)
    extensions.start()
    await gateway.start("127.0.0.1", options.api_port)
    tasks.append(asyncio.create_task(_announce(ready, pool, realtime, storage)))
    stopped = asyncio.create_task(stopping.wait())
    try:
        # A server that ends by itself takes the process down, to be started again whole.
        await asyncio.wait({stopped, *tasks[:-1]}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        ready.unlink(missing_ok=True)
        stopped.cancel()
        tasks[-1].cancel()
        await asyncio.gather(gateway.stop(), realtime.stop(), functions.stop(), extensions.stop())
        for server in servers.values():
            server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(pool.close(_STOP_SECONDS), storage.stop())


async def _announce(
    ready: Path, pool: AsyncConnectionPool, realtime: Realtime, storage: Storage
) -> None:
    """Writes the ready file once the database and its change stream are there."""
    while True:
        with contextlib.suppress(Exception):
            await asyncio.gather(pool.wait(5), storage.ready())
            break
    while not await realtime.ready():  # noqa: ASYNC110 - it can only be asked
        await asyncio.sleep(0.02)
    await asyncio.to_thread(ready.write_text, str(os.getpid()))


def run(options: ServeOptions) -> None:
    """The process's main function."""
    uvloop.run(serve(options))
