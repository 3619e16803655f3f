"""What the SDK adds to the same requests made with httpx, and to a program's start."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx

from parley import AsyncConversation, AsyncParley, new_id
from parley._async.messages import SELECT
from parley_stack.testing import Stack, start_stack

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 300
WARM_UP = 20
IMPORTS = 9

Work = Callable[[], Awaitable[object]]


async def compare(name: str, ours: Work, theirs: Work) -> None:
    """Prints medians of requests made in turn, so that a busy machine is busy for both."""
    times: dict[Work, list[float]] = {ours: [], theirs: []}
    for number in range(WARM_UP + ROUNDS):
        for work in (ours, theirs):
            began = time.perf_counter()
            await work()
            if number >= WARM_UP:
                times[work].append((time.perf_counter() - began) * 1000)
    sdk, raw = (statistics.median(times[work]) for work in (ours, theirs))
    print(f"{name:<16} {sdk:>8.2f} {raw:>8.2f} {sdk / raw:>6.2f}")


def raw_requests(raw: httpx.AsyncClient, room: str) -> Iterator[Work]:
    """What the SDK asks to send, for a page of the inbox, and for 50 messages."""

    async def send() -> object:
        body = {"conversation_id": room, "body": "hi", "id": str(new_id())}
        return (await raw.post("/rpc/send_message", json=body)).raise_for_status().json()

    async def read(path: str, **params: str) -> object:
        return json.loads((await raw.get(path, params=params)).raise_for_status().content)

    order = "last_activity_at.desc,conversation_id.desc"
    yield send
    yield lambda: read("/inbox", select="*", order=order, limit="31")
    yield lambda: read(
        "/messages", select=SELECT, conversation_id=f"eq.{room}", order="seq.desc", limit="51"
    )


async def measure_requests(stack: Stack) -> None:
    """The table of requests."""
    async with AsyncParley(stack.api_url, stack.publishable_key) as alice:
        await alice.auth.sign_in_with_password(email="alice@example.com", password="parley-demo")  # noqa: S106
        room: AsyncConversation = await alice.conversations.start_direct("bob")
        for number in range(50):
            await room.send(f"message {number}")
        headers = {
            "apikey": stack.publishable_key,
            "Authorization": f"Bearer {alice.auth.access_token}",
            "Accept-Profile": "chat",
            "Content-Profile": "chat",
        }
        ours: tuple[Work, ...] = (lambda: room.send("hi"), alice.inbox.list, room.history)
        base_url = f"{stack.api_url}/rest/v1"
        async with httpx.AsyncClient(base_url=base_url, headers=headers) as raw:
            names = ("send", "inbox", "history of 50")
            for name, mine, theirs in zip(
                names, ours, raw_requests(raw, str(room.id)), strict=True
            ):
                await compare(name, mine, theirs)


def import_seconds(code: str) -> float:
    """Median processor time of a new Python that runs ``code``."""
    run = f"import time; {code}; print(time.process_time())"
    return statistics.median(
        float(subprocess.run([sys.executable, "-c", run], capture_output=True, check=True).stdout)
        for _ in range(IMPORTS)
    )


def main() -> None:
    """Measures and prints."""
    stack = start_stack(ROOT, "--ephemeral")
    try:
        print(f"{'median ms':<16} {'SDK':>8} {'httpx':>8} {'ratio':>6}")
        asyncio.run(measure_requests(stack))
    finally:
        stack.stop()
    ours = import_seconds("from parley import AsyncParley")
    theirs = import_seconds("import httpx, pydantic")
    print(f"{'import':<16} {ours * 1000:>8.0f} {theirs * 1000:>8.0f} {ours / theirs:>6.2f}")


if __name__ == "__main__":
    main()
