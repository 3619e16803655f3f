"""Buckets: what they are made of, who may, and those that config.toml names."""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from parley_stack.ports import free_port
from support.stacks import ROOT, start_stack
from support.storage import error_of, storage_client, user_client

NO_BUCKET = ("404", "Bucket not found", "Bucket not found")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def new_name() -> str:
    return f"test-{uuid.uuid4().hex[:12]}"


def test_life_of_a_bucket(storage):
    name = new_name()
    made = storage.post("/bucket", json={"name": name})
    assert (made.status_code, made.json()) == (200, {"name": name})
    got = storage.get(f"/bucket/{name}").json()
    assert TIME.fullmatch(got.pop("created_at"))
    assert TIME.fullmatch(got.pop("updated_at"))
    plain = {
        "id": name,
        "name": name,
        "owner": "",
        "public": False,
        "file_size_limit": None,
        "allowed_mime_types": None,
    }
    assert got == plain
    again = storage.post("/bucket", json={"name": name})
    assert error_of(again) == ("409", "Duplicate", "The resource already exists")
    changed = {"public": True, "file_size_limit": "20mb", "allowed_mime_types": ["image/*"]}
    done = storage.put(f"/bucket/{name}", json={**changed, "id": "x", "name": "y"})
    assert done.json() == {"message": "Successfully updated"}
    got = storage.get(f"/bucket/{name}").json()
    expected = {**plain, **changed, "file_size_limit": 20_000_000}
    assert {key: got[key] for key in plain} == expected
    # Absent is unchanged, null is cleared.
    storage.put(f"/bucket/{name}", json={"public": False, "file_size_limit": None})
    got = storage.get(f"/bucket/{name}").json()
    expected = {**plain, "allowed_mime_types": ["image/*"]}
    assert {key: got[key] for key in plain} == expected
    storage.post(f"/object/{name}/a", content=b"a", headers={"content-type": "image/png"})
    full = storage.request("DELETE", f"/bucket/{name}", json={})
    not_empty = "The bucket you tried to delete is not empty"
    assert error_of(full) == ("409", "ResourceNotEmpty", not_empty)
    emptied = storage.post(f"/bucket/{name}/empty", json={}).json()
    assert emptied["message"].startswith("Empty bucket has been queued.")
    assert error_of(storage.get(f"/object/{name}/a"))[0] == "404"
    # As supabase-js sends it: a content type and nothing else.
    headers = {"content-type": "application/json"}
    gone = storage.request("DELETE", f"/bucket/{name}", headers=headers)
    assert gone.json() == {"message": "Successfully deleted"}
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/empty")):
        missing = storage.request(method, f"/bucket/{name}{path}", json={})
        assert error_of(missing) == NO_BUCKET


def test_list(storage):
    stem = new_name()
    names = [f"{stem}-{letter}" for letter in "cab"]
    for name in names:
        storage.post("/bucket", json={"name": name})
    try:

        def listed(**query: object) -> list[str]:
            response = storage.get("/bucket", params={"search": stem, **query})
            assert response.status_code == 200, response.text
            assert {entry["type"] for entry in response.json()} <= {"STANDARD"}
            return [entry["id"].removeprefix(f"{stem}-") for entry in response.json()]

        assert listed() == ["a", "b", "c"]
        assert listed(limit=2, offset="1") == ["b", "c"]
        assert listed(sortColumn="created_at", sortOrder="desc") == ["b", "a", "c"]
        assert listed(search="%") == []
        assert {f"{stem}-a"} < {entry["id"] for entry in storage.get("/bucket").json()}
        for wrong in ({"limit": "x"}, {"sortColumn": "owner"}, {"offset": -1}, {"limit": 10**20}):
            assert error_of(storage.get("/bucket", params=wrong))[:2] == ("400", "Error")
    finally:
        for name in names:
            storage.request("DELETE", f"/bucket/{name}")


@pytest.mark.parametrize("name", ["", " a", "a ", "a/b", "ü", "a" * 101, "a#b", "a\x00b", "a\n"])
def test_names_that_are_none(storage, name):
    refused = storage.post("/bucket", json={"name": name})
    assert error_of(refused)[0] == "400"
    if name and "\x00" not in name:
        assert error_of(refused) == ("400", "Invalid Input", "Bucket name invalid")


def test_the_name_is_required_and_the_id_may_be_another(storage):
    message = "body must have required property 'name'"
    assert error_of(storage.post("/bucket", json={})) == ("400", "Error", message)
    name, other = new_name(), new_name()
    assert storage.post("/bucket", json={"name": name, "id": other}).json() == {"name": other}
    assert storage.get(f"/bucket/{other}").json()["name"] == name
    storage.request("DELETE", f"/bucket/{other}")


@pytest.mark.parametrize(
    ("limit", "size"),
    [(5, 5), ("3B", 3), ("30KB", 30_000), ("20mb", 20_000_000), ("1.5 MB", 1_500_000), (0, 0)],
)
def test_sizes_are_decimal(storage, limit, size):
    name = new_name()
    storage.post("/bucket", json={"name": name, "file_size_limit": limit})
    assert storage.get(f"/bucket/{name}").json()["file_size_limit"] == size
    storage.request("DELETE", f"/bucket/{name}")


@pytest.mark.parametrize("limit", ["many", "-1", -1, "1XB", [], "1e9"])
def test_sizes_that_are_none(storage, limit):
    refused = storage.post("/bucket", json={"name": new_name(), "file_size_limit": limit})
    assert error_of(refused)[0] == "400"
    if isinstance(limit, str):
        assert error_of(refused)[2].endswith("hint: use 20GB / 20MB / 30KB / 3B")


