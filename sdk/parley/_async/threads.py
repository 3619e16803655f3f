"""Following the threads of a conversation."""

from __future__ import annotations

from parley import _wire
from parley._models import Message, ThreadRead

from .here import AsyncHere, optional_seq_of, seq_of


class AsyncThreads(AsyncHere):
    """``conversation.threads``; ``parley.inbox.threads`` lists those of all conversations."""

    async def list(self) -> tuple[ThreadRead, ...]:
        """How far the caller has read each thread here."""
        request = _wire.read("thread_reads", *self._own(), order="thread_root_seq.asc")
        return await self._services.rest.rows(ThreadRead, request)

    async def follow(self, root: Message | int) -> ThreadRead:
        """Puts the thread of a message among the caller's threads."""
        request = self._call("follow_thread", {"root_seq": seq_of(root)})
        return await self._services.rest.one(ThreadRead, request)

    async def unfollow(self, root: Message | int) -> ThreadRead:
        """Takes it away, until the caller writes in it again."""
        request = self._call("unfollow_thread", {"root_seq": seq_of(root)})
        return await self._services.rest.one(ThreadRead, request)

    async def mark_read(
        self, root: Message | int, *, up_to: Message | int | None = None
    ) -> ThreadRead:
        """Marks a thread as read up to a message; None: the whole. Nobody else learns of it."""
        seqs = {"root_seq": seq_of(root), "seq": optional_seq_of(up_to)}
        request = self._call("mark_thread_read", seqs)
        return await self._services.rest.one(ThreadRead, request)
