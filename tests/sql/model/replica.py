"""A client that knows of its conversations only what ``chat.sync`` told it."""

from __future__ import annotations

from typing import Any

from .sight import Row, Sight

# What a page gives with the messages in it, and what is the user's own, whole.
OF_MESSAGES = ("mentions", "pins")
PRIVATE = ("participant_settings", "drafts", "saved_messages", "thread_reads")
PARTS = ("inbox", "participants", "messages", *OF_MESSAGES, *PRIVATE)


class Replica:
    """What one user's client has stored, and the cursor it has got to."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.rooms: dict[str, dict[str, Any]] = {}

    def apply(self, answer: dict[str, Any]) -> None:
        """Takes in the pages of one call of ``model.sync``, and what was loaded after them."""
        for page in answer["pages"]:
            self.cursor = page["cursor"]
            for room in page["left"]:
                self.rooms.pop(room, None)
            for told in page["conversations"]:
                self._take(told, answer["loaded"])

    def _take(self, told: dict[str, Any], loaded: Sight) -> None:
        if told["resync"]:
            mine = {
                part: [r for r in rows if r["conversation_id"] == told["conversation_id"]]
                for part, rows in loaded.items()
            }
            self.rooms[told["conversation_id"]] = {"participants": {}, "messages": {}}
            told = {**told, **mine}
        room = self.rooms[told["conversation_id"]]
        room["inbox"] = told["conversation"]
        room["participants"] |= {p["user_id"]: p for p in told["participants"]}
        room["private"] = told["private"]
        for message in told["messages"]:
            seq = message["seq"]
            known = room["messages"].get(seq)
            if known is None or known["rev"] <= message["rev"]:
                room["messages"][seq] = message | {
                    part: [r for r in told[part] if r["message_seq"] == seq] for part in OF_MESSAGES
                }
        for seq in told["private"]["hidden_seqs"]:
            room["messages"].pop(seq, None)

    def sight(self, now: str) -> Sight:
        """What the client shows: nothing that has expired."""
        sight: Sight = {part: [] for part in PARTS}
        for room in self.rooms.values():
            messages = {
                seq: m
                for seq, m in room["messages"].items()
                if m["expires_at"] is None or m["expires_at"] > now
            }
            private: dict[str, Any] = room["private"]
            sight["inbox"].append(_short(room["inbox"]))
            sight["participants"] += room["participants"].values()
            sight["messages"] += map(_short, messages.values())
            for part in OF_MESSAGES:
                sight[part] += [row for m in messages.values() for row in m[part]]
            sight["drafts"] += private["drafts"]
            sight["saved_messages"] += [
                r for r in private["saved_messages"] if r["message_seq"] in messages
            ]
            sight["thread_reads"] += [
                r for r in private["thread_reads"] if r["thread_root_seq"] in messages
            ]
            if private["settings"] is not None:
                sight["participant_settings"].append(private["settings"])
        return sight


def _short(row: Row) -> Row:
    """As the other way of looking gives it."""
    short = dict(row)
    if "last_message" in row:
        short["last_message"] = row["last_message"] and row["last_message"]["seq"]
        short["counterpart"] = row["counterpart"] and row["counterpart"]["id"]
    elif row["poll_results"] is not None:
        short["poll_results"] = {k: v for k, v in row["poll_results"].items() if k != "is_closed"}
    return short
