"""Lists of both versions, and move, copy and remove."""

from __future__ import annotations

import base64

import pytest

from support.storage import error_of, temporary_bucket, user_client

NAMES = ("B.txt", "a.txt", "c/1.txt", "c/2.txt", "c/d/3.txt", "e_f.txt", "exf.txt")


@pytest.fixture
def filled(storage, bucket):
    for name in NAMES:
        assert storage.post(f"/object/{bucket}/{name}", content=b"x").status_code == 200
    return bucket


def listed(http, bucket: str, **body: object) -> list[str]:
    response = http.post(f"/object/list/{bucket}", json={"prefix": "", **body})
    assert response.status_code == 200, response.text
    return [entry["name"] + ("" if entry["id"] else "/") for entry in response.json()]


def test_first_version(storage, filled):
    assert listed(storage, filled) == ["B.txt", "a.txt", "c/", "e_f.txt", "exf.txt"]
    # A prefix is a folder, whatever its case; a search is the beginning of a name.
    for prefix in ("c", "c/", "C"):
        assert listed(storage, filled, prefix=prefix) == ["1.txt", "2.txt", "d/"]
    assert listed(storage, filled, search="E_") == ["e_f.txt"]
    assert listed(storage, filled, prefix="c", search="1") == ["1.txt"]
    assert listed(storage, filled, prefix="c/d") == ["3.txt"]
    assert listed(storage, filled, prefix="nope") == []
    assert listed(storage, filled, limit="2", offset="1") == ["a.txt", "c/"]
    down = {"column": "name", "order": "desc"}
    assert listed(storage, filled, sortBy=down, limit=1) == ["exf.txt"]
    newest = listed(storage, filled, sortBy={"column": "created_at", "order": "desc"})
    assert newest == ["c/", "exf.txt", "e_f.txt", "a.txt", "B.txt"]
    assert listed(storage, "no-such-bucket") == []
    entries = storage.post(f"/object/list/{filled}", json={"prefix": ""}).json()
    nothing = ("id", "updated_at", "created_at", "last_accessed_at", "metadata")
    assert entries[2] == {"name": "c", **dict.fromkeys(nothing)}
    assert set(entries[0]) == set(entries[2])
    assert entries[0]["metadata"]["size"] == 1


@pytest.mark.parametrize(
    "body",
    [{"prefix": None}, {"limit": 0}, {"limit": "x"}, {"offset": -1}, {"sortBy": {"column": "id"}},
     {"sortBy": {"order": "up"}}, {"sortBy": 5}, {"limit": 10**30}, {"prefix": "a\x00"}, [], "x"],
)  # fmt: skip
def test_lists_that_cannot_be(storage, filled, body):
    sent = {"prefix": "", **body} if isinstance(body, dict) else body
    assert error_of(storage.post(f"/object/list/{filled}", json=sent))[:2] == ("400", "Error")


def flat(found: list[list[str]]) -> list[str]:
    return [name for page in found for name in page]


def pages(http, bucket: str, **body: object) -> list[list[str]]:
    """Names of the entries of each page, folders with their slash."""
    found: list[list[str]] = []
    cursor = None
    while True:
        sent = {**body, **({"cursor": cursor} if cursor else {})}
        response = http.post(f"/object/list-v2/{bucket}", json=sent)
        assert response.status_code == 200, response.text
        page = response.json()
        found.append([entry["name"] for entry in page["folders"] + page["objects"]])
        assert page["hasNext"] == ("nextCursor" in page) == ("nextCursorKey" in page)
        if not page["hasNext"]:
            return found
        cursor = page["nextCursor"]


def test_second_version(storage, filled):
    assert pages(storage, filled) == [list(NAMES)]
    assert pages(storage, filled, limit=3) == [list(NAMES[:3]), list(NAMES[3:6]), [NAMES[6]]]
    assert pages(storage, filled, limit=7) == [list(NAMES)]
    # Case counts, and a prefix is no folder.
    assert pages(storage, filled, prefix="C") == [[]]
    assert pages(storage, filled, prefix="e") == [["e_f.txt", "exf.txt"]]
    down = {"column": "name", "order": "desc"}
    assert flat(pages(storage, filled, sortBy=down, limit=2)) == list(reversed(NAMES))
    for column in ("created_at", "updated_at"):
        for order in ("asc", "desc"):
            sort = {"column": column, "order": order}
            by_time = flat(pages(storage, filled, sortBy=sort, limit=2))
            assert by_time == list(NAMES if order == "asc" else reversed(NAMES))


def test_second_version_with_folders(storage, filled):
    whole = storage.post(f"/object/list-v2/{filled}", json={"with_delimiter": "true"}).json()
    assert [(f["key"], f["name"], f["id"]) for f in whole["folders"]] == [("c", "c/", None)]
    top = ["B.txt", "a.txt", "c/", "e_f.txt", "exf.txt"]
    for limit in (1, 2, 5):
        assert sorted(flat(pages(storage, filled, with_delimiter=True, limit=limit))) == top
        down = {"column": "name", "order": "desc"}
        found = pages(storage, filled, with_delimiter=True, limit=limit, sortBy=down)
        assert sorted(flat(found)) == top
        by_time = {"column": "created_at", "order": "asc"}
        found = pages(storage, filled, with_delimiter=True, limit=limit, sortBy=by_time)
        assert sorted(flat(found)) == top
    inside = pages(storage, filled, with_delimiter=True, prefix="c/")
    assert inside == [["c/d/", "c/1.txt", "c/2.txt"]]


