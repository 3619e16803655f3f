"""The configuration of a client, and the one place that reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from dotenv import dotenv_values, find_dotenv

from ._errors import ConfigurationError

URL_VARIABLE = "SUPABASE_URL"
KEY_VARIABLES = ("SUPABASE_PUBLISHABLE_KEY", "SUPABASE_ANON_KEY")
DEFAULT_TIMEOUT_SECONDS = 10.0
DEFAULT_RETRY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Config:
    """What a client needs to know. Never changes.

    url: The project's, without a slash at its end (``https://<ref>.supabase.co``).
    key: The publishable (or anon) key. Not a secret, and kept out of ``repr`` all the same.
    timeout_seconds: How long one attempt at a request may take.
    retry_seconds: For how long a request that is safe to repeat is tried again when the server
        cannot be reached or is not ready. 0: one attempt.
    """

    url: str
    key: str = field(repr=False)
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    retry_seconds: float = DEFAULT_RETRY_SECONDS

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(
                "The project's URL does not start with https:// or http://.",
                hint=f"Look at `url` or {URL_VARIABLE}.",
            )
        if self.timeout_seconds <= 0 or self.retry_seconds < 0:
            raise ConfigurationError("A time is negative.", hint="Give seconds.")

    @property
    def rest_url(self) -> str:
        """Where PostgREST is, without a slash at its end."""
        return f"{self.url}/rest/v1"

    @property
    def auth_url(self) -> str:
        """Where the Auth server is, without a slash at its end."""
        return f"{self.url}/auth/v1"

    @property
    def realtime_url(self) -> str:
        """Where Realtime is, without a slash at its end."""
        return f"{self.url}/realtime/v1"

    @property
    def storage_url(self) -> str:
        """Where Storage is, without a slash at its end."""
        return f"{self.url}/storage/v1"

    @property
    def functions_url(self) -> str:
        """Where edge functions are, without a slash at its end."""
        return f"{self.url}/functions/v1"


def load_config(
    url: str | None,
    key: str | None,
    *,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    retry_seconds: float = DEFAULT_RETRY_SECONDS,
) -> Config:
    """The configuration from arguments, else the environment, else the nearest ``.env``.

    Raises ConfigurationError when url or key is in none of them, or malformed.
    """
    if not (url and key):
        environment = _Environment()
        url = url or environment.first(URL_VARIABLE)
        key = key or environment.first(*KEY_VARIABLES)
    if not url:
        raise ConfigurationError(
            "The project's URL is missing.",
            hint=f"Give `url`, or set {URL_VARIABLE} in the environment or in .env.",
        )
    if not key:
        raise ConfigurationError(
            "The project's key is missing.",
            hint=f"Give `key`, or set {KEY_VARIABLES[0]} in the environment or in .env.",
        )
    return Config(url.rstrip("/"), key, timeout_seconds, retry_seconds)


class _Environment:
    """The process's variables, then those of the ``.env`` found from the working directory up."""

    def __init__(self) -> None:
        self._sources: tuple[Mapping[str, str | None], ...] = (
            os.environ,
            dotenv_values(find_dotenv(usecwd=True)),
        )

    def first(self, *names: str) -> str | None:
        for source in self._sources:
            for name in names:
                if value := source.get(name):
                    return value
        return None
