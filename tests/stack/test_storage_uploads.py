"""Uploads: raw and multipart, limits and types, metadata, signed; and what must not stay."""

from __future__ import annotations

import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from support.stacks import Stack, eventually
from support.storage import (
    error_of,
    files_of,
    object_policies,
    storage_client,
    temporary_bucket,
    user_client,
)

DUPLICATE = ("409", "Duplicate", "The resource already exists")
TOO_LARGE = ("413", "Payload too large", "The object exceeded the maximum allowed size")


def form(*parts: tuple[str, bytes], boundary: str = "xYzZY") -> dict[str, object]:
    """The arguments of a request whose parts have these heads and contents."""
    body = b"".join(
        f"--{boundary}\r\n{head}\r\n\r\n".encode() + data + b"\r\n" for head, data in parts
    )
    return {
        "content": body + f"--{boundary}--\r\n".encode(),
        "headers": {"content-type": f"multipart/form-data; boundary={boundary}"},
    }


def field(name: str, value: str) -> tuple[str, bytes]:
    return f'Content-Disposition: form-data; name="{name}"', value.encode()


def file(data: bytes, kind: str = "text/plain", name: str = "") -> tuple[str, bytes]:
    """As supabase-js sends a Blob: its field has an empty name."""
    disposition = f'Content-Disposition: form-data; name="{name}"; filename="blob"'
    return f"{disposition}\r\nContent-Type: {kind}", data


def info(http: httpx.Client, bucket: str, name: str) -> dict[str, object]:
    response = http.get(f"/object/info/{bucket}/{name}")
    assert response.status_code == 200, response.text
    return dict(response.json())


def serving_files(stack: Stack) -> Path:
    """The folder of a stack's files, from the command line of its serving process."""
    pid = stack.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        for argument in Path(f"/proc/{child}/cmdline").read_text().split("\0"):
            if argument.startswith("--files="):
                return Path(argument.removeprefix("--files="))
    raise AssertionError("no serving process")


def test_raw(storage, bucket):
    kind = "text/plain;charset=UTF-8"
    metadata = base64.b64encode(json.dumps({"k": "v"}).encode()).decode()
    made = storage.post(
        f"/object/{bucket}/a/b.txt",
        content="grüße".encode(),
        headers={"content-type": kind, "cache-control": "max-age=60", "x-metadata": metadata},
    )
    assert set(made.json()) == {"Id", "Key"}
    assert made.json()["Key"] == f"{bucket}/a/b.txt"
    known = info(storage, bucket, "a/b.txt")
    assert set(known) == {
        "id", "name", "version", "bucket_id", "size", "content_type", "cache_control", "etag",
        "metadata", "last_modified", "created_at",
    }  # fmt: skip
    assert known["id"] == made.json()["Id"]
    assert (known["size"], known["content_type"], known["cache_control"], known["metadata"]) == (
        7,
        kind,
        "max-age=60",
        {"k": "v"},
    )


def test_raw_with_nothing_said(storage, bucket):
    def chunks():
        yield b"a"
        yield b"b"

    storage.post(f"/object/{bucket}/a", content=chunks())
    known = info(storage, bucket, "a")
    assert (known["size"], known["content_type"], known["cache_control"], known["metadata"]) == (
        2,
        "application/octet-stream",
        "no-cache",
        {},
    )


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/gzip"])
def test_content_is_never_looked_into(storage, bucket, kind):
    body = b'{"a": '
    headers = {"content-type": kind, "content-encoding": "gzip"}
    storage.post(f"/object/{bucket}/a", content=body, headers=headers)
    assert storage.get(f"/object/{bucket}/a").content == body