def test_a_bucket_cannot_allow_more_than_the_project(storage):
    for limit in ("1GB", 50 * 1024 * 1024 + 1):
        refused = storage.post("/bucket", json={"name": new_name(), "file_size_limit": limit})
        assert error_of(refused)[0] == "413"


@pytest.mark.parametrize(
    ("entry", "is_type"),
    [("a/b", True), ("image/*", True), ("*/*", True), ("a/b;charset=x", True), ("thing", False),
     ("a/b/c", False), ("", False)],
)  # fmt: skip
def test_types_of_a_bucket(storage, entry, is_type):
    name = new_name()
    made = storage.post("/bucket", json={"name": name, "allowed_mime_types": [entry]})
    if is_type:
        assert made.status_code == 200
        storage.request("DELETE", f"/bucket/{name}")
    else:
        assert error_of(made)[:2] == ("415", "invalid_mime_type")


def test_row_security_of_buckets(stack, storage, bucket):
    denied = ("403", "Unauthorized", "new row violates row-level security policy")
    with user_client(stack) as user:
        assert user.get("/bucket").json() == []
        assert error_of(user.post("/bucket", json={"name": new_name()})) == denied
        for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/empty")):
            hidden = user.request(method, f"/bucket/{bucket}{path}", json={"public": True})
            assert error_of(hidden) == NO_BUCKET
        storage.post(f"/object/{bucket}/a", content=b"a")
        with psycopg.connect(stack.db_url, autocommit=True) as db:
            policy = sql.Identifier(f"test {bucket}")
            db.execute(
                sql.SQL(
                    "create policy {} on storage.buckets for select to authenticated "
                    "using (id = {})"
                ).format(policy, sql.Literal(bucket))
            )
            try:
                assert user.get(f"/bucket/{bucket}").status_code == 200
                assert error_of(user.put(f"/bucket/{bucket}", json={"public": True})) == NO_BUCKET
                user.post(f"/bucket/{bucket}/empty")
                assert error_of(user.request("DELETE", f"/bucket/{bucket}"))[0] == "409"
                assert storage.get(f"/object/{bucket}/a").content == b"a"
                assert storage.get(f"/bucket/{bucket}").json()["public"] is False
                storage.delete(f"/object/{bucket}/a")
                assert error_of(user.request("DELETE", f"/bucket/{bucket}")) == NO_BUCKET
                assert storage.get(f"/bucket/{bucket}").status_code == 200
            finally:
                db.execute(sql.SQL("drop policy {} on storage.buckets").format(policy))


def test_what_is_not_offered_says_so(storage, bucket):
    assert error_of(storage.get(f"/bucket/{bucket}/lifecycle"), 404)[0] == "404"
    assert error_of(storage.delete(f"/cdn/{bucket}/a"), 404)[0] == "404"
    assert error_of(storage.post("/bucket", json={"name": "x", "type": "VECTOR"}), 404)[0] == "404"
    assert storage.get("/status").status_code == 200
    assert storage.get("/version").status_code == 200


CONFIG = """
[storage]
file_size_limit = "1MiB"

[storage.buckets.pictures]
public = true
file_size_limit = "10KiB"
allowed_mime_types = ["text/plain"]
objects_path = "./pictures"
"""


def test_buckets_of_config_toml(project: Path) -> None:
    """Made at every start, with their files; a migration that makes one too is no conflict."""
    config = project / "supabase" / "config.toml"
    config.write_text(config.read_text() + CONFIG)
    (project / "supabase" / "migrations" / "20260102000000_bucket.sql").write_text(
        "insert into storage.buckets (id, name) values ('pictures', 'pictures');"
    )
    picture = project / "supabase" / "pictures" / "a" / "b.txt"
    picture.parent.mkdir(parents=True)
    picture.write_text("one")
    for text in ("one", "two", "two"):
        picture.write_text(text)
        ports = ("--api-port", str(free_port()), "--db-port", str(free_port()))
        stack = start_stack(project, *ports)
        try:
            with storage_client(stack, stack.secret_key) as http:
                got = http.get("/bucket/pictures").json()
                assert (got["public"], got["file_size_limit"], got["allowed_mime_types"]) == (
                    True,
                    10 * 1024,
                    ["text/plain"],
                )
                found = http.get("/object/public/pictures/a/b.txt")
                assert (found.text, found.headers["content-type"]) == (text, "text/plain")
                too_large = http.post("/bucket", json={"name": "x", "file_size_limit": "2MB"})
                assert error_of(too_large)[0] == "413"
        finally:
            stack.stop()
        assert len(list((project / ".parley" / "files" / "objects").glob("*/*"))) == 1


def test_the_supabase_cli_seeds_buckets(project: Path) -> None:
    """``supabase seed buckets``, unmodified, finds the stack by the ports of config.toml."""
    config = project / "supabase" / "config.toml"
    text = re.sub(r"(?m)^port = \d+", lambda _: f"port = {free_port()}", config.read_text())
    config.write_text(text)
    stack = start_stack(project)
    try:
        config.write_text(text + CONFIG.replace("text/plain", "image/png"))
        (project / "supabase" / "pictures").mkdir()
        picture = bytes.fromhex("89504e470d0a1a0a")
        (project / "supabase" / "pictures" / "a.png").write_bytes(picture)
        seeded = subprocess.run(
            [ROOT / "node_modules/.bin/supabase", "seed", "buckets", "--workdir", project, "--yes"],
            env={**os.environ, "HOME": str(project), "DO_NOT_TRACK": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert seeded.returncode == 0, seeded.stderr
        with storage_client(stack, None) as nobody:
            assert nobody.get("/object/public/pictures/a.png").content == picture
    finally:
        stack.stop()