@pytest.mark.parametrize(
    "cursor", ["x", "====", "ü", "l", "l:a\no:up", "x:1", "l:a\nc:created_at\na:never", "l:\x00"]
)
def test_cursors_that_are_none(storage, filled, cursor):
    encoded = base64.b64encode(cursor.encode()).decode()
    for sent in (cursor, encoded):
        response = storage.post(f"/object/list-v2/{filled}", json={"cursor": sent})
        assert error_of(response)[:2] == ("400", "Error")


def test_move(stack, storage, filled):
    def move(source: str, target: str, **more: object):
        body = {"bucketId": filled, "sourceKey": source, "destinationKey": target, **more}
        return storage.post("/object/move", json=body)

    before = storage.get(f"/object/info/{filled}/a.txt").json()
    assert move("a.txt", "moved/a.txt").json() == {"message": "Successfully moved"}
    after = storage.get(f"/object/info/{filled}/moved/a.txt").json()
    assert {**after, "name": "", "version": ""} == {**before, "name": "", "version": ""}
    assert storage.get(f"/object/{filled}/moved/a.txt").content == b"x"
    assert error_of(storage.get(f"/object/{filled}/a.txt"))[0] == "404"
    assert move("moved/a.txt", "moved/a.txt").json() == {"message": "Successfully moved"}
    assert error_of(move("nope", "x")) == ("404", "not_found", "Object not found")
    duplicate = ("409", "Duplicate", "The resource already exists")
    assert error_of(move("moved/a.txt", "B.txt")) == duplicate
    for bad in ("", "ü", "../x"):
        assert error_of(move("moved/a.txt", bad))[:2] == ("400", "InvalidKey")
    missing = ("404", "InvalidRequest", "The related resource does not exist")
    assert error_of(move("moved/a.txt", "x", destinationBucket="nowhere")) == missing
    assert storage.get(f"/object/{filled}/moved/a.txt").content == b"x"
    with temporary_bucket(stack) as other:
        assert move("moved/a.txt", "a", destinationBucket=other).status_code == 200
        assert storage.get(f"/object/{other}/a").content == b"x"


def test_copy(storage, filled):
    def copy(source: str, target: str, **more: object):
        headers = more.pop("headers", {})
        body = {"bucketId": filled, "sourceKey": source, "destinationKey": target, **more}
        return storage.post("/object/copy", json=body, headers=headers)

    metadata = base64.b64encode(b'{"k": "v"}').decode()
    storage.put(
        f"/object/{filled}/a.txt",
        content=b"one",
        headers={"x-metadata": metadata, "content-type": "text/plain"},
    )
    made = copy("a.txt", "copy").json()
    assert made["Key"] == f"{filled}/copy"
    assert (made["bucket_id"], made["name"], made["owner"]) == (filled, "copy", "")
    known = storage.get(f"/object/info/{filled}/copy").json()
    assert (known["metadata"], known["content_type"]) == ({"k": "v"}, "text/plain")
    # Two files: one is not the other.
    storage.put(f"/object/{filled}/a.txt", content=b"two")
    assert storage.get(f"/object/{filled}/copy").content == b"one"
    assert error_of(copy("a.txt", "copy"))[:2] == ("409", "Duplicate")
    assert copy("a.txt", "copy", headers={"x-upsert": "true"}).status_code == 200
    assert storage.get(f"/object/{filled}/copy").content == b"two"
    given = {"mimetype": "a/b", "cacheControl": "max-age=5"}
    copy("a.txt", "other", copyMetadata=False, metadata=given)
    known = storage.get(f"/object/info/{filled}/other").json()
    assert (known["metadata"], known["content_type"]) == ({}, "a/b")
    assert known["cache_control"] == "max-age=5"
    assert copy("a.txt", "a.txt", headers={"x-upsert": "true"}).status_code == 200
    assert storage.get(f"/object/{filled}/a.txt").content == b"two"
    assert error_of(copy("nope", "x"))[:2] == ("404", "not_found")


def test_remove(stack, storage, filled):
    def remove(*entries: object):
        return storage.request("DELETE", f"/object/{filled}", json={"prefixes": entries})

    gone = remove("a.txt", "c/", "nope", {"path": "B.txt", "versionId": "x"}).json()
    assert sorted(row["name"] for row in gone) == ["B.txt", "a.txt"]
    assert set(gone[0]) == {
        "name", "bucket_id", "owner", "owner_id", "version", "id", "updated_at", "created_at",
        "last_accessed_at", "metadata", "user_metadata",
    }  # fmt: skip
    assert storage.delete(f"/object/{filled}/c/1.txt").json() == {"message": "Successfully deleted"}
    assert error_of(storage.delete(f"/object/{filled}/c/1.txt"))[:2] == ("404", "not_found")
    for prefixes in ((), ["a"] * 1001):
        assert error_of(remove(*prefixes))[:2] == ("400", "Error")
    with user_client(stack) as user:
        denied = error_of(user.delete(f"/object/{filled}/exf.txt"))
        assert denied == ("403", "Unauthorized", "Access denied")
    assert storage.get(f"/object/{filled}/exf.txt").content == b"x"