def test_multipart(storage, bucket):
    sent = form(
        field("cacheControl", "3600"),
        field("metadata", '{"k": "v"}'),
        file(b"one\r\n--xYz not the end\r\n", "image/png"),
        file(b"two"),
    )
    assert storage.post(f"/object/{bucket}/a", **sent).status_code == 200
    known = info(storage, bucket, "a")
    assert (known["content_type"], known["cache_control"], known["metadata"]) == (
        "image/png",
        "max-age=3600",
        {"k": "v"},
    )
    assert storage.get(f"/object/{bucket}/a").content == b"one\r\n--xYz not the end\r\n"


@pytest.mark.parametrize(
    ("parts", "kind", "cache", "metadata"),
    [
        ([file(b"")], "text/plain", "no-cache", {}),
        ([field("contentType", "a/b"), file(b"")], "a/b", "no-cache", {}),
        ([field("metadata", "{"), file(b"", name="file")], "text/plain", "no-cache", {}),
        ([field("userMetadata", '{"a":1}'), file(b"")], "text/plain", "no-cache", {"a": 1}),
        ([field("metadata", "[1]"), file(b"")], "text/plain", "no-cache", {}),
    ],
)
def test_multipart_fields(storage, bucket, parts, kind, cache, metadata):
    assert storage.post(f"/object/{bucket}/a", **form(*parts)).status_code == 200
    known = info(storage, bucket, "a")
    assert (known["content_type"], known["cache_control"], known["metadata"]) == (
        kind,
        cache,
        metadata,
    )


def test_broken_forms_store_nothing(stack, storage, bucket):
    whole = form(file(b"content"))
    headers = whole["headers"]
    before = files_of(serving_files(stack))
    for content in (
        whole["content"][:-10],
        whole["content"][:40],
        b"",
        b"--xYzZY--\r\n",
        form(field("a", "b"))["content"],
        b"--xYzZY\r\nno head\r\n\r\n",
        b"--xYzZY\r\n" + b"a: " + b"b" * 70_000,
    ):
        refused = storage.post(f"/object/{bucket}/a", content=content, headers=headers)
        assert error_of(refused)[:2] == ("400", "InvalidRequest")
    for kind in ("multipart/form-data", 'multipart/form-data; boundary=""'):
        refused = storage.post(
            f"/object/{bucket}/a", content=whole["content"], headers={"content-type": kind}
        )
        assert error_of(refused)[:2] == ("400", "InvalidRequest")
    assert error_of(storage.get(f"/object/{bucket}/a"))[0] == "404"
    assert files_of(serving_files(stack)) == before


def test_a_name_is_taken_until_one_may_overwrite(stack, storage, bucket):
    path = f"/object/{bucket}/a"
    first = storage.post(path, content=b"one").json()
    before = files_of(serving_files(stack))
    assert error_of(storage.post(path, content=b"two")) == DUPLICATE
    assert error_of(storage.post(path, headers={"x-upsert": "false"})) == DUPLICATE
    assert storage.get(path).content == b"one"
    created = info(storage, bucket, "a")["created_at"]
    second = storage.post(path, content=b"two", headers={"x-upsert": "true"}).json()
    third = storage.put(path, content=b"three").json()
    assert first["Id"] == second["Id"] == third["Id"]
    assert info(storage, bucket, "a")["created_at"] == created
    assert storage.get(path).content == b"three"
    assert len(files_of(serving_files(stack))) == len(before), "the old versions are gone"


def test_of_writers_at_the_same_time_one_wins_and_leaves_one_file(stack, storage, bucket):
    before = len(files_of(serving_files(stack)))
    with ThreadPoolExecutor(8) as pool:
        sent = pool.map(
            lambda i: storage.post(f"/object/{bucket}/new", content=b"%d" % i), range(8)
        )
        assert sorted(r.status_code for r in sent) == [200] + 7 * [400]
        sent = pool.map(lambda i: storage.put(f"/object/{bucket}/up", content=b"%d" % i), range(8))
        assert {r.status_code for r in sent} == {200}
    assert len(files_of(serving_files(stack))) == before + 2
    assert storage.get(f"/object/{bucket}/up").content in [b"%d" % i for i in range(8)]


