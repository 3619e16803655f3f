"""The gateway's key rule: opaque API keys become the tokens they stand for.

As the gateway of the Supabase CLI. A request is never refused for a missing key; that is for the
service to decide.
"""

from __future__ import annotations

from parley_stack.keys import Keys

_OPAQUE = b"Bearer sb_"
_UNTOUCHED = (b"/auth/v1/verify", b"/auth/v1/callback", b"/auth/v1/authorize")
"""Paths that browsers open by following a link; nothing is rewritten there."""


class KeyRule:
    """What to send upstream as ``Authorization``."""

    __slots__ = ("_tokens",)

    def __init__(self, keys: Keys) -> None:
        self._tokens = {
            keys.publishable_key.encode(): f"Bearer {keys.anon_key}".encode(),
            keys.secret_key.encode(): f"Bearer {keys.service_role_key}".encode(),
        }

    def authorization(self, sent: bytes | None, api_key: bytes | None, url: bytes) -> bytes | None:
        """The header's value for a request that ``sent`` one; None for no header.

        A user's token goes through untouched. Otherwise ``api_key`` decides: a key of this stack
        gives its token, anything else is handed on as it is, without ``Bearer``.
        """
        if sent is not None and not sent.startswith(_OPAQUE):
            return sent
        if url.partition(b"?")[0] in _UNTOUCHED:
            return sent
        return self._tokens.get(api_key or b"", api_key)
