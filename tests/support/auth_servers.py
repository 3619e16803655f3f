"""Auth servers with settings of a test's own, on the database of the running stack."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg_pool import AsyncConnectionPool

from parley_stack.auth.app import create_app
from parley_stack.auth.settings import AuthSettings
from parley_stack.keys import Keys
from parley_stack.testing import Stack

URL = "http://auth.test/auth/v1"
VERSION = {"X-Supabase-Api-Version": "2024-01-01"}

Serve = Callable[..., Awaitable[httpx.AsyncClient]]


@asynccontextmanager
async def auth_servers(stack: Stack, workdir: Path) -> AsyncIterator[Serve]:
    """``await serve(keys=..., enable_signup=False)`` starts one and gives a client of it."""
    conninfo = psycopg.conninfo.make_conninfo(
        stack.db_url, user="supabase_auth_admin", password="postgres"
    )
    async with AsyncExitStack() as exits:

        async def start(keys: Keys | None = None, **settings: Any) -> httpx.AsyncClient:
            pool = AsyncConnectionPool(conninfo, min_size=1, max_size=4, open=False)
            await exits.enter_async_context(pool)
            app = create_app(
                AuthSettings.model_validate(settings),
                keys or Keys(),
                pool,
                external_url=URL,
                workdir=workdir,
            )
            transport = httpx.ASGITransport(app)
            client = httpx.AsyncClient(transport=transport, base_url=URL[:-8], headers=VERSION)
            return await exits.enter_async_context(client)

        yield start