@pytest.mark.parametrize(
    "name",
    ["", "ü", "日本", "a%25b", "a#b", "a\\b", "a~b", "a\nb", "a.txt\n", "..", "../a", "a/../b",
     "./a", "a/.", "a\x00b", "a" * 1025, "\ufffd", "a|b", "{a}"],
)  # fmt: skip
def test_names_that_are_none(stack, storage, bucket, name):
    before = files_of(serving_files(stack))
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    assert error_of(storage.post(f"/object/{bucket}/{quoted}", content=b"a"))[:2] == (
        "400",
        "InvalidKey",
    )
    assert error_of(storage.get(f"/object/{bucket}/{quoted}"))[0] in ("400", "404")
    assert files_of(serving_files(stack)) == before


def test_all_characters_that_names_may_have(storage, bucket):
    name = "a_0/!.*'() &$@=;:+,?-/...x"
    quoted = "".join(f"%{byte:02X}" for byte in name.encode())
    assert storage.post(f"/object/{bucket}/{quoted}", content=b"a").json()["Key"].endswith(name)
    assert storage.get(f"/object/{bucket}/{quoted}").content == b"a"
    signed = storage.post(f"/object/sign/{bucket}/{quoted}", json={"expiresIn": 9}).json()
    assert storage.get(signed["signedURL"]).content == b"a"


def test_limits(stack, storage):
    before = files_of(serving_files(stack))

    def unknown(size: int):
        yield b"x" * size

    with temporary_bucket(stack, file_size_limit=10) as bucket:
        for request in (
            {"content": b"x" * 11},
            {"content": unknown(11)},
            form(file(b"x" * 11)),
        ):
            assert error_of(storage.post(f"/object/{bucket}/a", **request)) == TOO_LARGE
        assert files_of(serving_files(stack)) == before
        for number, request in enumerate(
            ({"content": b"x" * 10}, {"content": unknown(10)}, form(file(b"x" * 10)))
        ):
            assert storage.post(f"/object/{bucket}/{number}", **request).status_code == 200


@pytest.mark.parametrize(
    ("allowed", "kind", "is_taken"),
    [
        (["image/*"], "image/png", True),
        (["image/*"], "text/plain", False),
        (["text/plain"], "text/plain", True),
        (["text/plain"], "text/plain;charset=UTF-8", False),
        (["text/plain;charset=UTF-8"], "text/plain;charset=UTF-8", True),
        (["*/*"], "a/b", True),
        ([], "a/b", True),
    ],
)
def test_types(stack, storage, allowed, kind, is_taken):
    with temporary_bucket(stack, allowed_mime_types=allowed) as bucket:
        for request in (
            {"content": b"a", "headers": {"content-type": kind}},
            form(file(b"a", kind)),
        ):
            sent = storage.put(f"/object/{bucket}/a", **request)
            if is_taken:
                assert sent.status_code == 200
            else:
                message = f"mime type {kind} is not supported"
                assert error_of(sent) == ("415", "invalid_mime_type", message)


def test_a_folder_s_placeholder_is_empty_and_of_any_type(stack, storage):
    with temporary_bucket(stack, allowed_mime_types=["image/*"]) as bucket:
        path = f"/object/{bucket}/folder/.emptyFolderPlaceholder"
        assert error_of(storage.post(path, content=b"x")) == TOO_LARGE
        assert storage.post(path, content=b"").status_code == 200


def test_header_values_cannot_break_out(storage, bucket):
    """What a client says of its file comes back in headers of the download."""
    for parts in (
        [field("cacheControl", "1\r\nX-Evil: 1"), file(b"a")],
        [field("contentType", "a/b\r\nX-Evil: 1"), file(b"a")],
        [field("contentType", "a/ü"), file(b"a")],
    ):
        assert error_of(storage.post(f"/object/{bucket}/a", **form(*parts)))[0] in ("400", "415")


