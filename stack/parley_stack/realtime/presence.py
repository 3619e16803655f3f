"""Who is present on which topic, and what the others are told of it.

A channel has at most one presence: a meta under its key. Channels may share a key, which then has
several metas. What changes in one turn of the event loop is told as one diff, so that an update is
never seen as a leave and a join, and a server that stops does not tell everyone of everyone.
Source: Supabase Realtime protocol, section 7.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .broadcasts import PREFIX
from .topics import TopicKey, Topics
from .wire import Wire, raw_push, to_json

if TYPE_CHECKING:
    from .channel import Channel

State = dict[str, dict[str, list[Mapping[str, Any]]]]
"""Metas by key, as the protocol has them."""

_REF_BYTES = 12


@dataclass(frozen=True, slots=True)
class _Presence:
    key: str
    content: str
    """The payload in a form that is equal for equal payloads only."""
    meta: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PresenceDiff:
    """Presences that came and went; clients add the first before they take the others away."""

    joins: State
    leaves: State

    def encode(self, wire: Wire, topic: str) -> bytes:
        """The frame; ``topic`` without prefix."""
        payload = to_json({"joins": self.joins, "leaves": self.leaves})
        return raw_push(wire, None, PREFIX + topic, "presence_diff", payload)


@dataclass(slots=True)
class _Group:
    """One topic: who is there now, and what has not been told yet."""

    present: dict[Channel, _Presence] = field(default_factory=dict)
    joined: list[_Presence] = field(default_factory=list)
    left: list[_Presence] = field(default_factory=list)
    is_due: bool = False


class Presences:
    """The presences of all topics. Used on one event loop."""

    def __init__(self) -> None:
        self._groups: dict[TopicKey, _Group] = {}
        self._listeners = Topics()

    def listen(self, key: TopicKey, channel: Channel) -> State:
        """Tell ``channel`` every change from now on. What is there now."""
        self._flush(key)
        self._listeners.add(key, channel)
        group = self._groups.get(key)
        return _state(group.present.values()) if group else {}

    def track(self, key: TopicKey, channel: Channel, name: str, payload: dict[str, Any]) -> None:
        """Make ``channel`` present as ``name``, or change what it says; the same again is nothing.

        Every meta has a reference that is never used again: clients tell metas apart by it.
        """
        group = self._groups.setdefault(key, _Group())
        before = group.present.get(channel)
        content = json.dumps(payload, sort_keys=True)
        if before is not None and before.content == content:
            return
        refs = {"phx_ref": secrets.token_urlsafe(_REF_BYTES)}
        if before is not None:
            refs["phx_ref_prev"] = before.meta["phx_ref"]
            group.left.append(before)
        shown = {name: value for name, value in payload.items() if name != "phx_ref_prev"}
        group.present[channel] = _Presence(name, content, {**shown, **refs})
        group.joined.append(group.present[channel])
        self._tell_soon(key, group)

    def untrack(self, key: TopicKey, channel: Channel) -> None:
        """Make ``channel`` absent; harmless if it is."""
        group = self._groups.get(key)
        before = group.present.pop(channel, None) if group else None
        if group is not None and before is not None:
            group.left.append(before)
            self._tell_soon(key, group)

    def leave(self, key: TopicKey, channel: Channel) -> None:
        """Make ``channel`` absent and tell it nothing more."""
        self._listeners.discard(key, channel)
        self.untrack(key, channel)

    def _tell_soon(self, key: TopicKey, group: _Group) -> None:
        if not group.is_due:
            group.is_due = True
            asyncio.get_running_loop().call_soon(self._flush, key)

    def _flush(self, key: TopicKey) -> None:
        group = self._groups.get(key)
        if group is None:
            return
        if group.joined or group.left:
            diff = PresenceDiff(_state(group.joined), _state(group.left))
            group.joined, group.left, group.is_due = [], [], False
            self._listeners.deliver(key, diff)
        if not group.present:
            del self._groups[key]


def _state(presences: Iterable[_Presence]) -> State:
    state: State = {}
    for presence in presences:
        state.setdefault(presence.key, {"metas": []})["metas"].append(presence.meta)
    return state
