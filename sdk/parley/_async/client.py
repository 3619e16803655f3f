"""The client."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import httpx
from pydantic import JsonValue

from parley._config import DEFAULT_RETRY_SECONDS, DEFAULT_TIMEOUT_SECONDS, load_config

from .auth import AsyncAuth
from .contacts import AsyncContacts
from .conversations import AsyncConversations
from .devices import AsyncDevices
from .exports import AsyncExports
from .inbox import AsyncInbox
from .me import AsyncMe
from .moderation import AsyncModeration
from .notifications import AsyncNotifications
from .outbox import AsyncOutbox
from .retention import AsyncRetention
from .search import AsyncSearch
from .services import Services
from .tables import AsyncTables
from .tenants import AsyncTenants

if TYPE_CHECKING:
    from postgrest import AsyncRequestBuilder, AsyncRPCFilterRequestBuilder


class AsyncParley:
    """Parley, as one user.

        async with AsyncParley(url, key) as parley:
            await parley.auth.sign_in_with_password("alice@example.com", "...")
            room = await parley.conversations.start_direct("bob")
            await room.send("hello")

    url: The project's; default: ``SUPABASE_URL`` from the environment or ``.env``.
    key: Its publishable (or anon) key; default: ``SUPABASE_PUBLISHABLE_KEY``, else
        ``SUPABASE_ANON_KEY``. Never the secret key: the client acts as a user.
    timeout: Seconds that one attempt at a request may take.
    retry_seconds: For how long a request that is safe to repeat is tried again when the server
        cannot be reached or is not ready.
    http_client: For proxies and the like. Stays open when this client is closed.

    Making one does no network I/O. Raises ConfigurationError.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retry_seconds: float = DEFAULT_RETRY_SECONDS,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        config = load_config(url, key, timeout_seconds=timeout, retry_seconds=retry_seconds)
        self._services = Services(config, http_client)
        self._tables = AsyncTables(config, self._services.rest)
        self._conversations = AsyncConversations(self._services)
        self._inbox = AsyncInbox(self._services)
        self._me = AsyncMe(self._services)
        self._contacts = AsyncContacts(self._services)
        self._notifications = AsyncNotifications(self._services)
        self._search = AsyncSearch(self._services)
        self._devices = AsyncDevices(self._services)
        self._tenants = AsyncTenants(self._services)
        self._moderation = AsyncModeration(self._services)
        self._retention = AsyncRetention(self._services)
        self._exports = AsyncExports(self._services)

    @property
    def auth(self) -> AsyncAuth:
        """Signing up, in and out."""
        return self._services.auth

    @property
    def conversations(self) -> AsyncConversations:
        """Starting and finding conversations."""
        return self._conversations

    @property
    def inbox(self) -> AsyncInbox:
        """All of the user's conversations: the list, what is unread, live events."""
        return self._inbox

    @property
    def me(self) -> AsyncMe:
        """The user's own profile."""
        return self._me

    @property
    def contacts(self) -> AsyncContacts:
        """Contacts, requests and blocks."""
        return self._contacts

    @property
    def notifications(self) -> AsyncNotifications:
        """What the user is told, and wants to be told."""
        return self._notifications

    @property
    def search(self) -> AsyncSearch:
        """Finding messages and people."""
        return self._search

    @property
    def devices(self) -> AsyncDevices:
        """Where the user is signed in."""
        return self._devices

    @property
    def tenants(self) -> AsyncTenants:
        """Organisations, their members and settings."""
        return self._tenants

    @property
    def moderation(self) -> AsyncModeration:
        """Reports, bans and the audit log."""
        return self._moderation

    @property
    def retention(self) -> AsyncRetention:
        """How long messages live, and legal holds."""
        return self._retention

    @property
    def exports(self) -> AsyncExports:
        """Everything of the user, to take along."""
        return self._exports

    def outbox(self, path: Path | str) -> AsyncOutbox:
        """Messages in an SQLite file that are sent even if this program ends first.

        Close it when you are done. Raises ConfigurationError when it cannot be opened.
        """
        return AsyncOutbox(self._services, path)

    def table(self, name: str) -> AsyncRequestBuilder:
        """A table or view of schema ``chat``, for what the SDK has no method for.

        Returns postgrest's builder; its ``execute()`` sends, as the signed-in user, and raises
        ParleyError.
        """
        return self._tables.table(name)

    def rpc(
        self, name: str, params: Mapping[str, JsonValue] | None = None
    ) -> AsyncRPCFilterRequestBuilder:
        """A function of schema ``chat``, for what the SDK has no method for; as ``table``."""
        return self._tables.rpc(name, params or {})

    async def aclose(self) -> None:
        """Ends streams and closes connections. The session stays valid: this is no sign-out."""
        await self._services.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
