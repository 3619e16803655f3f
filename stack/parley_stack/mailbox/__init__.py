"""The local mail sink: shows the mail that Auth put into the database, to people and to tests.

The API is that of Mailpit, the Supabase CLI's (https://mailpit.axllent.org/docs/api-v1/): list,
search, read, delete. A message has one member more, ``Auth``, with the code and the link that
are in it, so that a test need not read HTML.
"""

from __future__ import annotations
