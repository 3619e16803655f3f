"""The local Storage server: buckets and files, as the Supabase Storage API has them.

``app.create_app`` makes it. A request goes through ``caller`` (whose token), ``database`` (asks
PostgreSQL as that caller: row security on ``storage.buckets`` and ``storage.objects`` decides) and
``files`` (the bytes, on disk). Rows and files are changed in an order that leaves a file without a
row when the process is killed, never a row without its file; the next start deletes such files.

Source: Supabase Storage wire reference.
"""

from __future__ import annotations
