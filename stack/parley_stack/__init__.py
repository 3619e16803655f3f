"""A local Supabase without Docker: real PostgreSQL and PostgREST, small servers for the rest."""

from __future__ import annotations
