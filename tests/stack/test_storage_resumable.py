"""Resumable uploads: TUS 1.0, as tus-js-client speaks it."""

from __future__ import annotations

import base64
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from support.stacks import Stack
from support.storage import error_of, object_policies, temporary_bucket, user_client

TUS = {"Tus-Resumable": "1.0.0"}
PATCH = {**TUS, "Content-Type": "application/offset+octet-stream"}
PATH = "/upload/resumable"


def described(**fields: str) -> str:
    return ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in fields.items())


def create(
    http: httpx.Client, bucket: str, name: str, size: int, *, content: bytes = b"", **more: str
) -> httpx.Response:
    headers = {
        **(PATCH if content else TUS),
        "Upload-Length": str(size),
        "Upload-Metadata": described(bucketName=bucket, objectName=name),
        **more,
    }
    return http.post(PATH, content=content, headers=headers)


def patch(http: httpx.Client, location: str, offset: int, content: bytes) -> httpx.Response:
    return http.patch(location, content=content, headers={**PATCH, "Upload-Offset": str(offset)})


def offset_of(http: httpx.Client, location: str) -> int:
    head = http.head(location, headers=TUS)
    assert (head.status_code, head.headers["cache-control"]) == (200, "no-store")
    return int(head.headers["upload-offset"])


def test_in_pieces(storage, bucket):
    content = os.urandom(3_000_000)
    metadata = described(
        bucketName=bucket,
        objectName="a/b.bin",
        contentType="image/png",
        cacheControl="60",
        metadata='{"k": "v"}',
    )
    made = create(storage, bucket, "", len(content), **{"Upload-Metadata": metadata})
    assert (made.status_code, made.headers["tus-resumable"]) == (201, "1.0.0")
    location = made.headers["location"]
    assert location.startswith(f"{str(storage.base_url).rstrip('/')}{PATH}/")
    for start in range(0, len(content), 1_000_000):
        assert offset_of(storage, location) == start
        assert error_of(storage.get(f"/object/{bucket}/a/b.bin"))[0] == "404"
        done = patch(storage, location, start, content[start : start + 1_000_000])
        assert (done.status_code, done.headers["upload-offset"]) == (204, str(start + 1_000_000))
    assert storage.get(f"/object/{bucket}/a/b.bin").content == content
    known = storage.get(f"/object/info/{bucket}/a/b.bin").json()
    assert (known["content_type"], known["cache_control"], known["metadata"]) == (
        "image/png",
        "max-age=60",
        {"k": "v"},
    )
    assert storage.head(location, headers=TUS).status_code == 404


def test_with_the_content_at_once(storage, bucket):
    made = create(storage, bucket, "a", 3, content=b"abc")
    assert (made.status_code, made.headers["upload-offset"]) == (201, "3")
    assert storage.get(f"/object/{bucket}/a").content == b"abc"
    assert create(storage, bucket, "empty", 0).status_code == 201
    assert storage.get(f"/object/{bucket}/empty").content == b""


def test_going_on_after_the_connection_broke(storage, bucket):
    content = os.urandom(3_000_000)
    location = create(storage, bucket, "a", len(content)).headers["location"]

    def broken():
        yield content[:2_000_000]
        raise ConnectionError

    with pytest.raises(ConnectionError):
        storage.patch(location, content=broken(), headers={**PATCH, "Upload-Offset": "0"})
    # The server may still be noticing.
    done = patch(storage, location, offset := offset_of(storage, location), content[offset:])
    while done.status_code in (409, 423):
        offset = offset_of(storage, location)
        done = patch(storage, location, offset, content[offset:])
    assert done.status_code == 204
    assert storage.get(f"/object/{bucket}/a").content == content


def test_giving_up(storage, bucket):
    location = create(storage, bucket, "a", 10).headers["location"]
    patch(storage, location, 0, b"abc")
    assert storage.delete(location, headers=TUS).status_code == 204
    assert storage.head(location, headers=TUS).status_code == 404
    assert patch(storage, location, 3, b"defghij").status_code == 404
    assert error_of(storage.get(f"/object/{bucket}/a"))[0] == "404"


def test_what_it_says_of_itself(storage):
    said = storage.options(PATH)
    assert (said.status_code, said.headers["tus-version"]) == (204, "1.0.0")
    assert said.headers["tus-max-size"] == str(50 * 1024 * 1024)
    preflight = storage.options(
        PATH,
        headers={
            "origin": "http://127.0.0.1:3000",
            "access-control-request-method": "POST",
            "access-control-request-headers": "tus-resumable, upload-length",
        },
    )
    assert preflight.headers["access-control-allow-headers"] == "tus-resumable, upload-length"
    assert "Upload-Offset" in said.headers["access-control-expose-headers"]


def test_requests_that_cannot_be(stack: Stack, storage, bucket):
    with temporary_bucket(stack, file_size_limit=10, allowed_mime_types=["image/*"]) as small:
        assert create(storage, small, "a", 11).status_code == 413
        assert create(storage, small, "a", 10).status_code == 415
    assert create(storage, "nowhere", "a", 1).status_code == 404
    for wrong in (
        {"Upload-Length": ""},
        {"Upload-Length": "-1"},
        {"Upload-Length": "x"},
        {"Upload-Metadata": ""},
        {"Upload-Metadata": "bucketName !!!"},
        {"Upload-Metadata": described(bucketName=bucket, objectName="../x")},
    ):
        assert create(storage, bucket, "a", 1, **wrong).status_code == 400
    assert create(storage, bucket, "a", 1, **{"Tus-Resumable": "0.2"}).status_code == 412
    location = create(storage, bucket, "a", 3).headers["location"]
    assert patch(storage, location, 1, b"bc").status_code == 409
    assert patch(storage, location, 0, b"abcd").status_code == 413
    assert storage.patch(location, content=b"abc", headers=TUS).status_code == 415
    for unknown in ("x", "../../x", "0" * 32):
        assert storage.head(f"{PATH}/{unknown}", headers=TUS).status_code == 404
    storage.put(f"/object/{bucket}/b", content=b"b")
    assert create(storage, bucket, "b", 1).status_code == 409
    again = create(storage, bucket, "b", 1, content=b"c", **{"x-upsert": "true"})
    assert again.status_code == 201
    assert storage.get(f"/object/{bucket}/b").content == b"c"


def test_policies_are_asked_at_every_step(stack: Stack, storage, bucket):
    with user_client(stack) as user, user_client(stack) as other:
        assert create(user, bucket, "a", 3).status_code == 403
        with object_policies(stack, bucket, {"insert": "true"}):
            location = create(user, bucket, "a", 3).headers["location"]
            assert patch(user, location, 0, b"ab").status_code == 204
            for method in ("HEAD", "DELETE"):
                assert other.request(method, location, headers=TUS).status_code == 404
            assert patch(other, location, 2, b"c").status_code == 404
        assert patch(user, location, 2, b"c").status_code == 403
    assert error_of(storage.get(f"/object/{bucket}/a"))[0] == "404"


def test_two_writers_of_one_upload(storage, bucket):
    content = os.urandom(2_000_000)
    location = create(storage, bucket, "a", len(content)).headers["location"]
    with ThreadPoolExecutor(4) as pool:
        sent = pool.map(lambda _: patch(storage, location, 0, content).status_code, range(4))
        # The others came while it was written, or after.
        assert sorted(sent)[0] == 204
    assert storage.get(f"/object/{bucket}/a").content == content
