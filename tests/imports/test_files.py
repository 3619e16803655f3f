"""Files of an import go through the Storage API, and come back out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from importer.bucket import Bucket, read_file
from importer.errors import ImportFailed

from parley_stack.testing import Database, Stack
from support.storage import storage_client

from .world import CAREFUL, LEGACY, World

PNG = b"\x89PNG\r\n\x1a\n" + bytes(59)
UPLOADING = {**CAREFUL, "files": "upload"}


@pytest.fixture
def there(stack: Stack, tmp_path: Path) -> Iterator[World]:
    """In the database that the stack's Storage serves: two people, a picture in every hundredth."""
    with psycopg.connect(stack.db_url, autocommit=True) as owner:
        owner.execute("create schema old_files")
        ids = [f"00000000-0000-4000-9000-00000000000{number}" for number in (1, 2)]
        try:
            with owner.transaction():
                owner.execute("set local search_path = old_files")
                for name, value in (("messages", "300"), ("people", "2"), ("dirt", "false")):
                    owner.execute("select set_config(%s, %s, true)", (f"legacy.{name}", value))
                owner.execute((LEGACY / "direct_messages.sql").read_text().encode())
                for number, user_id in enumerate(ids, 1):
                    owner.execute(
                        "insert into auth.users (id, aud, role, email, email_confirmed_at)"
                        " values (%s, 'authenticated', 'authenticated', %s, now())",
                        (user_id, f"person{number}@example.com"),
                    )
            (tmp_path / "uploads").mkdir()
            for number in (101, 202):
                (tmp_path / "uploads" / f"{number}.png").write_bytes(PNG + bytes([number]))
            yield World(Database(stack.db_url, owner), "direct_messages", tmp_path, "old_files")
        finally:
            owner.execute("drop schema if exists parley_import cascade")
            owner.execute("drop schema old_files cascade")
            owner.execute("delete from auth.users where id = any(%s)", (ids,))


def _objects(stack: Stack, there: World) -> list[bytes]:
    with storage_client(stack, stack.secret_key) as http:
        return sorted(
            http.get(f"/object/chat-attachments/{path}").content
            for (path,) in there.owner.execute(
                "select a.path from chat.attachments as a inner join chat.messages as m"
                " on a.conversation_id = m.conversation_id and a.message_seq = m.seq"
                " where m.body like 'message % says something%'"
            )
        )


def test_files_go_to_the_bucket_and_out_of_it_again(stack, there, tmp_path):
    bucket = Bucket(f"{stack.api_url}/storage/v1", stack.secret_key, str(tmp_path))
    rows = there.rows()
    plan = there.plan(choices=UPLOADING)
    with pytest.raises(ImportFailed, match="uploads files"):
        there.apply(plan)
    there.apply(plan, bucket)
    assert there.verify().problems == []
    assert _objects(stack, there) == [PNG + b"\x65", PNG + b"\xca"]

    with pytest.raises(ImportFailed, match="Files are in the bucket"):
        there.rollback()
    there.rollback(bucket)
    after = there.rows()
    assert {name for name in rows if after[name] != rows[name]} == set()


def test_a_file_that_is_not_there_fails_and_is_gone_on_with(stack, there, tmp_path):
    bucket = Bucket(f"{stack.api_url}/storage/v1", stack.secret_key, str(tmp_path))
    missing = tmp_path / "uploads" / "202.png"
    content = missing.read_bytes()
    missing.unlink()
    plan = there.plan(choices=UPLOADING)
    with pytest.raises(ImportFailed, match="1 files could not be uploaded"):
        there.apply(plan, bucket)
    assert [p for p in there.verify().problems if "files are missing (202 " in p]
    missing.write_bytes(content)
    assert there.apply(plan, bucket) == 0
    assert there.verify().problems == []
    there.rollback(bucket)


@pytest.mark.parametrize(
    "address", ["../secret", "/../../etc/passwd", "https://169.254.169.254/latest"]
)
def test_files_are_read_from_below_the_folder_alone(tmp_path, address):
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises((ValueError, OSError)):
        read_file(Bucket("", "", str(folder)), address)
    with pytest.raises(ValueError, match="not below"):
        read_file(Bucket("", "", ""), "secret")


def test_an_address_elsewhere_is_not_asked():
    with pytest.raises(ValueError, match="not below"):
        read_file(Bucket("", "", "https://files.example.com/a"), "https://files.example.com/b/1")


def test_a_data_address_holds_its_own_bytes():
    assert read_file(Bucket("", ""), "data:image/png;base64,iVBORw0=") == b"\x89PNG\x0d"
    assert read_file(Bucket("", ""), "data:text/plain,a%20b") == b"a b"
