"""Stacks, databases and users for tests of any Supabase project. See ``pytest_plugin``."""

from .databases import Database, Template
from .stacks import Stack, start_stack
from .users import User, sign_in, sign_up

__all__ = ["Database", "Stack", "Template", "User", "sign_in", "sign_up", "start_stack"]
