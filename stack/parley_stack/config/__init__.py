"""A Supabase project's configuration: ``supabase/config.toml`` as frozen models."""

from __future__ import annotations

from parley_stack.errors import ConfigError

from .load import load_config
from .model import Config

__all__ = ["Config", "ConfigError", "load_config"]
