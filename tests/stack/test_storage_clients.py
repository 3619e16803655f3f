"""The unmodified official clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from storage3 import SyncStorageClient
from storage3.exceptions import StorageApiError

from support.realtime_sockets import user_token
from support.stacks import ROOT, Stack
from support.storage import EVERYTHING, object_policies, temporary_bucket

# The clients warn of what they themselves do.
pytestmark = pytest.mark.filterwarnings(
    "ignore:The '.*' parameter is deprecated:DeprecationWarning"
)

SCRIPT = Path(__file__).with_name("test_storage_client.mjs")


@pytest.fixture
def client(stack: Stack) -> Iterator[SyncStorageClient]:
    """What ``create_client(...).storage`` is."""
    keys = {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"}
    with httpx.Client() as http:
        yield SyncStorageClient(f"{stack.api_url}/storage/v1/", keys, http_client=http)


@pytest.fixture
def open_bucket(stack: Stack, storage: httpx.Client) -> Iterator[str]:
    """A public bucket with one file."""
    with temporary_bucket(stack, public=True) as name:
        storage.post(f"/object/{name}/hello.txt", content=b"hello")
        yield name


def test_python_client_with_buckets(client):
    name = "python client's"
    client.create_bucket(name, options={"public": True, "file_size_limit": "3MB"})
    try:
        made = client.get_bucket(name)
        assert (made.owner, made.public, made.file_size_limit) == ("", True, 3_000_000)
        assert name in [bucket.name for bucket in client.list_buckets()]
        client.update_bucket(name, {"public": False})
        client.from_(name).upload("a", b"a")
        with pytest.raises(StorageApiError) as full:
            client.delete_bucket(name)
        assert (full.value.code, full.value.status) == ("ResourceNotEmpty", "409")
    finally:
        client.empty_bucket(name)
        client.delete_bucket(name)
    with pytest.raises(StorageApiError) as gone:
        client.get_bucket(name)
    assert (gone.value.code, gone.value.status) == ("Bucket not found", "404")


def test_python_client_with_files(client, bucket):
    files = client.from_(bucket)
    sent = files.upload(
        "a/b c.txt",
        b"one",
        {"content-type": "text/plain", "cache-control": "3600", "metadata": {"k": "v"}},
    )
    assert sent.full_path == f"{bucket}/a/b c.txt"
    known = files.info("a/b c.txt")
    assert (known["cache_control"], known["metadata"]) == ("max-age=3600", {"k": "v"})
    with pytest.raises(StorageApiError) as duplicate:
        files.upload("a/b c.txt", b"two")
    assert (duplicate.value.code, duplicate.value.status) == ("Duplicate", "409")
    files.upload("a/b c.txt", b"two", {"upsert": "true"})
    files.update("a/b c.txt", b"three")
    assert files.download("a/b c.txt") == b"three"
    assert (files.exists("a/b c.txt"), files.exists("nope")) == (True, False)
    with pytest.raises(StorageApiError) as missing:
        client.from_("nowhere").exists("a")
    assert missing.value.code == "Bucket not found"
    signed = files.create_signed_url("a/b c.txt", 60, {"download": "ü.txt"})
    opened = httpx.get(signed["signedURL"])
    assert opened.content == b"three"
    name = "%C3%BC.txt"
    expected = f"attachment; filename={name}; filename*=UTF-8''{name}"
    assert opened.headers["content-disposition"] == expected
    many = files.create_signed_urls(["nope", "a/b c.txt"], 60)
    assert httpx.get(many[1]["signedURL"]).content == b"three"
    upload = files.create_signed_upload_url("signed.txt")
    files.upload_to_signed_url("signed.txt", upload["token"], b"signed")
    files.move("signed.txt", "moved.txt")
    files.copy("moved.txt", "copied.txt")
    assert [entry["name"] for entry in files.list()] == ["a", "copied.txt", "moved.txt"]
    page = files.list_v2({"limit": 2, "with_delimiter": True})
    assert (page.hasNext, [f.key for f in page.folders]) == (True, ["a"])
    rest = files.list_v2({"limit": 2, "with_delimiter": True, "cursor": page.nextCursor})
    assert (rest.hasNext, [o.name for o in rest.objects]) == (False, ["moved.txt"])
    assert [row["name"] for row in files.remove(["copied.txt", "nope"])] == ["copied.txt"]


def test_python_client_opens_public_addresses(client, open_bucket):
    address = client.from_(open_bucket).get_public_url("hello.txt", {"download": True})
    opened = httpx.get(address)
    assert opened.text == "hello"
    assert opened.headers["content-disposition"] == "attachment;"


async def test_supabase_js(stack, bucket, open_bucket):
    with object_policies(stack, bucket, EVERYTHING):
        process = await asyncio.create_subprocess_exec(
            "node",
            "--no-warnings",
            "--experimental-websocket",  # Node 20 has one, but hides it
            str(SCRIPT),
            *(stack.api_url, stack.publishable_key, user_token(stack), bucket, open_bucket),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, complaints = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, complaints.decode()
    result = json.loads(output)
    info = result.pop("info")
    assert (info["size"], info["contentType"], info["metadata"]) == (
        11,
        "text/plain;charset=utf-8",
        {},
    )
    assert "updatedAt" not in info
    assert result == {
        "uploads": [f"{bucket}/a/blob.txt", "a/buffer", "a/text", "a/form", "a/text"],
        "duplicate": ["409", "ResourceAlreadyExists", "The resource already exists"],
        "upserted": "a/blob.txt",
        "contents": [
            ["from a blob", "text/plain;charset=utf-8"],
            ["from a buffer", "text/plain;charset=utf-8"],
            ["anew", "a/b"],
            ["from a form", "application/octet-stream"],
        ],
        "exists": [True, False],
        "missing": ["404", "NoSuchKey", "Object not found"],
        "hidden": ["404", "NoSuchKey", "Object not found"],
        "list": ["blob.txt", "buffer", "form", "text"],
        "folders": [["a", None]],
        "listV2": [False, ["a/"], 0],
        "signed": ["from a blob", "attachment; filename=name.txt; filename*=UTF-8''name.txt"],
        "many": [
            [None, "Either the object does not exist or you do not have access to it"],
            "anew",
        ],
        "signedUpload": "from a blob",
        "copied": f"{bucket}/copied",
        "removed": ["moved"],
        "invalid": ["400", "InvalidKey", "Invalid key: ü"],
        "public": "hello",
    }
