"""The tests of the objects are a sample application too: it uses every method, and is typed."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import parley
from support.stacks import ROOT

SAMPLE = [ROOT / "tests/sdk" / f"test_{name}.py" for name in (
    "auth", "objects", "conversations", "messages", "events", "inbox_events", "sample",
)]  # fmt: skip


def test_every_method_is_used() -> None:
    used = {
        node.attr
        for path in SAMPLE
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
    }
    unused = {
        f"{name}.{method}"
        for name in parley.__all__
        if name.startswith("Async")
        for method, _ in inspect.getmembers(getattr(parley, name), inspect.isfunction)
        if not method.startswith("_") and method not in used
    }
    assert unused - INTERNAL == set()


# For the rest of the SDK, in a section of that name.
INTERNAL = {"AsyncAuth.token"}


async def use_the_rest(client: parley.AsyncParley, room: parley.AsyncConversation) -> None:
    """What other tests use by other names."""
    await client.auth.sign_up("a@example.com", "secret", username="a")
    outbox = client.outbox("outbox.sqlite")
    chosen = outbox.put(room.id, "hello")
    outbox.retry(chosen)
    sent: tuple[parley.Message, ...] = await outbox.send()
    waiting: tuple[parley.Waiting, ...] = outbox.waiting()
    outbox.discard(waiting[0].id if waiting else sent[0].id)
    await outbox.aclose()
    rows = await client.table("inbox").select("*").execute()
    count = await client.rpc("count_unread_notifications").execute()
    print(rows.data, count.data)
    async for piece in room.attachments.stream((await room.attachments.of(1))[0]):
        print(len(piece))
    hits: parley.AsyncPage[parley.SearchHit] = await client.search.messages("x")
    print(await hits.next_page(), await client.notifications.mark_all_read(up_to=1))
    changes: parley.Changes = await client.inbox.sync()
    print(changes.cursor)


def test_the_sample_passes_the_strictest_type_check() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, SAMPLE)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
