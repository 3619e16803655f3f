"""``parley chat``: a conversation, live."""

from __future__ import annotations

import asyncio
from uuid import UUID

from parley import (
    AsyncConversation,
    AsyncParley,
    ConversationEvent,
    EventStream,
    Message,
    MessageCreated,
    MessageDeleted,
    MessageUpdated,
    ParleyError,
    ParticipantJoined,
    ParticipantLeft,
    ReactionAdded,
    ReceiptMoved,
    Typing,
)
from parley._ids import is_uuid_text

from .terminal import Terminal
from .text import DIM, PLAIN, clock, colour, content


async def chat(parley: AsyncParley, with_: str, *, last: int) -> None:
    """Shows the last messages, then what happens, and sends what is written."""
    conversations = parley.conversations
    if is_uuid_text(with_):
        room = await conversations.get(with_)
    else:
        room = await conversations.start_direct(with_)
    view = _View(parley, room)
    await view.learn_names()
    async with room.events() as events, room.typing() as typing:
        view.typing = typing
        with view.terminal:
            for message in reversed((await room.history(limit=max(last, 1))).items):
                view.show(message)
            await room.mark_read()
            writing = asyncio.create_task(view.write())
            watching = asyncio.create_task(view.watch_typing(typing))
            listening = asyncio.create_task(_listen(view, events))
            tasks = {writing, watching, listening}
            done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            for task in done:
                task.result()


async def _listen(view: _View, events: EventStream) -> None:
    async for event in events:
        await view.happened(event)


class _View:
    """One conversation in one terminal."""

    def __init__(self, parley: AsyncParley, room: AsyncConversation) -> None:
        self.terminal = Terminal(self._key)
        self.typing: Typing | None = None
        self._parley = parley
        self._room = room
        self._me = parley.auth.user_id
        self._names: dict[UUID, str] = {}
        self._sent_seq = 0
        self._saying: asyncio.Task[None] | None = None

    async def learn_names(self) -> None:
        """Who is who."""
        async for participant in await self._room.participants.list(limit=500):
            await self._learn(participant.user_id)

    async def write(self) -> None:
        """Sends each line; ends with the input."""
        while (line := await self.terminal.line()) is not None:
            if not line.strip():
                continue
            try:
                await self._room.send(line)
            except ParleyError as error:
                self.terminal.show(f"! {error}")

    async def watch_typing(self, typing: Typing) -> None:
        """Shows who is typing."""
        async for people in typing:
            names = ", ".join(sorted(self._name(person) for person in people))
            self.terminal.set_status(f"{names} … " if names else "")

    async def happened(self, event: ConversationEvent) -> None:
        """Shows what happened."""
        if isinstance(event, MessageCreated):
            self.show(event.message)
            if event.message.sender_id == self._me:
                self._sent_seq = event.message.seq
            else:
                await self._room.mark_read(event.message)
        elif isinstance(event, MessageUpdated):
            if event.message.edited_at is not None:
                self.note(f"message {event.message.seq} now says: {content(event.message)}")
        elif isinstance(event, MessageDeleted):
            self.note(f"message {event.seq} was deleted")
        elif isinstance(event, ReactionAdded):
            self.note(f"{self._name(event.user_id)} reacted to {event.seq}: {event.emoji}")
        elif isinstance(event, ReceiptMoved):
            if event.user_id != self._me and 0 < self._sent_seq <= event.last_read_seq:
                self._sent_seq = 0
                self.note(f"✓ read by {self._name(event.user_id)}")
        elif isinstance(event, ParticipantJoined):
            for joined in event.participants:
                await self._learn(joined.user_id)
                self.note(f"{self._name(joined.user_id)} is here")
        elif isinstance(event, ParticipantLeft):
            self.note(f"{self._name(event.user_id)} has left")

    def show(self, message: Message) -> None:
        """Shows a message."""
        name = "system" if message.sender_id is None else self._name(message.sender_id)
        name = colour(name, is_used=self.terminal.is_tty)
        self.terminal.show(f"{clock(message.created_at)} {name}: {content(message)}")

    def note(self, text: str) -> None:
        """Shows something that is no message."""
        self.terminal.show(f"{DIM}{text}{PLAIN}" if self.terminal.is_tty else f"* {text}")

    def _key(self) -> None:
        if self.typing is not None and (self._saying is None or self._saying.done()):
            self._saying = asyncio.create_task(self.typing.say())

    def _name(self, user_id: UUID) -> str:
        return "you" if user_id == self._me else self._names.get(user_id, str(user_id)[:8])

    async def _learn(self, user_id: UUID) -> None:
        if user_id not in self._names:
            profile = await self._parley.search.profile(user_id)
            self._names[user_id] = profile.display_name or profile.username
