"""Rows committed to ``realtime.messages``, as broadcasts.

Rows without topic, event, private flag or payload are skipped, as are payloads over the limit.
Row security is not asked again: a channel's read policy was, when it was joined.
Source: Supabase Realtime protocol, section 6.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from . import pgoutput
from .broadcasts import EventBroadcast
from .wire import to_json

_log = logging.getLogger(__name__)

PUBLICATION = "supabase_realtime_messages_publication"

Deliver = Callable[[bool, str, EventBroadcast], None]
"""Called with the private flag, the topic without prefix, and the broadcast."""


class MessagesFeed:
    """Turns the replication stream of the messages publication into broadcasts."""

    def __init__(self, deliver: Deliver, max_payload_bytes: int) -> None:
        self._deliver = deliver
        self._max_payload_bytes = max_payload_bytes
        self._relations: dict[int, pgoutput.Relation] = {}

    def begin(self) -> None:
        """Forget the relations of an earlier stream."""
        self._relations.clear()

    def receive(self, data: bytes) -> None:
        """One pgoutput message. Raises PgoutputError."""
        message = pgoutput.decode(data)
        if isinstance(message, pgoutput.Relation):
            self._relations[message.oid] = message
        elif isinstance(message, pgoutput.Insert):
            relation = self._relations.get(message.relation_oid)
            if relation is None:
                raise pgoutput.PgoutputError("a row of a table that was not announced")
            self._insert(relation.row(message.new))

    def _insert(self, row: Mapping[str, pgoutput.Value]) -> None:
        topic, event, private = row.get("topic"), row.get("event"), row.get("private")
        body = _body(row)
        if not (isinstance(topic, str) and isinstance(event, str) and body and private):
            return
        data, is_json = body
        if len(data) > self._max_payload_bytes:
            _log.warning("a row of realtime.messages is larger than the payload limit")
            return
        meta = to_json({"id": row.get("id")})
        self._deliver(private == "t", topic, EventBroadcast(event, data, is_json, meta))


def _body(row: Mapping[str, pgoutput.Value]) -> tuple[bytes, bool] | None:
    """The payload and whether it is JSON."""
    payload, binary = row.get("payload"), row.get("binary_payload")
    if isinstance(payload, str):
        return payload.encode(), True
    if isinstance(binary, str) and binary.startswith("\\x"):
        return bytes.fromhex(binary[2:]), False
    return None
