"""What happens while one watches: Realtime, ordered, and repaired by reading."""

from __future__ import annotations
