"""How PostgREST is started: its configuration comes from ``[api]`` of config.toml."""

from __future__ import annotations

import http.client
import os
import socket
from collections.abc import Sequence
from pathlib import Path


def environment(
    *,
    conninfo: str,
    socket_path: Path,
    jwks: str,
    schemas: Sequence[str],
    extra_search_path: Sequence[str],
    max_rows: int,
) -> dict[str, str]:
    """PostgREST's settings as environment variables (PostgREST reference, "Configuration").

    In-database configuration stays on: ``alter role authenticator set pgrst.*`` wins over these.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PGRST_")}
    return {
        **kept,
        "PGRST_DB_URI": conninfo,
        "PGRST_DB_SCHEMAS": ",".join(schemas),
        "PGRST_DB_EXTRA_SEARCH_PATH": ",".join(extra_search_path),
        "PGRST_DB_MAX_ROWS": str(max_rows),
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_POOL": "20",
        "PGRST_DB_POOL_ACQUISITION_TIMEOUT": "10",
        "PGRST_DB_CHANNEL_ENABLED": "true",
        "PGRST_SERVER_UNIX_SOCKET": str(socket_path),
        "PGRST_SERVER_UNIX_SOCKET_MODE": "600",
        "PGRST_JWT_SECRET": jwks,
        "PGRST_OPENAPI_MODE": "follow-privileges",
        "PGRST_LOG_LEVEL": "error",
    }


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=2)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def answers(socket_path: Path, path: str) -> bool:
    """Whether the HTTP server on ``socket_path`` gives anything but a 5xx for ``path``."""
    connection = _UnixConnection(socket_path)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
