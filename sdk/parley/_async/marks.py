"""What one puts on messages: reactions, pins, bookmarks, how far they are read."""

from __future__ import annotations

from parley import _wire
from parley._models import (
    HiddenMessage,
    Message,
    MessageReceipt,
    Participant,
    Pin,
    Reaction,
    Receipt,
    SavedMessage,
    UnreadByParty,
    UserReaction,
)

from .here import optional_seq_of, seq_of
from .messages import AsyncMessages

Reactions = tuple[Reaction, ...]


class AsyncMarks(AsyncMessages):
    """What one marks messages with."""

    async def react(self, message: Message | int, emoji: str) -> tuple[Reaction, ...]:
        """Reacts to a message, and returns all reactions to it.

        emoji: Up to 64 characters without spaces: an emoji, or a name of your own.

        Raises InvalidRequestError (``reactions_emoji_check``), ConflictError
        (``too_many_reactions``), NotFoundError (``message_not_found``).
        """
        request = self._call("react", {"seq": seq_of(message), "emoji": emoji})
        return await self._services.rest.value(Reactions, request)

    async def unreact(self, message: Message | int, emoji: str) -> tuple[Reaction, ...]:
        """Takes one's reaction back, and returns those that are left."""
        request = self._call("unreact", {"seq": seq_of(message), "emoji": emoji})
        return await self._services.rest.value(Reactions, request)

    async def reactions(self, message: Message | int) -> tuple[UserReaction, ...]:
        """Who reacted to a message, and how; first come first."""
        request = _wire.read(
            "reactions",
            self._is_here(),
            _wire.equals("message_seq", seq_of(message)),
            order="created_at.asc,user_id.asc",
        )
        return await self._services.rest.rows(UserReaction, request)

    async def pin(self, message: Message | int) -> Pin:
        """Pins a message for everybody.

        In a direct conversation both may, else owners, admins and moderators.

        Raises PermissionDeniedError (``not_allowed_to_pin``), ConflictError (``too_many_pins``).
        """
        request = self._call("pin_message", {"seq": seq_of(message)})
        return await self._services.rest.one(Pin, request)

    async def unpin(self, message: Message | int) -> None:
        """Unpins a message. Raises PermissionDeniedError (``not_allowed_to_pin``)."""
        await self._services.rest.send(self._call("unpin_message", {"seq": seq_of(message)}))

    async def pins(self) -> tuple[Pin, ...]:
        """What is pinned here, newest first."""
        request = _wire.read("pins", self._is_here(), order="pinned_at.desc,message_seq.desc")
        return await self._services.rest.rows(Pin, request)

    async def save(self, message: Message | int, *, note: str | None = None) -> SavedMessage:
        """Keeps a message for oneself; nobody else sees it. Saving again replaces the note.

        note: 1 to 1,000 characters.
        """
        row: dict[str, _wire.Argument] = {
            "conversation_id": self._conversation_id,
            "message_seq": seq_of(message),
            "user_id": self._services.auth.user_id,
            "note": note,
        }
        request = _wire.upsert(
            "saved_messages", row, on_conflict="conversation_id,message_seq,user_id"
        )
        (saved,) = await self._services.rest.rows(SavedMessage, request)
        return saved

    async def unsave(self, message: Message | int) -> None:
        """Undoes ``save``."""
        seq = _wire.equals("message_seq", seq_of(message))
        await self._services.rest.send(_wire.delete("saved_messages", *self._own(), seq))

    async def hide(self, message: Message | int) -> None:
        """Deletes a message for oneself alone."""
        await self._services.rest.send(self._call("hide_message", {"seq": seq_of(message)}))

    async def unhide(self, message: Message | int) -> None:
        """Undoes ``hide``."""
        await self._services.rest.send(self._call("unhide_message", {"seq": seq_of(message)}))

    async def hidden(self) -> tuple[HiddenMessage, ...]:
        """Which messages the caller has hidden here."""
        request = _wire.read("hidden_messages", *self._own(), order="message_seq.asc")
        return await self._services.rest.rows(HiddenMessage, request)

    async def mark_read(self, up_to: Message | int | None = None) -> Participant:
        """Marks messages as read, and returns the caller's place in the conversation.

        up_to: The last message read; None: all there are. Never moves back.

        Raises NotFoundError (``conversation_not_found``).
        """
        request = self._call("mark_read", {"seq": optional_seq_of(up_to)})
        return await self._services.rest.one(Participant, request)

    async def mark_delivered(self, up_to: Message | int | None = None) -> Participant:
        """Says that messages have reached a device of the caller. As ``mark_read``."""
        request = self._call("mark_delivered", {"seq": optional_seq_of(up_to)})
        return await self._services.rest.one(Participant, request)

    async def mark_unread(self, since: Message | int) -> Participant:
        """Marks a message and everything after it as unread, for the caller alone."""
        request = self._call("mark_unread", {"seq": seq_of(since)})
        return await self._services.rest.one(Participant, request)

    async def receipts(self, message: Message | int) -> tuple[MessageReceipt, ...]:
        """When a message reached each recipient, and was read by them."""
        seq = _wire.equals("seq", seq_of(message))
        request = _wire.read("message_receipts", self._is_here(), seq, order="user_id.asc")
        return await self._services.rest.rows(MessageReceipt, request)

    async def receipt_log(self, *, limit: int = 100) -> tuple[Receipt, ...]:
        """The latest moves of read and delivered positions, newest first."""
        limit = _wire.checked_limit(limit)
        request = _wire.read("receipts", self._is_here(), order="rev.desc,user_id", limit=limit)
        return await self._services.rest.rows(Receipt, request)

    async def unread_by_party(self) -> tuple[UnreadByParty, ...]:
        """How many messages nobody of each party has read yet."""
        request = _wire.read("unread_by_party", self._is_here(), order="party.asc")
        return await self._services.rest.rows(UnreadByParty, request)
