"""The edge function that removes from Storage what belongs to no message any more."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from support.people import Person, sign_up
from support.stacks import Stack

BUCKET = "chat-attachments"


@pytest.fixture
def owner(stack: Stack) -> Iterator[Person]:
    person = sign_up(stack, "owner")
    yield person
    person.http.close()


def call(stack: Stack, key: str) -> httpx.Response:
    return httpx.post(
        f"{stack.api_url}/functions/v1/purge-attachments",
        headers={"apikey": key, "authorization": f"Bearer {key}"} if key else {},
        timeout=60,
    )


def send_file(owner: Person) -> tuple[str, str]:
    """The conversation, and the path of a file in it."""
    group = owner.call("start_group", title="files")
    path = f"{group['tenant_id']}/{group['id']}/{uuid.uuid4()}/a.png"
    done = owner.http.post(
        f"/storage/v1/object/{BUCKET}/{path}",
        content=b"\x89PNG",
        headers={"content-type": "image/png"},
    )
    assert done.status_code == 200, done.text
    owner.call("send_attachments", conversation_id=group["id"], attachments=[{"path": path}])
    return group["id"], path


def test_files_of_purged_messages_go_and_others_stay(stack: Stack, owner: Person) -> None:
    (gone, gone_path), (_, kept_path) = send_file(owner), send_file(owner)
    queued = "select count(*) from chat_private.orphaned_objects where path = any (%s)"
    there = "select name from storage.objects where name = any (%s)"
    paths = [gone_path, kept_path]
    with psycopg.connect(stack.db_url, autocommit=True) as db:
        db.execute("delete from chat.messages where conversation_id = %s", (gone,))
        assert db.execute(queued, (paths,)).fetchone() == (1,)
        for expected in (1, 0):
            done = call(stack, stack.secret_key)
            assert done.status_code == 200, done.text
            assert done.json()["removed"] >= expected
        assert db.execute(queued, (paths,)).fetchone() == (0,)
        assert db.execute(there, (paths,)).fetchall() == [(kept_path,)]
    assert owner.http.get(f"/storage/v1/object/{BUCKET}/{kept_path}").content == b"\x89PNG"


def test_only_who_has_the_secret_key_can_call_it(stack: Stack, owner: Person) -> None:
    _, path = send_file(owner)
    for key in ("", stack.publishable_key, owner.token):
        answer = call(stack, key)
        assert (answer.status_code, answer.json()["code"]) == (401, "secret_key_required")
    assert owner.http.get(f"/storage/v1/object/{BUCKET}/{path}").status_code == 200


def test_what_storage_still_has_stays_in_the_queue(stack: Stack, owner: Person) -> None:
    conversation, path = send_file(owner)
    service = {"apikey": stack.secret_key, "authorization": f"Bearer {stack.secret_key}"}
    with psycopg.connect(stack.db_url, autocommit=True) as db:
        db.execute("delete from chat.messages where conversation_id = %s", (conversation,))
        forgotten = httpx.post(
            f"{stack.api_url}/rest/v1/rpc/forget_purged_files",
            json={"paths": [path]},
            headers={**service, "content-profile": "chat"},
        )
        assert forgotten.json() == 0
        queue = "select count(*) from chat_private.orphaned_objects where path = %s"
        assert db.execute(queue, (path,)).fetchone() == (1,)
    assert call(stack, stack.secret_key).status_code == 200
