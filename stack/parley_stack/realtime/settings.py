"""Settings of the Realtime server: the ``[realtime]`` table of ``supabase/config.toml``.

The first three keys are the Supabase CLI's. The limits have the names and units below and are
generous, because a local stack has one tenant; a project may lower them to see its own clients
meet a limit.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RealtimeSettings(BaseModel):
    """``[realtime]`` of ``config.toml``; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    ip_version: Literal["IPv4", "IPv6"] = "IPv4"
    max_header_length: int = Field(default=4096, gt=0)
    """Longest request head, in bytes, of a WebSocket handshake."""

    max_concurrent_users: int = Field(default=20_000, gt=0)
    """Open sockets."""
    max_channels_per_client: int = Field(default=1_000, gt=0)
    """Joined channels per socket."""
    max_joins_per_second: int = Field(default=10_000, gt=0)
    """Joins, all sockets together, averaged over a minute."""
    max_events_per_second: int = Field(default=100_000, gt=0)
    """Broadcasts accepted, all senders together, averaged over a minute."""
    max_presence_events_per_second: int = Field(default=100_000, gt=0)
    """Presence messages accepted, all senders together, averaged over a minute."""
    client_presence_max_calls: int = Field(default=1_000, gt=0)
    """Presence messages of one channel in a window (a hosted project: 5)."""
    client_presence_window_ms: int = Field(default=30_000, gt=0)
    """Length of that window."""
    max_payload_size_in_kb: int = Field(default=3_000, gt=0)
    """Largest payload of a broadcast or a presence."""
    max_frame_bytes: int = Field(default=5_000_000, gt=0)
    """Largest WebSocket message a client may send."""
    max_write_buffer_bytes: int = Field(default=8_000_000, gt=0)
    """Bytes waiting for one socket before it is closed as too slow."""
    idle_timeout_seconds: float = Field(default=60.0, gt=0)
    """Silence of a client after which its socket is closed."""
    unjoined_timeout_seconds: float = Field(default=600.0, gt=0)
    """Time a socket may stay open without a joined channel."""
    token_check_seconds: float = Field(default=300.0, gt=0)
    """Longest time between two checks of a channel's token."""
    database_pool_size: int = Field(default=8, gt=0)
    """Connections that ask PostgreSQL for a channel's permissions."""
