"""A short conversation between the seed users alice and bob, with delivery times."""

from __future__ import annotations

import asyncio
import time

from parley import AsyncConversation, AsyncParley, MessageCreated

PASSWORD = "parley-demo"  # noqa: S105 - of the seed users
LINES = (
    ("alice", "Hi Bob, does this thing work?"),
    ("bob", "Loud and clear. Row level security says only we two can read this."),
    ("alice", "And Realtime brought it before I could blink."),
)
DELIVERY_SECONDS = 10.0


async def person(parley: AsyncParley, name: str) -> None:
    """Signs in a seed user."""
    await parley.auth.sign_in_with_password(email=f"{name}@example.com", password=PASSWORD)


async def unread(parley: AsyncParley, room: AsyncConversation) -> int:
    """The unread count that ``parley``'s user sees on ``room``."""
    async for entry in await parley.inbox.list():
        if entry.conversation_id == room.id:
            return entry.unread_count
    raise LookupError(room.id)


async def converse() -> None:
    """Plays and prints the conversation; raises when something did not arrive."""
    async with AsyncParley() as alice, AsyncParley() as bob:
        await asyncio.gather(person(alice, "alice"), person(bob, "bob"))
        print("\nalice and bob are signed in and open their direct conversation.")
        rooms = {
            "alice": await alice.conversations.start_direct("bob"),
            "bob": await bob.conversations.start_direct("alice"),
        }
        async with rooms["alice"].events() as at_alice, rooms["bob"].events() as at_bob:
            for sender, text in LINES:
                receiving = at_bob if sender == "alice" else at_alice
                began = time.perf_counter()
                sent = await rooms[sender].send(text)
                stored = time.perf_counter() - began
                async with asyncio.timeout(DELIVERY_SECONDS):
                    async for event in receiving:
                        if isinstance(event, MessageCreated) and event.message.id == sent.id:
                            break
                delivered = time.perf_counter() - began
                print(
                    f"  {sender:>5}: {text}\n"
                    f"         stored in {stored * 1000:.0f} ms, "
                    f"received live after {delivered * 1000:.0f} ms"
                )
        waiting = await unread(bob, rooms["bob"])
        await rooms["bob"].mark_read()
        left = await unread(bob, rooms["bob"])
        print(f"  bob has {waiting} unread, reads them, and has {left}.\n")
        if left != 0:
            raise AssertionError(f"{left} unread after mark_read")


if __name__ == "__main__":
    asyncio.run(converse())
