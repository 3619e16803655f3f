"""Where a link in a mail may lead: ``site_url``, loopback, and what the project allows.

An address that is not allowed is replaced by ``site_url``, as on the platform, and a warning says
so in the log.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from functools import lru_cache
from urllib.parse import quote, urlsplit, urlunsplit

from starlette.requests import Request

from .settings import AuthSettings

log = logging.getLogger(__name__)

_PARTS = re.compile(r"\*\*|\*|\?|\[[^\]]*\]|\{[^{}]*\}|\\.|.", re.DOTALL)
_MUST_BE_QUOTED = re.compile(r"[&=#]")


def redirect_url(request: Request, settings: AuthSettings, body_value: str = "") -> str:
    """The address a request asks its link to lead to; ``site_url`` for one that is not allowed.

    The first that is given of: ``body_value``, the header and the query parameter
    ``redirect_to``. Without any of them the referring page, if it is allowed.
    """
    asked = (
        body_value
        or request.headers.get("redirect_to", "")
        or request.query_params.get("redirect_to", "")
    )
    if asked and is_allowed(asked, settings):
        return asked
    if asked:
        log.warning(
            "redirect_to leads to a host that [auth] additional_redirect_urls does not allow; "
            "site_url takes its place"
        )
    referer = request.headers.get("referer", "")
    return referer if referer and is_allowed(referer, settings) else settings.site_url


def is_allowed(url: str, settings: AuthSettings) -> bool:
    """Whether a link may lead to ``url``."""
    try:
        asked, site = urlsplit(url), urlsplit(settings.site_url)
        same_port = asked.port == site.port or site.hostname == "localhost"
    except ValueError:
        return False
    is_site = (asked.scheme, asked.hostname) == (site.scheme, site.hostname) and same_port
    if asked.hostname and is_site:
        return True
    try:
        return ipaddress.ip_address(asked.hostname or "").is_loopback
    except ValueError:
        bare = urlunsplit(asked._replace(fragment=""))
        return any(_pattern(glob).fullmatch(bare) for glob in settings.additional_redirect_urls)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """``*`` stops at ``.`` and ``/``, ``**`` at nothing; ``?``, ``[ab]``, ``[!ab]``, ``{a,b}``."""
    try:
        return re.compile("".join(_regex(part) for part in _PARTS.findall(glob)), re.DOTALL)
    except re.error:
        log.warning("auth.additional_redirect_urls: %r is not a pattern; it allows nothing", glob)
        return re.compile(r"(?!)")


def _regex(part: str) -> str:
    if part == "**":
        return ".*"
    if part == "*":
        return "[^./]*"
    if part == "?":
        return "[^./]"
    if len(part) > 2 and part[0] == "[":
        is_negated = part[1] in "!^"
        members = part[1 + is_negated : -1]
        return f"[{'^' * is_negated}{''.join(c if c == '-' else re.escape(c) for c in members)}]"
    if len(part) > 1 and part[0] == "{":
        return f"(?:{'|'.join(_pattern(choice).pattern for choice in part[1:-1].split(','))})"
    return re.escape(part.removeprefix("\\") or part)


def quoted(url: str) -> str:
    """``url`` as the value of a query parameter, left as it is where nothing would be lost."""
    return quote(url, safe="") if _MUST_BE_QUOTED.search(url) else url


def with_fragment(url: str, query: str) -> str:
    """``url`` with ``query`` as its fragment."""
    return f"{urlunsplit(urlsplit(url)._replace(fragment=''))}#{query}"


def with_query(url: str, query: str) -> str:
    """``url`` with ``query`` after the query it has."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query="&".join(filter(None, (parts.query, query)))))
