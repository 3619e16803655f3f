"""Files, through the Storage API, as any client's."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

import httpx
import psycopg

from .errors import ImportFailed
from .progress import Progress

_BUCKET = "chat-attachments"
_PAGE = 100
_AT_ONCE = 4
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Bucket:
    """Where files go, and the folder or address below which they are."""

    url: str
    secret_key: str
    files: str = ""

    def client(self) -> httpx.Client:
        """Of the Storage API."""
        return httpx.Client(
            base_url=f"{self.url.rstrip('/')}/object/",
            headers={"apikey": self.secret_key, "Authorization": f"Bearer {self.secret_key}"},
            timeout=_TIMEOUT_SECONDS,
        )


def read_file(bucket: Bucket, address: str) -> bytes:
    """The bytes of an address in the source. Raises ValueError, OSError or httpx.HTTPError.

    Only from below what was given: addresses are what users of the old application wrote, and
    could name anything that this machine can reach.
    """
    if address.startswith("data:"):
        head, _, data = address.partition(",")
        return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)
    if bucket.files.startswith(("https://", "http://")):
        base = bucket.files.rstrip("/") + "/"
        whole = address if "://" in address else base + address.lstrip("/")
        if not whole.startswith(base) or ".." in whole:
            raise ValueError(f"not below {base}")
        got = httpx.get(whole, timeout=_TIMEOUT_SECONDS)
        got.raise_for_status()
        return got.content
    folder = Path(bucket.files).resolve()
    path = (folder / address.lstrip("/")).resolve()
    if not bucket.files or not path.is_relative_to(folder):
        raise ValueError("not below --files")
    return path.read_bytes()


def upload_files(connection: psycopg.Connection, bucket: Bucket) -> None:
    """Uploads what is not in the bucket yet; raises at the end when some could not be."""
    row = connection.execute(
        "select count(*) from parley_import.found_files as f where not exists"
        " (select from parley_import.uploads as u where u.external_id = f.external_id)"
    ).fetchone()
    assert row is not None
    progress = Progress("files", row[0])
    failures: list[str] = []
    last = ""
    with bucket.client() as client, ThreadPoolExecutor(_AT_ONCE) as pool:
        while page := connection.execute(
            "select f.external_id, f.address, f.path, f.mime_type from parley_import.found_files"
            " as f where f.external_id > %s and not exists (select from parley_import.uploads as u"
            " where u.external_id = f.external_id) order by f.external_id limit %s",
            (last, _PAGE),
        ).fetchall():
            last = page[-1][0]
            done = [
                (row[0], pool.submit(_upload, client, bucket, row[1], row[2], row[3]))
                for row in page
            ]
            for external_id, each in done:
                try:
                    size, digest = each.result()
                except (ValueError, OSError, httpx.HTTPError) as error:
                    failures.append(f"{external_id}: {error}")
                else:
                    _attach(connection, external_id, size, digest)
                progress.add(1)
    if failures:
        raise ImportFailed(
            f"{len(failures)} files could not be uploaded.",
            "Mend what the list says, then run apply again; or plan with --on files=link.",
            failures[:20],
        )


def _upload(
    client: httpx.Client, bucket: Bucket, address: str, path: str, mime_type: str
) -> tuple[int, str]:
    content = read_file(bucket, address)
    # Over one that a killed run left, the same.
    client.post(
        f"{_BUCKET}/{quote(path)}",
        content=content,
        headers={"Content-Type": mime_type, "x-upsert": "true"},
    ).raise_for_status()
    return len(content), hashlib.sha256(content).hexdigest()


def _attach(connection: psycopg.Connection, external_id: str, size: int, digest: str) -> None:
    with connection.transaction():
        connection.execute(
            "insert into chat.attachments (conversation_id, message_seq, position, path, name,"
            " mime_type, size_bytes, sha256, width, height, created_at)"
            " select f.conversation_id, f.seq, f.number, f.path, f.name, f.mime_type, %s, %s,"
            " f.width, f.height, m.created_at from parley_import.found_files as f"
            " inner join chat.messages as m"
            " on f.conversation_id = m.conversation_id and f.seq = m.seq"
            " where f.external_id = %s on conflict do nothing",
            (size, digest, external_id),
        )
        connection.execute(
            "insert into parley_import.uploads (external_id, path, sha256)"
            " select f.external_id, f.path, %s from parley_import.found_files as f"
            " where f.external_id = %s",
            (digest, external_id),
        )


def remove_files(connection: psycopg.Connection, bucket: Bucket) -> None:
    """Takes out of the bucket what the import put there."""
    with bucket.client() as client:
        while page := connection.execute(
            "select external_id, path from parley_import.uploads order by 1 limit %s", (_PAGE,)
        ).fetchall():
            client.request(
                "DELETE", _BUCKET, json={"prefixes": [path for _, path in page]}
            ).raise_for_status()
            connection.execute(
                "delete from parley_import.uploads where external_id = any(%s)",
                ([external_id for external_id, _ in page],),
            )
