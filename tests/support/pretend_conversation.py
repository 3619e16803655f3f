"""A conversation in memory that numbers, broadcasts and syncs as the database does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from parley._live.snapshot import Snapshot, snapshot_of
from parley._models import Changes

ROOM = UUID("0197d0a0-0000-7000-8000-000000000001")
NOW = datetime(2026, 11, 21, tzinfo=UTC).isoformat()

Row = dict[str, object]
Broadcast = tuple[str, Row]


def person(number: int) -> str:
    return str(UUID(int=number))


class PretendConversation:
    """Rows, their revs, and every broadcast so far by its rev."""

    def __init__(self, people: int = 3) -> None:
        self.rev = self.seq = 0
        self.title = "Tea"
        self.messages: dict[int, Row] = {}
        self.participants: dict[str, Row] = {}
        self.broadcasts: dict[int, Broadcast] = {}
        self.reset_from = 0
        for number in range(1, people + 1):
            self.join(number)

    # What can happen -----------------------------------------------------------------------------

    def send(self, thread_root: int | None = None) -> None:
        self.seq += 1
        self.rev += 1
        row: Row = {
            "conversation_id": str(ROOM),
            "id": str(UUID(int=self.seq)),
            "sender_id": person(1),
            "seq": self.seq,
            "rev": self.rev,
            "created_at": NOW,
            "kind": "text",
            "is_changed": False,
            "body": f"message {self.seq}",
            "thread_root_seq": thread_root,
        }
        self.messages[self.seq] = row
        self._say("message_created", seq=self.seq, message=dict(row))
        if thread_root in self.messages:
            self.messages[thread_root] |= {"is_changed": True, "rev": self.rev}

    def edit(self, seq: int) -> None:
        row = self._touch(seq)
        if row is not None:
            row["body"] = f"edited at {self.rev}"
            self._say("message_updated", seq=seq, message=dict(row))

    def delete(self, seq: int) -> None:
        row = self._touch(seq)
        if row is not None:
            row |= {"body": None, "deleted_at": NOW}
            self._say("message_deleted", seq=seq, deleted_at=NOW)

    def react(self, seq: int, *, is_hollow: bool = False) -> None:
        """``is_hollow``: somebody cannot read the message, and the broadcast says no more."""
        if self._touch(seq) is None:
            return
        more = {} if is_hollow else {"user_id": person(1), "emoji": "+1", "count": 1}
        self._say("reaction_added", seq=seq, **more)

    def read(self, number: int) -> None:
        row = self.participants[person(number)]
        if row["left_at"] is not None or row["last_read_seq"] == self.seq:
            return
        self.rev += 1
        row |= {"last_read_seq": self.seq, "last_delivered_seq": self.seq, "rev": self.rev}
        positions = {key: row[key] for key in ("last_read_seq", "last_delivered_seq")}
        self._say("receipt_moved", user_id=person(number), **positions)

    def join(self, number: int) -> None:
        row = self.participants.get(person(number))
        if row is not None and row["left_at"] is None:
            return
        self.rev += 1
        start: Row = {"last_read_seq": 0, "last_delivered_seq": 0, "joined_at": NOW}
        self.participants[person(number)] = {
            "conversation_id": str(ROOM),
            "tenant_id": str(ROOM),
            "user_id": person(number),
            "role": "member",
            **(row or start),
            "left_at": None,
            "rev": self.rev,
        }
        joined = [{"user_id": person(number), "role": "member"}]
        self._say("participant_joined", participants=joined)

    def leave(self, number: int) -> None:
        row = self.participants[person(number)]
        if row["left_at"] is None:
            self.rev += 1
            row |= {"left_at": NOW, "rev": self.rev}
            self._say("participant_left", user_id=person(number))

    def rename(self) -> None:
        self.rev += 1
        self.title = f"named at {self.rev}"
        self._say("conversation_updated", title=self.title, status="open")

    def purge(self) -> None:
        """Messages go, and what was known of them cannot be told."""
        self.rev += 1
        self.reset_from = self.rev

    # What chat.sync answers ----------------------------------------------------------------------

    def sync(self, cursor: str | None, *, page_size: int = 500, known_seq: int = 0) -> Snapshot:
        known_rev, seq = (0, 0) if cursor is None else map(int, cursor.split("~"))
        is_reset = cursor is None or known_rev < self.reset_from
        rows: list[Row] = []
        rev, until = self.rev, self.seq
        if not is_reset:
            rows, rev, until = self._take(known_rev, seq, page_size)
        elif cursor is not None:
            # What a stream reads besides, from the table.
            rows = [row for row in self.messages.values() if int(str(row["seq"])) > known_seq]
        people = [
            row
            for row in self.participants.values()
            if is_reset or known_rev < int(str(row["rev"])) <= rev
        ]
        answer = {
            "cursor": f"{rev}~{until}",
            "has_more": rev < self.rev or until < self.seq,
            "conversations": [
                {
                    "conversation_id": str(ROOM),
                    "resync": is_reset,
                    "conversation": self._entry(),
                    "participants": people,
                    "messages": rows,
                }
            ],
        }
        changes = Changes.model_validate_json(json.dumps(answer))
        snapshot = snapshot_of(changes, changes.conversations[0])
        assert snapshot is not None
        return snapshot

    def _take(self, known_rev: int, seq: int, page_size: int) -> tuple[list[Row], int, int]:
        """As chat_private.take_sync_step."""
        changed = sorted(
            (
                row
                for number, row in self.messages.items()
                if row["is_changed"] and int(str(row["rev"])) > known_rev and number <= seq
            ),
            key=lambda row: int(str(row["rev"])),
        )[:page_size]
        if len(changed) == page_size:
            return changed, int(str(changed[-1]["rev"])), seq
        until = min(self.seq, seq + page_size - len(changed))
        new = [self.messages[number] for number in range(seq + 1, until + 1)]
        return changed + new, self.rev, until

    def _touch(self, seq: int) -> Row | None:
        row = self.messages.get(seq)
        if row is None or row.get("deleted_at"):
            return None
        self.rev += 1
        row |= {"is_changed": True, "rev": self.rev}
        return row

    def _say(self, event: str, **more: object) -> None:
        payload = {"conversation_id": str(ROOM), "epoch": 1, "rev": self.rev, **more}
        self.broadcasts[self.rev] = (event, json.loads(json.dumps(payload)))

    def _entry(self) -> Row:
        return {
            "conversation_id": str(ROOM),
            "tenant_id": str(ROOM),
            "kind": "group",
            "title": self.title,
            "participant_count": len(self.participants),
            "last_activity_at": NOW,
            "last_seq": self.seq,
            "rev": self.rev,
            "role": "owner",
            "joined_at": NOW,
            "last_read_seq": 0,
            "unread_count": 0,
        }
