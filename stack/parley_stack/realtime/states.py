"""States of sockets and channels, and which may follow which."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar


class SocketState(Enum):
    """A WebSocket connection from its first byte to its last."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class ChannelState(Enum):
    """One topic on one socket. A closed channel never comes back; a rejoin makes a new one."""

    JOINING = "joining"
    JOINED = "joined"
    CLOSED = "closed"


_State = TypeVar("_State", SocketState, ChannelState)

_FOLLOWS: dict[Enum, frozenset[Enum]] = {
    SocketState.HANDSHAKE: frozenset({SocketState.OPEN, SocketState.CLOSING, SocketState.CLOSED}),
    SocketState.OPEN: frozenset({SocketState.CLOSING, SocketState.CLOSED}),
    SocketState.CLOSING: frozenset({SocketState.CLOSED}),
    SocketState.CLOSED: frozenset(),
    ChannelState.JOINING: frozenset({ChannelState.JOINED, ChannelState.CLOSED}),
    ChannelState.JOINED: frozenset({ChannelState.CLOSED}),
    ChannelState.CLOSED: frozenset(),
}


class IllegalTransitionError(RuntimeError):
    """A state was asked to change to one that may not follow it: a bug in this package."""


def advance(current: _State, new: _State) -> _State:
    """``new``, if it may follow ``current``. Raises IllegalTransitionError."""
    allowed = _FOLLOWS[current]
    if new not in allowed:
        expected = ", ".join(sorted(state.name for state in allowed)) or "nothing"
        raise IllegalTransitionError(
            f"after {current.name} expected {expected}, but got {new.name}"
        )
    return new
