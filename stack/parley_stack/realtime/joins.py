"""The payload of ``phx_join``, read with the leniency of the official server.

A field of the wrong type falls back to its default and the join goes on; booleans may arrive as
strings. Source: Supabase Realtime protocol, section 3.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .wire import to_json

_ID_MASK = (1 << 27) - 1


@dataclass(frozen=True, slots=True)
class JoinConfig:
    """What a client asks of a channel.

    ``token`` is None when the client gave none; ``replay`` is as it came; ``changes`` are its
    postgres_changes bindings in order and as they came.
    """

    token: str | None = None
    is_private: bool = False
    acknowledges: bool = False
    echoes: bool = False
    wants_replication_ready: bool = False
    replay: object = None
    has_presence: bool = False
    presence_key: str = ""
    changes: tuple[Mapping[str, Any], ...] = ()


def read_join(payload: Mapping[str, Any]) -> JoinConfig:
    """The configuration in a join's payload; never fails."""
    config = _mapping(payload.get("config"))
    broadcast = _mapping(config.get("broadcast"))
    presence = _mapping(config.get("presence"))
    changes = config.get("postgres_changes")
    key = presence.get("key")
    return JoinConfig(
        token=_token(payload),
        is_private=_boolean(config.get("private")),
        acknowledges=_boolean(broadcast.get("ack")),
        echoes=_boolean(broadcast.get("self")),
        wants_replication_ready=_boolean(broadcast.get("replication_ready")),
        replay=broadcast.get("replay"),
        has_presence=_boolean(presence.get("enabled")),
        presence_key=key if isinstance(key, str) else "",
        changes=tuple(item for item in changes if isinstance(item, Mapping))
        if isinstance(changes, list)
        else (),
    )


def number_changes(changes: tuple[Mapping[str, Any], ...]) -> list[dict[str, Any]]:
    """Each binding with a truthy integer ``id``: equal for equal bindings, else distinct."""
    taken: dict[int, bytes] = {}
    numbered = []
    for change in changes:
        text = to_json(dict(sorted(change.items())))
        number = zlib.crc32(text) & _ID_MASK
        while number == 0 or taken.setdefault(number, text) != text:
            number = (number + 1) & _ID_MASK
        numbered.append({**change, "id": number})
    return numbered


def _token(payload: Mapping[str, Any]) -> str | None:
    for name in ("user_token", "access_token"):
        token = payload.get(name)
        if isinstance(token, str):
            return token
    return None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _boolean(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
