"""The local Auth server: users, sessions and tokens, as the Supabase Auth API has them."""

from __future__ import annotations

from .app import create_app
from .settings import AuthSettings

__all__ = ["AuthSettings", "create_app"]
