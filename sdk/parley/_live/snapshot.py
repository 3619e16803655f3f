"""Where a conversation stands, as ``chat.sync`` tells it. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

from parley._models import (
    Attachment,
    Changes,
    ConversationChanges,
    InboxEntry,
    Message,
    Participant,
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one answer of sync says of one conversation.

    rev, seq: How far the conversation has come.
    cursor: To ask for what comes after it.
    is_reset: Forget what is known: the changes since the last cursor cannot be told.
    has_more: There are more of the messages.
    messages: Those that are new or changed, by ``seq``, as they are now.
    participants: The rows that changed; with ``is_reset``, or without a cursor, all.
    """

    conversation: InboxEntry
    cursor: str
    is_reset: bool
    has_more: bool
    messages: tuple[Message, ...] = ()
    participants: tuple[Participant, ...] = ()

    @property
    def rev(self) -> int:
        """The conversation's last change."""
        return self.conversation.rev

    @property
    def seq(self) -> int:
        """The conversation's last message."""
        return self.conversation.last_seq


def snapshot_of(changes: Changes, part: ConversationChanges) -> Snapshot | None:
    """One conversation's part of an answer; None when it went away meanwhile."""
    if part.conversation is None:
        return None
    files: dict[int, list[Attachment]] = {message.seq: [] for message in part.messages}
    for attachment in part.attachments:
        files[attachment.message_seq].append(attachment)
    return Snapshot(
        conversation=part.conversation,
        cursor=changes.cursor,
        is_reset=part.resync,
        has_more=changes.has_more,
        messages=tuple(
            message.model_copy(update={"attachments": tuple(files[message.seq])})
            for message in part.messages
        ),
        participants=part.participants,
    )
