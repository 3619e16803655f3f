"""``pg_cron`` and ``pg_net`` for a server that was built without them.

``create extension`` finds what ``files/`` has: the tables and functions of a hosted project, in
SQL. The stack runs the jobs (``cron``) and sends the requests (``net``). A server that has the real
extension keeps it.
"""

from __future__ import annotations
