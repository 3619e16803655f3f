"""Drop-in messaging for Supabase: the Python SDK."""
from __future__ import annotations