def test_metadata_has_a_limit(storage, bucket):
    parts = [field("metadata", json.dumps({"a": "x" * 1_100_000})), file(b"a")]
    assert error_of(storage.post(f"/object/{bucket}/a", **form(*parts)))[0] == "413"


def test_signed_uploads(stack, storage, bucket):
    path = f"{bucket}/a/b c.txt"
    with (
        object_policies(stack, bucket, {"insert": "true"}),
        user_client(stack, "user_1") as user,
        storage_client(stack, None) as nobody,
    ):
        signed = user.post(f"/object/upload/sign/{path}").json()
        assert signed["url"] == f"/object/upload/sign/{path}?token={signed['token']}"
        forbidden = {"x-upsert": "true"}
        assert nobody.put(signed["url"], content=b"one").json() == {"Key": path}
        # The token says that it does not overwrite, whatever the header says.
        assert error_of(nobody.put(signed["url"], content=b"two", headers=forbidden)) == DUPLICATE
        assert storage.get(f"/object/{path}").content == b"one"
        again = user.post(f"/object/upload/sign/{path}")
        assert error_of(again) == DUPLICATE
        assert error_of(user.post(f"/object/upload/sign/{path}", headers=forbidden))[0] == "403"
    overwriting = storage.post(f"/object/upload/sign/{path}", headers=forbidden).json()
    with storage_client(stack, None) as nobody:
        for data in (b"two", b"three"):
            assert nobody.put(overwriting["url"], **form(file(data))).status_code == 200
            assert storage.get(f"/object/{path}").content == data
        elsewhere = f"/object/upload/sign/{bucket}/other?token={overwriting['token']}"
        assert error_of(nobody.put(elsewhere, content=b"x"))[:2] == ("400", "InvalidSignature")
        download = storage.post(f"/object/sign/{path}", json={"expiresIn": 60}).json()
        token = download["signedURL"].partition("token=")[2]
        wrong = nobody.put(f"/object/upload/sign/{path}?token={token}", content=b"x")
        assert error_of(wrong)[:2] == ("400", "InvalidSignature")
        for token in ("", "garbage", overwriting["token"][:-8] + "AAAAAAAA"):
            bad = nobody.put(f"/object/upload/sign/{path}?token={token}", content=b"x")
            assert error_of(bad)[:2] == ("400", "InvalidJWT")
    assert storage.get(f"/object/{path}").content == b"three"


def test_a_connection_that_breaks_leaves_nothing(stack, storage, bucket):
    before = files_of(serving_files(stack))

    def broken():
        yield os.urandom(3_000_000)
        raise ConnectionError

    with pytest.raises(ConnectionError):
        storage.post(f"/object/{bucket}/a", content=broken())
    assert error_of(storage.get(f"/object/{bucket}/a"))[0] == "404"
    assert storage.post(f"/object/{bucket}/b", content=b"b").status_code == 200

    def is_tidy() -> bool:
        left = files_of(serving_files(stack)) - before
        return [path.parent.parent.name for path in left] == ["objects"]

    # The server learns of the break after the client.
    eventually(is_tidy)


def test_a_big_file_is_not_held_in_memory(stack, storage, bucket):
    """50 MB up and down, both ways, and the serving process grows by less than half of it."""
    pid = serving_pid(stack)
    data = os.urandom(50_000_000)
    before = peak_bytes(pid)
    assert storage.post(f"/object/{bucket}/raw", content=data).status_code == 200
    sent = storage.post(f"/object/{bucket}/form", files={"": ("f", data)})
    assert sent.status_code == 200
    for name in ("raw", "form"):
        assert storage.get(f"/object/{bucket}/{name}").content == data
    assert peak_bytes(pid) - before < 25_000_000


def serving_pid(stack: Stack) -> int:
    pid = stack.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if "--files=" in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    raise AssertionError("no serving process")


def peak_bytes(pid: int) -> int:
    """Most memory the process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")
