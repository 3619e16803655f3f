"""Who may do what with objects: row security decides, in the caller's name, on every call."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from support.realtime_sockets import user_token
from support.stacks import Stack
from support.storage import (
    EVERYTHING,
    error_of,
    object_policies,
    storage_client,
    temporary_bucket,
    user_client,
)

DENIED = ("403", "Unauthorized", "new row violates row-level security policy")
NO_RIGHT = ("403", "Unauthorized", "Access denied")
NO_OBJECT = ("404", "not_found", "Object not found")
NO_BUCKET = ("404", "Bucket not found", "Bucket not found")


@pytest.fixture
def user(stack: Stack) -> Iterator[httpx.Client]:
    with user_client(stack) as client:
        yield client


def names(stack: Stack, bucket: str) -> list[str]:
    """What there really is."""
    with psycopg.connect(stack.db_url) as connection:
        rows = connection.execute(
            "select name from storage.objects where bucket_id = %s order by name", (bucket,)
        ).fetchall()
    return [row[0] for row in rows]


# What each call needs, after the protocol's table. The source and the object acted upon is "a".
CALLS = {
    "upload": ({"insert"}, "POST", "/object/{b}/new", None, {}),
    # The policy for update is asked about a row that is there, that for select in any case.
    "upsert": ({"insert", "select"}, "POST", "/object/{b}/new", None, {"x-upsert": "1"}),
    "update": ({"insert", "update", "select"}, "PUT", "/object/{b}/a", None, {}),
    "download": ({"select"}, "GET", "/object/{b}/a", None, {}),
    "download again": ({"select"}, "GET", "/object/authenticated/{b}/a", None, {}),
    "info": ({"select"}, "GET", "/object/info/{b}/a", None, {}),
    "head": ({"select"}, "HEAD", "/object/{b}/a", None, {}),
    "sign": ({"select"}, "POST", "/object/sign/{b}/a", {"expiresIn": 60}, {}),
    "sign upload": ({"insert"}, "POST", "/object/upload/sign/{b}/new", {}, {}),
    "move": (
        {"select", "update"},
        "POST",
        "/object/move",
        {"bucketId": "{b}", "sourceKey": "a", "destinationKey": "new"},
        {},
    ),
    "copy": (
        {"select", "insert"},
        "POST",
        "/object/copy",
        {"bucketId": "{b}", "sourceKey": "a", "destinationKey": "new"},
        {},
    ),
    "remove": ({"select", "delete"}, "DELETE", "/object/{b}/a", None, {}),
}


def call(http: httpx.Client, bucket: str, name: str) -> httpx.Response:
    _, method, path, body, headers = CALLS[name]
    if "x-upsert" in headers:
        headers = {"x-upsert": "true"}
    if isinstance(body, dict):
        filled = {k: v.replace("{b}", bucket) if isinstance(v, str) else v for k, v in body.items()}
        return http.request(method, path.format(b=bucket), json=filled, headers=headers)
    content = b"new" if method in ("POST", "PUT") else None
    return http.request(method, path.format(b=bucket), content=content, headers=headers)


@pytest.mark.parametrize("name", CALLS)
def test_a_call_needs_exactly_its_policies(stack, storage, bucket, user, name):
    needed = CALLS[name][0]
    storage.post(f"/object/{bucket}/a", content=b"old")
    before = names(stack, bucket)
    for missing in needed:
        with object_policies(stack, bucket, dict.fromkeys(needed - {missing}, "true")):
            refused = call(user, bucket, name)
            assert refused.status_code == 400, (missing, refused.text)
            if name != "head":
                assert error_of(refused) in (DENIED, NO_OBJECT, NO_RIGHT)
            assert names(stack, bucket) == before
            assert storage.get(f"/object/{bucket}/a").content == b"old"
    with object_policies(stack, bucket, dict.fromkeys(needed, "true")):
        allowed = call(user, bucket, name)
    assert allowed.status_code == 200, allowed.text


def test_what_is_hidden_is_skipped_in_silence(stack, storage, bucket, user):
    storage.post(f"/object/{bucket}/a", content=b"a")
    listed = user.post(f"/object/list/{bucket}", json={"prefix": ""})
    assert (listed.status_code, listed.json()) == (200, [])
    paged = user.post(f"/object/list-v2/{bucket}", json={})
    assert paged.json() == {"hasNext": False, "folders": [], "objects": []}
    removed = user.request("DELETE", f"/object/{bucket}", json={"prefixes": ["a", "b"]})
    assert (removed.status_code, removed.json()) == (200, [])
    signed = user.post(f"/object/sign/{bucket}", json={"expiresIn": 60, "paths": ["a"]})
    assert [entry["signedURL"] for entry in signed.json()] == [None]
    assert names(stack, bucket) == ["a"]


def test_a_private_bucket_is_not_there_without_a_token(stack, storage, bucket):
    storage.post(f"/object/{bucket}/a", content=b"a")
    for token in (None, "", "garbage"):
        with storage_client(stack, token) as http:
            for path in (f"/object/{bucket}/a", f"/object/info/{bucket}/a"):
                assert error_of(http.get(path)) == NO_BUCKET
            for path in (f"/object/public/{bucket}/a", f"/object/info/public/{bucket}/a"):
                assert error_of(http.get(path)) == NO_BUCKET
            assert http.head(f"/object/{bucket}/a").status_code == 400
    with user_client(stack) as http:
        assert error_of(http.get(f"/object/{bucket}/a")) == NO_OBJECT
        assert error_of(http.get("/object/nowhere/a")) == NO_BUCKET


def test_a_public_bucket_is_read_by_all_and_listed_by_none(stack):
    with (
        temporary_bucket(stack, public=True) as bucket,
        storage_client(stack, stack.secret_key) as service,
        storage_client(stack, None) as nobody,
        user_client(stack) as user,
    ):
        service.post(f"/object/{bucket}/a", content=b"a")
        for path in (f"/object/public/{bucket}/a", f"/object/{bucket}/a"):
            assert nobody.get(path).content == b"a"
        assert nobody.get(f"/object/info/public/{bucket}/a").json()["size"] == 1
        assert user.post(f"/object/list/{bucket}", json={"prefix": ""}).json() == []
        assert error_of(user.post(f"/object/{bucket}/b", content=b"b")) == DENIED
        assert error_of(user.delete(f"/object/{bucket}/a"))[0] == "403"
        assert names(stack, bucket) == ["a"]


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "Invalid Compact JWS"),
        ("", "Invalid Compact JWS"),
        ("garbage", "Invalid Compact JWS"),
        ("wrong key", "signature verification failed"),
        ("expired", '"exp" claim timestamp check failed'),
    ],
)
def test_tokens_that_are_no_good(stack, token, message):
    if token == "wrong key":
        token = user_token(stack)[:-8] + "AAAAAAAA"
    if token == "expired":
        token = user_token(stack, seconds=-10)
    with storage_client(stack, token) as http:
        for method, path in (("GET", "/bucket"), ("POST", "/object/b/a"), ("DELETE", "/object/b")):
            assert error_of(http.request(method, path)) == ("403", "Unauthorized", message)


@pytest.mark.parametrize(
    "role",
    ["none", "supabase_storage_admin", "postgres", "supabase_admin", "no such role", "a\0b", 5],
)
def test_a_token_cannot_name_a_role_above_it(stack, role):
    with storage_client(stack, user_token(stack, role=role)) as http:
        assert error_of(http.get("/bucket"))[0] in ("400", "403")


def test_opaque_keys_work(stack, storage, bucket):
    with httpx.Client(base_url=f"{stack.api_url}/storage/v1") as http:
        for headers in (
            {"apikey": stack.secret_key},
            {"apikey": stack.secret_key, "Authorization": f"Bearer {stack.secret_key}"},
            {"Authorization": stack.service_role_key},
            {"Authorization": f"bearer {stack.service_role_key}"},
        ):
            assert http.get(f"/bucket/{bucket}", headers=headers).status_code == 200
        for key in (stack.publishable_key, stack.anon_key):
            hidden = http.get(f"/bucket/{bucket}", headers={"apikey": key})
            assert error_of(hidden) == NO_BUCKET


def test_policies_see_the_user_and_the_operation(stack, bucket):
    owner = str(uuid.uuid4())
    rules = {
        "insert": "(storage.foldername(name))[1] = (select auth.uid())::text"
        " and metadata ->> 'mimetype' = 'text/plain'",
        "select": "owner_id = (select auth.uid())::text"
        " and storage.allow_only_operation('object.get_authenticated')",
    }
    text = {"content-type": "text/plain"}
    with (
        object_policies(stack, bucket, rules),
        user_client(stack, owner) as mine,
        user_client(stack) as others,
    ):
        path = f"/object/{bucket}/{owner}/a"
        assert error_of(others.post(path, content=b"a", headers=text)) == DENIED
        assert error_of(mine.post(path, content=b"a", headers={"content-type": "a/b"})) == DENIED
        assert mine.post(path, content=b"a", headers=text).status_code == 200
        assert mine.get(path).content == b"a"
        assert error_of(mine.get(f"/object/info/{bucket}/{owner}/a")) == NO_OBJECT
        assert error_of(others.get(path)) == NO_OBJECT


def test_owners_are_kept_as_text_and_as_uuid(stack, storage, bucket):
    owners = {"a": str(uuid.uuid4()), "b": "user_123"}
    with object_policies(stack, bucket, EVERYTHING):
        for name, owner in owners.items():
            with user_client(stack, owner) as http:
                assert http.post(f"/object/{bucket}/{name}", content=b"x").status_code == 200
    storage.post(f"/object/{bucket}/c", content=b"x")
    removed = storage.request("DELETE", f"/object/{bucket}", json={"prefixes": ["a", "b", "c"]})
    assert {row["name"]: (row["owner"], row["owner_id"]) for row in removed.json()} == {
        "a": (owners["a"], owners["a"]),
        "b": ("", "user_123"),
        "c": ("", ""),
    }


def test_an_application_s_trigger_fires_in_the_probe_and_for_good(stack, storage, bucket):
    """What it wrote in the probe is rolled back; a sequence shows that it ran."""
    with psycopg.connect(stack.db_url, autocommit=True) as db:
        name = f"probe_{uuid.uuid4().hex}"
        db.execute(
            f"""
            create sequence public.{name};
            create function public.{name}() returns trigger language plpgsql
            security definer set search_path = '' as $$
            begin perform nextval('public.{name}'); return new; end $$;
            create trigger {name} after insert on storage.objects
            for each row when (new.bucket_id = '{bucket}') execute function public.{name}()
            """.encode()
        )
        try:
            assert storage.post(f"/object/{bucket}/a", content=b"a").status_code == 200
            row = db.execute(f"select last_value from public.{name}".encode()).fetchone()
            assert row == (2,)
        finally:
            db.execute(
                f"drop trigger {name} on storage.objects; drop function public.{name}();"
                f"drop sequence public.{name}".encode()
            )


def test_a_row_made_by_hand_leads_to_nobody_s_file(stack, storage, bucket):
    """Not even with the version of one, nor with a path for a version."""
    storage.post(f"/object/{bucket}/a", content=b"secret")
    version = storage.get(f"/object/info/{bucket}/a").json()["version"]
    with psycopg.connect(stack.db_url, autocommit=True) as db:
        for name, wrong in (("b", version), ("c", "../../../etc/passwd"), ("d", None)):
            db.execute(
                "insert into storage.objects (bucket_id, name, version) values (%s, %s, %s)",
                (bucket, name, wrong),
            )
    for name in "bcd":
        gone = error_of(storage.get(f"/object/{bucket}/{name}"))
        assert gone == ("404", "Not found", "The resource was not found")
        moved = {"bucketId": bucket, "sourceKey": name, "destinationKey": "e"}
        assert error_of(storage.post("/object/move", json=moved))[0] == "404"
    prefixes = {"prefixes": ["b", "c", "d"]}
    assert len(storage.request("DELETE", f"/object/{bucket}", json=prefixes).json()) == 3
    assert storage.get(f"/object/{bucket}/a").content == b"secret"
