"""postgres_changes: committed changes of published tables, for who may see them.

``stream`` reads the log, ``judge`` asks PostgreSQL who is told, ``messages`` writes it down,
``subscriptions`` knows who asked; ``feed.PostgresChanges`` is the whole.
"""

from __future__ import annotations
