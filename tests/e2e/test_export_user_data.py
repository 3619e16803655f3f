"""The edge function that writes everything of a person."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from support.people import Person, sign_up
from support.stacks import Stack

BUCKET = "chat-attachments"
CONTENT = b"\x89PNG\r\n"


@pytest.fixture
def people(stack: Stack) -> Iterator[list[Person]]:
    people = [sign_up(stack, name) for name in ("owner", "stranger")]
    yield people
    for person in people:
        person.http.close()


def call(stack: Stack, key: str, token: str, **body: object) -> httpx.Response:
    return httpx.post(
        f"{stack.api_url}/functions/v1/export-user-data",
        headers={"apikey": key, "authorization": f"Bearer {token}"} if key else {},
        json=body,
        timeout=60,
    )


def write(person: Person, text: str, count: int = 1) -> str:
    """A group with messages and a file; returns the file's path."""
    group = person.call("start_group", title="mine")
    for number in range(count):
        person.call("send_message", conversation_id=group["id"], body=f"{text} {number}")
    path = f"{group['tenant_id']}/{group['id']}/{uuid.uuid4()}/a.png"
    done = person.http.post(
        f"/storage/v1/object/{BUCKET}/{path}", content=CONTENT,
        headers={"content-type": "image/png"},
    )  # fmt: skip
    assert done.status_code == 200, done.text
    person.call("send_attachments", conversation_id=group["id"], attachments=[{"path": path}])
    return path


def follow(url: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The index, and all lines, read by signed addresses alone."""
    index = httpx.get(url).raise_for_status().json()
    lines = []
    for part in index["parts"]:
        text = httpx.get(part["url"]).raise_for_status().text
        lines += [json.loads(line) for line in text.splitlines()]
    return index, lines


def test_a_person_has_all_that_is_theirs(stack: Stack, people: list[Person]) -> None:
    owner, stranger = people
    path = write(owner, "my words", 3)
    write(stranger, "other words")
    answer = call(stack, stack.publishable_key, owner.token)
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert not done["has_more"]
    index, lines = follow(done["url"])
    assert len(lines) == done["row_count"] == index["row_count"]
    bodies = [line["row"]["body"] for line in lines if line["table"] == "chat.messages"]
    assert bodies == ["my words 0", "my words 1", "my words 2", None]
    (file,) = index["files"]
    assert file["path"] == f"files/{path}"
    assert httpx.get(file["url"]).content == CONTENT
    assert "other words" not in json.dumps(lines)
    # Again: the same export, and addresses that work.
    again = call(stack, stack.publishable_key, owner.token).json()
    assert again["id"] == done["id"]
    assert len(follow(again["url"])[1]) == done["row_count"]


def test_it_goes_on_after_a_kill(stack: Stack, people: list[Person]) -> None:
    owner, _ = people
    write(owner, "kept", 5)
    service = {"apikey": stack.secret_key, "authorization": f"Bearer {stack.secret_key}",
               "content-profile": "chat"}  # fmt: skip
    export = owner.call("begin_export")

    def rpc(name: str, **arguments: object) -> Any:
        answer = httpx.post(f"{stack.api_url}/rest/v1/rpc/{name}", json=arguments, headers=service)
        return answer.raise_for_status().json()

    # A worker wrote a part of three rows and noted it, and another that it did not come to note.
    for number in (1, 2):
        page = rpc("read_export", export_id=export["id"], max_count=3)
        name = f"{export['id']}/rows-{number}.ndjson"
        httpx.post(
            f"{stack.api_url}/storage/v1/object/chat-exports/{name}",
            content=page["text"] + "\n", headers=service,
        ).raise_for_status()  # fmt: skip
        if number == 1:
            taken = {key: page[key] for key in ("part", "row_count", "files", "cursor")}
            assert rpc("save_export_part", export_id=export["id"], path=name, **taken) == 1
    done = call(stack, stack.publishable_key, owner.token).json()
    assert (done["id"], done["has_more"]) == (export["id"], False)
    index, lines = follow(done["url"])
    assert len(index["parts"]) == done["part_count"] == 2
    texts = [json.dumps(line, sort_keys=True) for line in lines]
    assert len(texts) == len(set(texts)) == done["row_count"]
    assert sum("kept" in text for text in texts) == 5


def test_nobody_has_anothers(stack: Stack, people: list[Person]) -> None:
    owner, stranger = people
    write(owner, "secret")
    for key, token, status in [
        (stack.publishable_key, stranger.token, 403),
        (stack.publishable_key, stack.publishable_key, 401),
        (stack.publishable_key, "guess", 401),
        ("", "", 401),
    ]:
        answer = call(stack, key, token, user_id=owner.id)
        assert answer.status_code == status, answer.text
        assert "url" not in answer.json()
    assert owner.rows("exports") == []
    done = call(stack, stack.publishable_key, owner.token).json()
    assert stranger.rows("exports") == []
    (name,) = [name for name in names(stack) if name == f"{done['id']}/index.json"]
    # Not even its owner without a signed address, so not with a stolen session's token alone.
    for person in people:
        read = person.http.get(f"/storage/v1/object/chat-exports/{name}")
        assert read.status_code == 400
        listed = person.http.post(
            "/storage/v1/object/list/chat-exports", json={"prefix": done["id"]}
        )
        assert listed.json() == []
        sign = person.http.post(
            f"/storage/v1/object/sign/chat-exports/{name}", json={"expiresIn": 60}
        )
        assert sign.status_code == 400


def test_support_can_and_what_is_over_goes(stack: Stack, people: list[Person]) -> None:
    owner, _ = people
    write(owner, "mine")
    done = call(stack, stack.secret_key, stack.secret_key, user_id=owner.id).json()
    assert done["user_id"] == owner.id
    assert len(names(stack, done["id"])) == 3
    with psycopg.connect(stack.db_url, autocommit=True) as db:
        db.execute("update chat.exports set expires_at = now() where id = %s", (done["id"],))
    answer = httpx.post(
        f"{stack.api_url}/functions/v1/purge-attachments",
        headers={"apikey": stack.secret_key, "authorization": f"Bearer {stack.secret_key}"},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    assert names(stack, done["id"]) == []


def names(stack: Stack, folder: str = "") -> list[str]:
    """What is in the bucket of exports."""
    with psycopg.connect(stack.db_url) as db:
        return [
            name for (name,) in db.execute(
                "select name from storage.objects where bucket_id = 'chat-exports'"
                " and starts_with(name, %s)", (folder,),
            )
        ]  # fmt: skip
