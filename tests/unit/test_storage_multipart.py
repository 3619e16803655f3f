"""multipart/form-data, in whatever pieces it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley_stack.storage.multipart import Multipart, MultipartError, Part, boundary_of

CONTENT = st.lists(
    st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"-", b"xYz", b"\r\n--", b"a", b"\x00\xff"])
).map(b"".join)


async def pieces(data: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    for size in sizes:
        yield data[:size]
        data = data[size:]
    if data:
        yield data


async def parse(data: bytes, sizes: list[int], boundary: bytes) -> list[tuple[Part, bytes]]:
    form = Multipart(boundary, pieces(data, sizes))
    found = []
    while (part := await form.next_part()) is not None:
        found.append((part, b"".join([chunk async for chunk in form.data()])))
    return found


@given(
    contents=st.lists(CONTENT, max_size=4),
    sizes=st.lists(st.integers(0, 40)),
    preamble=st.sampled_from([b"", b"\r\n", b"anything\r\n"]),
    epilogue=st.sampled_from([b"", b"\r\n", b"\r\nanything"]),
)
def test_what_goes_in_comes_out(contents, sizes, preamble, epilogue):
    boundary = b"xYzEND"
    body = preamble
    for number, content in enumerate(contents):
        head = b'Content-Disposition: form-data; name="%d"; filename=""' % number
        body += b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n"
    body += b"--" + boundary + b"--" + epilogue
    found = asyncio.run(parse(body, sizes, boundary))
    assert [content for _, content in found] == contents
    assert [part.name for part, _ in found] == [str(n) for n in range(len(contents))]
    assert all(part.is_file for part, _ in found)
    if contents:
        with pytest.raises(MultipartError):
            asyncio.run(parse(body[: len(preamble) + 20], sizes, boundary))


@given(st.binary(max_size=300), st.lists(st.integers(0, 40)))
def test_garbage_is_refused_or_has_no_parts(data, sizes):
    with suppress(MultipartError):
        asyncio.run(parse(data, sizes, b"b"))


@pytest.mark.parametrize(
    ("disposition", "expected"),
    [
        ('form-data; name=""; filename="blob"', ("", True)),
        ("form-data; name=file; filename=blob", ("file", True)),
        ('form-data; name="a"', ("a", False)),
        ("form-data", ("", False)),
        ('form-data; name="a; filename=x"', ("a; filename=x", False)),
        ('form-data; name="a\\"; filename=\\"x"', ('a"; filename="x', False)),
        ("form-data; name=\"ü\"; filename*=UTF-8''x", ("ü", True)),
    ],
)
def test_what_a_part_is(disposition, expected):
    body = f"--b\r\ncontent-disposition: {disposition}\r\n\r\n\r\n--b--".encode()
    ((part, content),) = asyncio.run(parse(body, [], b"b"))
    assert (part.name, part.is_file) == expected
    assert content == b""


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; charset=utf-8; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data; BOUNDARY=abc", b"abc"),
    ],
)
def test_boundaries(kind, boundary):
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize("given_", ["", "=", '=""', "=" + "x" * 71, '="a "', "=ü"])
def test_boundaries_that_are_none(given_):
    with pytest.raises(MultipartError):
        boundary_of(f"multipart/form-data; boundary{given_}")
