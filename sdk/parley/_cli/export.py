"""``parley export``: conversations as files, or everything of the user.

Each conversation is a folder named by its id, with ``conversation.json``, ``participants.jsonl``
and ``messages.jsonl``: a JSON object a line, oldest first, as the SDK's models have them. An export
that was interrupted goes on with the messages that are missing.

With ``--personal`` it is one folder with what is the user's own, as the backend writes it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from parley import AsyncConversation, AsyncParley, Message, PersonalExport, Progress

from .text import bar

_PAGE = 500


async def export(
    parley: AsyncParley, ids: Sequence[str], folder: Path, *, with_files: bool
) -> None:
    """Writes conversations, all of the user's without ``ids``."""
    if not ids:
        ids = [str(entry.conversation_id) async for entry in await parley.inbox.list(limit=100)]
    total = 0
    for conversation_id in ids:
        room = await parley.conversations.get(conversation_id)
        total += await _export_one(room, folder / str(room.id), with_files=with_files)
    print(f"{total} messages of {len(ids)} conversations written to {folder}")


async def export_personal(parley: AsyncParley, folder: Path) -> None:
    """Has everything of the user written, and saves it."""
    written = await parley.exports.write(on_progress=_show_written)
    path = await parley.exports.save(written, folder, on_progress=_show_saved)
    _show(1, 1, "saved", end="\n")
    print(f"{written.row_count} rows written to {path}, and {written.file_count} files beside it")


def _show_written(export: PersonalExport) -> None:
    if sys.stderr.isatty():
        text = f"{export.row_count} rows and {export.file_count} files are ready ..."
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _show_saved(progress: Progress) -> None:
    _show(progress.done_bytes, progress.total_bytes or 0, Path(progress.name).name)


async def _export_one(room: AsyncConversation, folder: Path, *, with_files: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "conversation.json", [room.info.model_dump_json()])
    people = await room.participants.list(limit=_PAGE, with_former=True)
    _write(folder / "participants.jsonl", [person.model_dump_json() async for person in people])
    path = folder / "messages.jsonl"
    seq, count = _last_seq(path), 0
    label = room.title or str(room.id)
    with path.open("a", encoding="utf-8") as target:
        async for message in await room.history(after=seq, limit=_PAGE):
            target.write(message.model_dump_json() + "\n")
            count += 1
            if with_files:
                await _save_files(room, message, folder / "files")
            if count % _PAGE == 0:
                target.flush()
                _show(message.seq, room.info.last_seq, label)
    _show(room.info.last_seq, room.info.last_seq, label, end="\n")
    return count


async def _save_files(room: AsyncConversation, message: Message, folder: Path) -> None:
    for attachment in message.attachments or ():
        folder.mkdir(exist_ok=True)
        ending = Path(attachment.name).suffix
        target = folder / f"{message.seq}-{attachment.position}{ending}"
        if not target.exists():
            await room.attachments.save(attachment, target)


def _last_seq(path: Path) -> int:
    """The last message that was written whole; what follows it is cut off."""
    if not path.exists():
        return 0
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        path.write_bytes(whole)
    lines = whole.splitlines()
    return int(json.loads(lines[-1])["seq"]) if lines else 0


def _write(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def _show(done: int, total: int, label: str, *, end: str = "") -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{bar(done, total, label)}", end=end, file=sys.stderr, flush=True)
