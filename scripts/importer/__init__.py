"""Brings messages of other systems into Parley: what ``scripts/import`` runs.

The work is SQL: a mapping in ``supabase/imports/<source>/`` fills neutral tables, the loader in
``supabase/imports/_loader/`` takes them from there. Here is what asks for it, step by step.
"""

from __future__ import annotations
