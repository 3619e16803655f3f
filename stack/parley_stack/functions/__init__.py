"""Edge functions: ``supabase/functions/<slug>/index.ts``, run by Deno, one process a function.

A process starts at a function's first request and again when a file of the functions' folder has
changed.
"""

from __future__ import annotations
