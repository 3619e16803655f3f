"""The asynchronous client, which is the source of the synchronous one."""

from __future__ import annotations
