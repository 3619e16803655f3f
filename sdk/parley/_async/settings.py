"""How the caller keeps a conversation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from parley import _wire
from parley._models import ParticipantSettings

from .here import AsyncHere


class AsyncSettings(AsyncHere):
    """``conversation.settings``: for the caller alone, on all their devices."""

    async def get(self) -> ParticipantSettings:
        """As they are; the defaults when nothing was ever set."""
        request = _wire.read("participant_settings", *self._own())
        rows = await self._services.rest.rows(ParticipantSettings, request)
        return rows[0] if rows else ParticipantSettings.model_validate(self._key())

    async def mute(
        self, *, until: datetime | Literal["infinity"] = "infinity"
    ) -> ParticipantSettings:
        """Nothing here notifies, nor counts in ``unmuted_unread_count``.

        until: With a time zone; ``"infinity"``: for good.
        """
        return await self._set(muted_until=until)

    async def unmute(self) -> ParticipantSettings:
        """Undoes ``mute``."""
        return await self._set(muted_until=None)

    async def pin(self) -> ParticipantSettings:
        """Marks the conversation as pinned in the inbox."""
        return await self._set(is_pinned=True)

    async def unpin(self) -> ParticipantSettings:
        """Undoes ``pin``."""
        return await self._set(is_pinned=False)

    async def archive(self) -> ParticipantSettings:
        """Marks the conversation as archived in the inbox."""
        return await self._set(is_archived=True)

    async def unarchive(self) -> ParticipantSettings:
        """Undoes ``archive``."""
        return await self._set(is_archived=False)

    def _key(self) -> dict[str, _wire.Argument]:
        return {"conversation_id": self._conversation_id, "user_id": self._services.auth.user_id}

    async def _set(self, **columns: _wire.Argument) -> ParticipantSettings:
        rest = self._services.rest
        request = _wire.update("participant_settings", columns, *self._own())
        rows = await rest.rows(ParticipantSettings, request)
        if not rows:
            key = "conversation_id,user_id"
            made = _wire.insert_once("participant_settings", self._key(), on_conflict=key)
            await rest.send(made)
            rows = await rest.rows(ParticipantSettings, request)
        return _wire.only(rows, _wire.conversation_not_found())
