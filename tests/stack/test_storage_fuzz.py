"""Whatever is sent: an answer of the documented shape, and never an error of the server's own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.stacks import Stack
from support.storage import storage_client, temporary_bucket

ROUTES = [
    ("GET", "/bucket"),
    ("POST", "/bucket"),
    ("GET", "/bucket/{name}"),
    ("PUT", "/bucket/{name}"),
    ("DELETE", "/bucket/{name}"),
    ("POST", "/bucket/{name}/empty"),
    ("POST", "/object/list/{bucket}"),
    ("POST", "/object/list-v2/{bucket}"),
    ("POST", "/object/move"),
    ("POST", "/object/copy"),
    ("POST", "/object/sign/{bucket}"),
    ("POST", "/object/sign/{bucket}/{name}"),
    ("GET", "/object/sign/{bucket}/{name}"),
    ("POST", "/object/upload/sign/{bucket}/{name}"),
    ("PUT", "/object/upload/sign/{bucket}/{name}"),
    ("GET", "/object/info/{bucket}/{name}"),
    ("GET", "/object/public/{bucket}/{name}"),
    ("GET", "/object/{bucket}/{name}"),
    ("HEAD", "/object/{bucket}/{name}"),
    ("POST", "/object/{bucket}/{name}"),
    ("PUT", "/object/{bucket}/{name}"),
    ("DELETE", "/object/{bucket}"),
    ("DELETE", "/object/{bucket}/{name}"),
    ("POST", "/upload/resumable"),
    ("PATCH", "/upload/resumable/{name}"),
]
FIELDS = [
    "name", "id", "public", "file_size_limit", "allowed_mime_types", "type", "prefix", "limit",
    "offset", "sortBy", "search", "cursor", "with_delimiter", "prefixes", "paths", "expiresIn",
    "transform", "bucketId", "sourceKey", "destinationKey", "destinationBucket", "copyMetadata",
    "metadata", "column", "order", "path",
]  # fmt: skip
TEXT = st.one_of(
    st.sampled_from(["", "a", "a/b", "..", "\x00", "ü", "\ud800", "name", "asc", "1", "x" * 2000]),
    st.text(max_size=20),
)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=6)
    ),
    max_leaves=12,
)
BODY = st.one_of(
    st.binary(max_size=200),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=8).map(
        lambda value: json.dumps(value).encode()
    ),
    st.sampled_from(
        [
            b'--b\r\nContent-Disposition: form-data; name=""; filename="x"\r\n\r\nabc\r\n--b--',
            b'--b\r\nContent-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n--b--',
            b"--b\r\n\r\n--b--",
        ]
    ),
)
VALUE = st.one_of(
    st.sampled_from(
        ["true", "0", "-1", "99999999999999999999", "bytes=0-", "bytes=-", '"x"', "*", "e30=",
         "!!!", "multipart/form-data; boundary=b", "application/json", "text/html", "1.0.0",
         "gzip", "application/offset+octet-stream", "bucketName YQ==,objectName YQ==", "Thu, 9"]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
    st.binary(max_size=20).map(lambda b: bytes(c for c in b if c > 31 and c != 127)),
).map(lambda value: value.strip())  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(
        ["content-type", "cache-control", "x-upsert", "x-metadata", "range", "if-none-match",
         "if-modified-since", "if-range", "upload-length", "upload-offset", "upload-metadata",
         "tus-resumable", "content-encoding", "accept", "x-forwarded-host"]
    ),
    VALUE,
    max_size=5,
)  # fmt: skip
QUERY = st.dictionaries(
    st.sampled_from(["token", "download", "limit", "offset", "sortColumn", "search", "width"]),
    TEXT.filter(lambda text: "\ud800" not in text),
    max_size=3,
)
NAME = st.one_of(
    st.sampled_from(
        [b"a", b"a/b", b"..", b"%2e%2e%2f", b"%00", b"%0a", b"%ff", b"%C3%BC", b"", b"%"]
    ),
    st.binary(max_size=12).map(lambda data: b"".join(b"%%%02X" % byte for byte in data)),
)


@pytest.fixture(scope="module")
def places(stack: Stack) -> Iterator[tuple[str, list[httpx.Client]]]:
    """A bucket with an object, and clients of every kind."""
    with temporary_bucket(stack, public=True) as bucket:
        clients = [
            storage_client(stack, token) for token in (stack.secret_key, stack.anon_key, "x", None)
        ]
        clients[0].post(f"/object/{bucket}/a", content=b"0123456789")
        yield bucket, clients
        for client in clients:
            client.close()


@settings(max_examples=600)
@given(
    route=st.sampled_from(ROUTES),
    name=NAME,
    body=BODY,
    headers=HEADERS,
    query=QUERY,
    who=st.integers(0, 3),
)
def test_any_request(places, route, name, body, headers, query, who):
    bucket, clients = places
    method, pattern = route
    if method == "DELETE" and pattern == "/bucket/{name}" and name == bucket.encode():
        return
    url = clients[who].base_url.copy_with(
        raw_path=b"/storage/v1"
        + pattern.encode().replace(b"{bucket}", bucket.encode()).replace(b"{name}", name)
    )
    if query:
        url = url.copy_merge_params(query)
    sent = clients[who].build_request(method, url, content=body, headers=list(headers.items()))
    response = clients[who].send(sent)
    assert response.status_code < 500, response.text
    if response.status_code >= 400 and method != "HEAD":
        answer = response.json()
        assert set(answer) == {"statusCode", "error", "message", "code"}
