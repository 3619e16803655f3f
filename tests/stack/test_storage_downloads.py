"""Downloads: headers, ranges, conditions, attachments, signed and public addresses."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

import jwt
import pytest

from support.realtime_sockets import user_token
from support.storage import (
    error_of,
    object_policies,
    storage_client,
    temporary_bucket,
    user_client,
)

CONTENT = b"0123456789"


@pytest.fixture
def path(storage, bucket):
    """Of an object with ten bytes."""
    headers = {"content-type": "text/plain;charset=utf-8", "cache-control": "max-age=3600"}
    storage.post(f"/object/{bucket}/a/b.txt", content=CONTENT, headers=headers)
    return f"/object/{bucket}/a/b.txt"


def test_headers(storage, path):
    got = storage.get(path)
    assert got.content == CONTENT
    expected = {
        "content-type": "text/plain;charset=utf-8",
        "content-length": "10",
        "accept-ranges": "bytes",
        "cache-control": "max-age=3600",
        "etag": '"781e5e245d69b566979b86e28d23f2c7"',
        "x-robots-tag": "none",
    }
    assert {name: got.headers.get(name) for name in expected} == expected
    parsedate_to_datetime(got.headers["last-modified"])
    head = storage.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert {name: head.headers.get(name) for name in expected} == expected


@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "TEXT/HTML"])
def test_a_page_is_text(storage, bucket, kind):
    storage.post(f"/object/{bucket}/a", content=b"<p>", headers={"content-type": kind})
    assert storage.get(f"/object/{bucket}/a").headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("asked", "content", "range_"),
    [
        ("bytes=0-0", b"0", "bytes 0-0/10"),
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=5-", b"56789", "bytes 5-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-99", CONTENT, "bytes 0-9/10"),
        ("bytes=8-99", b"89", "bytes 8-9/10"),
        ("bytes=0-", CONTENT, "bytes 0-9/10"),
    ],
)
def test_ranges(storage, path, asked, content, range_):
    for method in ("GET", "HEAD"):
        got = storage.request(method, path, headers={"range": asked})
        assert got.status_code == 206
        assert got.headers["content-range"] == range_
        assert got.headers["content-length"] == str(len(content))
    assert storage.get(path, headers={"range": asked}).content == content


@pytest.mark.parametrize("asked", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=3-2"])
def test_ranges_that_are_none(storage, path, asked):
    refused = storage.get(path, headers={"range": asked})
    assert error_of(refused, 416) == ("416", "invalid_range", "invalid range provided")


@pytest.mark.parametrize("asked", ["bytes=", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=-"])
def test_other_ranges_are_not_looked_at(storage, path, asked):
    got = storage.get(path, headers={"range": asked})
    assert (got.status_code, got.content) == (200, CONTENT)


def test_conditions(storage, path):
    first = storage.get(path)
    etag, modified = first.headers["etag"], first.headers["last-modified"]
    for headers in (
        {"if-none-match": etag},
        {"if-none-match": f'"x", W/{etag}'},
        {"if-none-match": "*"},
        {"if-modified-since": modified},
    ):
        same = storage.get(path, headers=headers)
        assert (same.status_code, same.content) == (304, b"")
        assert same.headers["etag"] == etag
    for headers in (
        {"if-none-match": '"x"'},
        {"if-none-match": '"x"', "if-modified-since": modified},
        {"if-modified-since": "Sat, 01 Jan 2000 00:00:00 GMT"},
        {"if-modified-since": "garbage"},
    ):
        assert storage.get(path, headers=headers).status_code == 200
    for condition, status in ((etag, 206), (modified, 206), ('"x"', 200), ("garbage", 200)):
        got = storage.get(path, headers={"range": "bytes=1-2", "if-range": condition})
        assert got.status_code == status
    storage.put(path, content=b"new")
    assert storage.get(path, headers={"if-none-match": etag}).content == b"new"


@pytest.mark.parametrize(
    ("query", "disposition"),
    [
        ("", None),
        ("?download", "attachment;"),
        ("?download=", "attachment;"),
        ("?download=a.txt", "attachment; filename=a.txt; filename*=UTF-8''a.txt"),
        (
            "?download=n%C3%A4%22%0D%0A.txt",
            "attachment; filename=n%C3%A4%22%0D%0A.txt; filename*=UTF-8''n%C3%A4%22%0D%0A.txt",
        ),
        ("?download=(!'*)~", "attachment; filename=(!'*)~; filename*=UTF-8''(!'*)~"),
    ],
)
def test_attachments(storage, path, query, disposition):
    got = storage.get(path + query)
    assert got.content == CONTENT
    assert got.headers.get("content-disposition") == disposition


def test_an_empty_file(storage, bucket):
    storage.post(f"/object/{bucket}/empty", content=b"")
    assert storage.get(f"/object/{bucket}/empty").content == b""
    assert storage.head(f"/object/{bucket}/empty").headers["content-length"] == "0"
    refused = storage.get(f"/object/{bucket}/empty", headers={"range": "bytes=0-"})
    assert error_of(refused, 416)[0] == "416"


def test_a_signed_address(stack, storage, bucket):
    storage.post(f"/object/{bucket}/a b/c+d.txt", content=CONTENT)
    with object_policies(stack, bucket, {"select": "true"}), user_client(stack) as user:
        # Clients send the number as text.
        made = user.post(f"/object/sign/{bucket}/a b/c+d.txt", json={"expiresIn": "60"}).json()
    assert list(made) == ["signedURL"]
    address, _, token = made["signedURL"].partition("?token=")
    assert address == f"/object/sign/{bucket}/a b/c+d.txt"
    claims = jwt.decode(token, stack.jwt_secret, algorithms=["HS256"])
    assert claims["url"] == f"{bucket}/a b/c+d.txt"
    assert claims["exp"] - claims["iat"] == 60
    assert "role" not in claims
    with storage_client(stack, None) as nobody:
        # The policy is gone: it was asked when the link was made.
        got = nobody.get(made["signedURL"])
        assert got.content == CONTENT
        assert "cache-control" not in got.headers
        assert parsedate_to_datetime(got.headers["expires"]).timestamp() == claims["exp"]
        named = nobody.get(f"{made['signedURL']}&download=x")
        assert named.headers["content-disposition"].startswith("attachment; filename=x")
        assert nobody.head(made["signedURL"]).status_code == 200
        part = nobody.get(made["signedURL"], headers={"range": "bytes=0-1"})
        assert part.content == b"01"
        # It is not a key to anything else.
        other = nobody.get(f"/object/sign/{bucket}/other?token={token}")
        assert error_of(other)[:2] == ("400", "InvalidSignature")
    with storage_client(stack, token) as bearer:
        assert error_of(bearer.get(f"/object/{bucket}/a b/c+d.txt"))[0] == "404"


def test_signed_addresses_that_are_no_good(stack, storage, path):
    name = path.removeprefix("/object/")

    def token(**claims: object) -> str:
        whole = {"url": name, "scope": "download", "exp": int(time.time()) + 60, **claims}
        return jwt.encode(
            {key: value for key, value in whole.items() if value is not None},
            stack.jwt_secret,
            algorithm="HS256",
        )

    assert storage.get(f"/object/sign/{name}", params={"token": token()}).content == CONTENT
    expired = ("400", "InvalidJWT", '"exp" claim timestamp check failed')
    for bad, expected in (
        (token(exp=1), expired),
        ("", ("400", "InvalidJWT", "Invalid Compact JWS")),
        ("garbage", ("400", "InvalidJWT", "Invalid Compact JWS")),
        (token()[:-8] + "AAAAAAAA", ("400", "InvalidJWT", "signature verification failed")),
        (token(url="x"), ("400", "InvalidSignature", "Invalid signature")),
        (token(url=None), ("400", "InvalidSignature", "Invalid signature")),
        (token(exp=None), ("400", "InvalidSignature", "Invalid signature")),
        (token(scope="upload"), ("400", "InvalidSignature", "Token is not scoped for download")),
        (user_token(stack), ("400", "InvalidSignature", "Token is not scoped for download")),
    ):
        assert error_of(storage.get(f"/object/sign/{name}", params={"token": bad})) == expected
    storage.delete(path)
    gone = storage.get(f"/object/sign/{name}", params={"token": token()})
    assert error_of(gone) == ("404", "not_found", "Object not found")


@pytest.mark.parametrize("seconds", [0, -1, "x", None, 1.5, 10**30])
def test_a_signed_address_needs_its_seconds(storage, path, seconds):
    refused = storage.post(path.replace("/object/", "/object/sign/"), json={"expiresIn": seconds})
    assert error_of(refused)[:2] == ("400", "Error")
    longest = storage.post(
        path.replace("/object/", "/object/sign/"), json={"expiresIn": 2**31 - 1}
    ).json()
    assert storage.get(longest["signedURL"]).content == CONTENT


def test_many_signed_addresses(storage, bucket, path):
    paths = ["nope", "a/b.txt", "a/b.txt"]
    made = storage.post(f"/object/sign/{bucket}", json={"expiresIn": 60, "paths": paths}).json()
    hidden = "Either the object does not exist or you do not have access to it"
    assert [(entry["path"], entry["error"]) for entry in made] == [
        ("nope", hidden),
        ("a/b.txt", None),
        ("a/b.txt", None),
    ]
    assert made[0]["signedURL"] is None
    assert storage.get(made[1]["signedURL"]).content == CONTENT
    for paths in ([], ["a"] * 1001, "a", None):
        body = {"expiresIn": 60, "paths": paths}
        assert error_of(storage.post(f"/object/sign/{bucket}", json=body))[0] == "400"


def test_images_come_as_they_are(stack, storage):
    with temporary_bucket(stack, public=True) as bucket, storage_client(stack, None) as nobody:
        storage.post(f"/object/{bucket}/a.png", content=CONTENT)
        size = "?width=10&height=10"
        assert nobody.get(f"/render/image/public/{bucket}/a.png{size}").content == CONTENT
        got = storage.get(f"/render/image/authenticated/{bucket}/a.png{size}")
        assert got.content == CONTENT
        made = storage.post(
            f"/object/sign/{bucket}/a.png", json={"expiresIn": 60, "transform": {"width": 10}}
        ).json()
        assert made["signedURL"].startswith(f"/render/image/sign/{bucket}/a.png?token=")
        assert nobody.get(made["signedURL"]).content == CONTENT


def test_a_download_goes_on_while_the_object_is_replaced(storage, bucket):
    first, second = b"a" * 8_000_000, b"b" * 8_000_000
    storage.post(f"/object/{bucket}/a", content=first)
    with storage.stream("GET", f"/object/{bucket}/a") as response:
        chunks = response.iter_raw(1000)
        got = next(chunks)
        with storage.stream("PUT", f"/object/{bucket}/a", content=second) as replaced:
            assert replaced.status_code == 200
        got += b"".join(chunks)
    assert got == first
    assert storage.get(f"/object/{bucket}/a").content == second
