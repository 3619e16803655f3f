"""The files of a conversation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from pydantic import JsonValue

from parley import _wire
from parley._compat import async_write
from parley._errors import InvalidRequestError
from parley._files import File, Progress, ReadyFile, check_allowed, made_ready, target_of
from parley._ids import new_id
from parley._models import Attachment, Message, TenantSettings

from .here import AsyncHere, optional_seq_of, seq_of
from .messages import message_arguments
from .page import AsyncPage

if TYPE_CHECKING:
    from .services import Services

_NEWEST_FIRST: Final = _wire.Keyset(("message_seq", "position"), (int, int))


class AsyncAttachments(AsyncHere):
    """``conversation.attachments``."""

    def __init__(self, services: Services, conversation_id: UUID, tenant_id: UUID) -> None:
        super().__init__(services, conversation_id)
        self._tenant_id = tenant_id

    async def send(
        self,
        files: Iterable[File | Path | str],
        *,
        body: str | None = None,
        id: UUID | str | None = None,
        kind: str | None = None,
        metadata: Mapping[str, JsonValue] | None = None,
        reply_to: Message | int | None = None,
        thread: Message | int | None = None,
        mentions: Iterable[UUID | str] = (),
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Message:
        """Uploads files, one after the other, and sends a message with them.

        files: Up to ten: paths, or File for more. Size and type are checked here first, then by
            the server.
        kind: ``image``, ``audio``, ``video`` or ``file``; default: what all files are.
        on_progress: Called after each piece of 64 KiB.

        Raises InvalidRequestError (``attachment_too_large``, ``attachment_type_not_allowed``,
        ``too_many_attachments``, ``attachments_required``) and what ``conversation.send`` raises.
        """
        ready = made_ready(files)
        chosen = message_arguments(
            body,
            id,
            "attachments",
            metadata,
            optional_seq_of(reply_to),
            optional_seq_of(thread),
            mentions,
        )
        await self._check(ready)
        attached: list[_wire.Argument] = []
        for file in ready:
            path = f"{self._tenant_id}/{self._conversation_id}/{new_id()}/{file.safe_name}"
            await self._services.storage.upload(path, file, on_progress)
            attached.append(_described(path, file))
        arguments = {**chosen, "kind": kind, "attachments": attached}
        request = self._call("send_attachments", arguments)
        return await self._services.rest.one(Message, request)

    async def list(self, *, limit: int = 50, cursor: str | None = None) -> AsyncPage[Attachment]:
        """The files of all messages, newest first. limit: How many a page holds, up to 500."""
        return await self._services.rest.page(
            Attachment, _NEWEST_FIRST, self._is_here(), limit=limit, cursor=cursor
        )

    async def of(self, message: Message | int) -> tuple[Attachment, ...]:
        """The files of one message, in order."""
        seq = _wire.equals("message_seq", seq_of(message))
        request = _wire.read("attachments", self._is_here(), seq, order="position.asc")
        return await self._services.rest.rows(Attachment, request)

    async def url(
        self, attachment: Attachment, *, expires_in: int = 3600, download: bool = False
    ) -> str:
        """An address by which anybody who has it can read the file for a while.

        expires_in: Seconds.
        download: Whether a browser should save it instead of showing it.

        Raises NotFoundError when the caller cannot read the message.
        """
        if expires_in < 1:
            raise InvalidRequestError("`expires_in` is not positive.", hint="Give seconds.")
        name = attachment.name if download else None
        return await self._services.storage.sign(attachment.path, expires_in, name)

    def stream(
        self, attachment: Attachment, *, on_progress: Callable[[Progress], None] | None = None
    ) -> AsyncIterator[bytes]:
        """The content, piece by piece. Raises NotFoundError when it may not be read."""
        return self._services.storage.pieces(attachment.path, attachment.name, on_progress)

    async def read(self, attachment: Attachment) -> bytes:
        """The content at once. As ``stream``."""
        return b"".join([piece async for piece in self.stream(attachment)])

    async def save(
        self,
        attachment: Attachment,
        to: Path | str,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Path:
        """Writes the content to a file, and returns its path. As ``stream``.

        to: The file, or a folder, where it gets the attachment's name.
        """
        path = target_of(to, attachment.name)
        part = path.with_name(path.name + ".part")
        with part.open("wb") as target:
            async for piece in self.stream(attachment, on_progress=on_progress):
                await async_write(target, piece)
        return part.replace(path)

    async def _check(self, files: Iterable[ReadyFile]) -> None:
        key = _wire.equals("tenant_id", self._tenant_id)
        rows = await self._services.rest.rows(TenantSettings, _wire.read("settings", key))
        if rows:
            check_allowed([*files], rows[0])


def _described(path: str, file: ReadyFile) -> dict[str, _wire.Argument]:
    more = {
        "width": file.file.width,
        "height": file.file.height,
        "duration_seconds": file.file.duration_seconds,
    }
    given = {key: value for key, value in more.items() if value is not None}
    return {"path": path, "name": file.name, **given}
