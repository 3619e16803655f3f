"""Stacks, databases and users for tests of any Supabase project. See ``pytest_plugin``."""

from __future__ import annotations

from .databases import Database, clone, conninfo, make_template, migrate
from .stacks import Stack, start_stack
from .users import User, sign_in, sign_up

__all__ = [
    "Database",
    "Stack",
    "User",
    "clone",
    "conninfo",
    "make_template",
    "migrate",
    "sign_in",
    "sign_up",
    "start_stack",
]
