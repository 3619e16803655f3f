"""What every route works with, and where a request came from."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request

from parley_stack.keys import Keys

from .database import Pool
from .settings import AuthSettings


@dataclass(frozen=True)
class Server:
    """One Auth server.

    ``external_url`` is its public address, which issues the tokens; ``workdir`` the project's
    folder, where its mail templates are.
    """

    settings: AuthSettings
    keys: Keys
    pool: Pool = field(repr=False)
    external_url: str
    workdir: Path

    @property
    def issuer(self) -> str:
        return self.settings.jwt_issuer or self.external_url

    @property
    def offers_email(self) -> bool:
        """Whether people sign up and in with an address."""
        email = self.settings.email
        return email.enable_signup if email.enabled is None else email.enabled

    @property
    def offers_phone(self) -> bool:
        """Whether people sign up and in with a number."""
        sms = self.settings.sms
        return sms.enable_signup if sms.enabled is None else sms.enabled

    @property
    def confirms_email(self) -> bool:
        """Whether a new address counts without a mail having been followed."""
        return not self.settings.email.enable_confirmations

    @property
    def confirms_phone(self) -> bool:
        """Whether a new number counts without a code having been typed."""
        return not self.settings.sms.enable_confirmations


@dataclass(frozen=True)
class Origin:
    """Client program and address, kept with the session."""

    user_agent: str | None
    ip: str | None


def origin(request: Request) -> Origin:
    """The origin of ``request``; a proxy's ``X-Forwarded-For`` counts when it is an address."""
    forwarded = request.headers.get("x-forwarded-for", "").partition(",")[0].strip()
    peer = request.client.host if request.client else ""
    return Origin(request.headers.get("user-agent"), _address(forwarded) or _address(peer))


def _address(text: str) -> str | None:
    try:
        # A zone ("%eth0") is valid to Python and unknown to PostgreSQL.
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return None
