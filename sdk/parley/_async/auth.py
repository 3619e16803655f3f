"""Signing up, in and out, and the one access token that REST and Realtime share."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from pydantic import ValidationError

from parley import _retry, _wire
from parley._compat import AsyncSingleFlight, async_sleep
from parley._config import Config
from parley._errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    ParleyError,
    ServerError,
)
from parley._models import User

from .rest import CLIENT_INFO, AsyncHttp

if TYPE_CHECKING:
    from supabase_auth import AsyncGoTrueClient
    from supabase_auth import Session as AuthSession
    from supabase_auth import User as AuthUser

_REFRESH_MARGIN_SECONDS = 60.0
_SHORTEST_REFRESH_SECONDS = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, and with which tokens. ``expires_at`` is on the monotonic clock."""

    user: User
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: float
    refresh_at: float


class AsyncAuth:
    """``parley.auth``: who the client acts as."""

    def __init__(self, config: Config, http: AsyncHttp) -> None:
        self._config = config
        self._http = http
        self._gotrue: AsyncGoTrueClient | None = None
        self._session: Session | None = None
        self._refreshing = AsyncSingleFlight()
        self._listeners: list[Callable[[], None]] = []

    @property
    def user(self) -> User | None:
        """Who is signed in, or None."""
        return self._session.user if self._session else None

    @property
    def user_id(self) -> UUID:
        """Of who is signed in. Raises AuthenticationError when nobody is."""
        if self._session is None:
            raise AuthenticationError(code="sign_in_required", hint="Sign in first.")
        return self._session.user.id

    async def sign_up(
        self,
        email: str,
        password: str,
        *,
        username: str | None = None,
        display_name: str | None = None,
    ) -> User:
        """Makes a user, and signs in as them unless the project wants the email confirmed first.

        A username that is taken or malformed is not refused: the user gets a neutral one, as
        their profile shows.

        Raises ConflictError (``user_already_exists``) and InvalidRequestError (``weak_password``).
        """
        _refuse_empty(email=email, password=password)
        data = {"username": username, "display_name": display_name}
        answer = await self._ask(
            lambda: self._client().sign_up(
                {
                    "email": email,
                    "password": password,
                    "options": {"data": {key: value for key, value in data.items() if value}},
                }
            ),
            retry_seconds=0,
        )
        if answer.user is None:
            raise ServerError("The Auth server's answer names no user.")
        return _user(answer.user)

    async def sign_in_with_password(self, email: str, password: str) -> User:
        """Signs in. Streams opened as another user end.

        Raises AuthenticationError (``invalid_credentials``, ``email_not_confirmed``).
        """
        _refuse_empty(email=email, password=password)
        answer = await self._ask(
            lambda: self._client().sign_in_with_password({"email": email, "password": password})
        )
        if answer.user is None:
            raise ServerError("The Auth server's answer names no user.")
        return _user(answer.user)

    async def sign_out(self) -> None:
        """Signs out here; the user's other devices stay signed in. Streams end.

        Signed out is signed out: when the server cannot be told, the session is forgotten all the
        same, and the error is raised.
        """
        if self._session is not None:
            await self._ask(lambda: self._client().sign_out({"scope": "local"}), retry_seconds=0)

    async def resume(self, refresh_token: str) -> User:
        """Signs in again with the ``refresh_token`` of an earlier session, which is used up by it.

        Raises AuthenticationError (``refresh_token_not_found``, ``refresh_token_already_used``).
        """
        _refuse_empty(refresh_token=refresh_token)
        try:
            answer = await self._ask(
                lambda: self._client().refresh_session(refresh_token), retry_seconds=0
            )
        except InvalidRequestError as error:
            raise AuthenticationError(
                "This is no refresh token.", status=error.status, code=error.code
            ) from error
        if answer.user is None:
            raise ServerError("The Auth server's answer names no user.")
        return _user(answer.user)

    @property
    def refresh_token(self) -> str | None:
        """What ``resume`` takes: a secret, and another one after each refresh; None: signed out."""
        return self._session.refresh_token if self._session else None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Calls ``listener`` after each change of the session: sign-in, refresh, sign-out.

        The place to keep ``refresh_token``.
        """
        self._listeners.append(listener)

    # For the rest of the SDK -------------------------------------------------------------------

    @property
    def access_token(self) -> str | None:
        """The token as it is, which may have expired."""
        return self._session.access_token if self._session else None

    @property
    def refresh_due_seconds(self) -> float | None:
        """Seconds until the token should be replaced; None when nobody is signed in."""
        return self._session.refresh_at - time.monotonic() if self._session else None

    async def token(self) -> str | None:
        """A token that is good for a while yet, refreshed first if need be; None: signed out.

        However many ask at once, one refresh is sent. While it fails for want of a server, the
        old token serves as long as it lasts.
        """
        session = self._session
        if session is None or time.monotonic() < session.refresh_at:
            return self.access_token
        try:
            await self._refreshing.run(self._refresh)
        except (ConnectionFailedError, ServerError):
            if time.monotonic() >= session.expires_at:
                raise
        return self.access_token

    async def renew(self, refused: str) -> bool:
        """Replaces a token that the server refused; False when nobody is signed in."""
        if self.access_token == refused:
            await self._refreshing.run(self._refresh)
        return self._session is not None

    async def aclose(self) -> None:
        """Ends a refresh under way. The session stays valid on the server."""
        await self._refreshing.aclose()

    async def _refresh(self) -> None:
        session = self._session
        if session is None:
            return
        try:
            await self._ask(
                lambda: self._client().refresh_session(session.refresh_token), retry_seconds=0
            )
        except (AuthenticationError, InvalidRequestError) as error:
            # The session was revoked or has ended; asking again cannot help.
            if self._session is session:
                self._changed(None)
            raise AuthenticationError(
                "The session has ended.",
                status=error.status,
                code=error.code,
                hint="Sign in again.",
            ) from error

    def _client(self) -> AsyncGoTrueClient:
        if self._gotrue is None:
            # Takes a third of a second to import, which users of `import parley` need not wait.
            from supabase_auth import AsyncGoTrueClient

            self._gotrue = AsyncGoTrueClient(
                url=self._config.auth_url,
                headers={
                    "apikey": self._config.key,
                    "Authorization": f"Bearer {self._config.key}",
                    "X-Client-Info": CLIENT_INFO,
                },
                http_client=self._http.client,
                # Its timer would refresh beside ours, with the same refresh token.
                auto_refresh_token=False,
            )
            self._gotrue.on_auth_state_change(lambda _, session: self._changed(session))
        return self._gotrue

    def _changed(self, session: AuthSession | None) -> None:
        self._session = _session(session) if session else None
        for listener in self._listeners:
            listener()

    async def _ask(
        self, call: Callable[[], Awaitable[T]], *, retry_seconds: float | None = None
    ) -> T:
        budget = self._config.retry_seconds if retry_seconds is None else retry_seconds
        waits = _retry.delays(budget)
        while True:
            try:
                return await _mapped(call)
            except ParleyError as error:
                wait = next(waits, None) if _retry.is_passing(error) else None
                if wait is None:
                    raise
                await async_sleep(wait)


async def _mapped(call: Callable[[], Awaitable[T]]) -> T:
    from supabase_auth.errors import AuthError, AuthRetryableError, AuthUnknownError

    try:
        return await call()
    except AuthRetryableError as error:
        if not error.status:
            raise ConnectionFailedError(
                hint="Check the URL, the network and that the server runs."
            ) from error
        raise _wire.error_of_auth(error.message, error.status, error.code) from error
    except (AuthUnknownError, ValidationError) as error:
        raise ServerError("The Auth server's answer cannot be read.") from error
    except AuthError as error:
        status = getattr(error, "status", 500)
        raise _wire.error_of_auth(error.message, status, error.code) from error


def _refuse_empty(**arguments: str) -> None:
    for name, value in arguments.items():
        if not value:
            raise InvalidRequestError(f"`{name}` is empty.")


def _user(user: AuthUser) -> User:
    return User(
        id=user.id, email=user.email, created_at=user.created_at, metadata=user.user_metadata or {}
    )


def _session(session: AuthSession) -> Session:
    now = time.monotonic()
    lifetime = max(float(session.expires_in), _SHORTEST_REFRESH_SECONDS)
    margin = min(_REFRESH_MARGIN_SECONDS, lifetime / 2)
    return Session(
        user=_user(session.user),
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_at=now + lifetime,
        refresh_at=now + lifetime - margin,
    )
