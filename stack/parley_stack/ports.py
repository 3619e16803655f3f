"""Loopback ports: who holds one, and which is free."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from .errors import StackError

_LISTENING = "0A"
"""State in ``/proc/net/tcp``; proc(5)."""
_FIRST_FREE = 20_000
_FIRST_OUTGOING = 32_768
"""The usual ``net.ipv4.ip_local_port_range``; ip(7)."""


class PortTaken(StackError):  # noqa: N818 - reads as what happened
    """A port that something else listens on."""

    def __init__(self, port: int, by: str | None = None) -> None:
        whose = f" by {by}" if by else ""
        super().__init__(
            f"port {port} is already taken{whose}",
            hint="stop what holds it, or choose another port",
        )
        self.port = port
        self.holder = by


def holder(port: int) -> str | None:
    """Who listens on a TCP ``port`` of this machine, as ``"name (pid 123)"``.

    None when nobody does, or when that cannot be found out: on systems without ``/proc``, and for
    processes of other users.
    """
    inodes = _listening_inodes(port)
    if not inodes:
        return None
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").glob("[0-9]*"):
        if _holds(process, targets):
            return f"{_name(process)} (pid {process.name})"
    return None


def free_port() -> int:
    """A port nobody listens on now; somebody may take it before the caller does.

    Below the range that Linux takes the ports of outgoing connections from, of which another
    process may be given any at any moment.
    """
    while True:
        port = random.randrange(_FIRST_FREE, _FIRST_OUTGOING)  # noqa: S311 - no secret
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether one could listen on ``port`` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found


def _holds(process: Path, targets: set[str]) -> bool:
    try:
        return any(str(link.readlink()) in targets for link in (process / "fd").iterdir())
    except OSError:  # ended, or another user's
        return False


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return "a process"
