"""Broadcasts, as events. What a broadcast has is in docs/reference/realtime.md."""

from __future__ import annotations

from collections.abc import Mapping

from . import conversation as c
from . import inbox as i

_IN_CONVERSATIONS: dict[str, type[c.ConversationEvent]] = {
    "message_created": c.MessageCreated,
    "message_updated": c.MessageUpdated,
    "message_deleted": c.MessageDeleted,
    "reaction_added": c.ReactionAdded,
    "reaction_removed": c.ReactionRemoved,
    "poll_voted": c.PollVoted,
    "poll_closed": c.PollClosed,
    "message_pinned": c.MessagePinned,
    "message_unpinned": c.MessageUnpinned,
    "attachments_added": c.AttachmentsAdded,
    "receipt_moved": c.ReceiptMoved,
    "participant_joined": c.ParticipantJoined,
    "participant_updated": c.ParticipantUpdated,
    "participant_left": c.ParticipantLeft,
    "conversation_updated": c.ConversationUpdated,
    "retention_changed": c.HistoryChanged,
}
_TO_USERS: dict[str, type[i.InboxEvent]] = {
    "private_changed": i.PrivateChanged,
    "contact_requested": i.ContactChanged,
    "contact_accepted": i.ContactChanged,
    "contact_removed": i.ContactChanged,
    "user_blocked": i.UserBlocked,
    "user_unblocked": i.UserUnblocked,
    "notification_created": i.NotificationCreated,
    "notifications_read": i.NotificationsRead,
}


def rev_of(payload: Mapping[str, object]) -> int | None:
    """The rev of a broadcast, without parsing the rest; None when it has none.

    A message's own is exact even where one statement wrote several.
    """
    message = payload.get("message")
    rev = message.get("rev") if isinstance(message, Mapping) else payload.get("rev")
    return rev if isinstance(rev, int) else None


def parse_event(name: str, payload: Mapping[str, object]) -> c.ConversationEvent | None:
    """The event a broadcast carries; None for kinds this version does not know.

    Raises pydantic's ValidationError when it lacks what its kind should have: about a message that
    not everybody may read it says which one, and no more.
    """
    event_class = _IN_CONVERSATIONS.get(name)
    if event_class is None:
        return None
    return event_class.model_validate({**payload, "rev": rev_of(payload)})


def parse_user_event(name: str, payload: Mapping[str, object]) -> i.InboxEvent | None:
    """As parse_event, of what happens to a user outside of any conversation's order."""
    event_class = _TO_USERS.get(name)
    if event_class is None:
        return None
    if name == "contact_removed":
        payload = {"user_id": payload.get("user_id")}
    return event_class.model_validate(payload)
