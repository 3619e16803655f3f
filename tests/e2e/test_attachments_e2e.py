"""Files of messages through Storage: who is in the conversation has them, and nobody else."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from support.people import Person, api_key, sign_up
from support.stacks import Stack
from support.storage import error_of

BUCKET = "chat-attachments"
CONTENT = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
NO_OBJECT = ("404", "not_found", "Object not found")


@dataclass
class Room:
    """A group of two, somebody who was in it, and somebody who never was."""

    id: str
    tenant: str
    owner: Person
    member: Person
    former: Person
    stranger: Person

    def path(self, name: str = "photo.png") -> str:
        return f"{self.tenant}/{self.id}/{uuid.uuid4()}/{name}"


@pytest.fixture
def room(stack: Stack) -> Iterator[Room]:
    people = [sign_up(stack, name) for name in ("owner", "member", "former", "stranger")]
    owner, member, former, _ = people
    group = owner.call("start_group", title="files", user_ids=[member.id, former.id])
    yield Room(group["id"], group["tenant_id"], *people)
    for person in people:
        person.http.close()


def upload(person: Person, path: str, kind: str = "image/png", **more: object) -> httpx.Response:
    return person.http.post(
        f"/storage/v1/object/{BUCKET}/{path}",
        content=more.get("content", CONTENT),
        headers={"content-type": kind},
    )


def download(person: Person, path: str) -> httpx.Response:
    return person.http.get(f"/storage/v1/object/{BUCKET}/{path}")


def listed(person: Person, room: Room) -> list[str]:
    """Full names of the room's files that this person is shown, by either list."""
    folder = f"{room.tenant}/{room.id}"
    first = person.http.post(f"/storage/v1/object/list/{BUCKET}", json={"prefix": folder})
    second = person.http.post(f"/storage/v1/object/list-v2/{BUCKET}", json={"prefix": folder})
    names = [entry["name"] for entry in second.json()["objects"]]
    assert sorted({name.split("/")[2] for name in names}) == [e["name"] for e in first.json()]
    return names


def assert_nothing(person: Person, room: Room, path: str) -> None:
    """No content, no link, no listing, no change; and no word on whether there is anything."""
    http = person.http
    one = f"{BUCKET}/{path}"
    assert error_of(download(person, path)) == NO_OBJECT
    assert error_of(http.get(f"/storage/v1/object/info/{one}")) == NO_OBJECT
    assert http.head(f"/storage/v1/object/{one}").status_code == 400
    assert (
        error_of(http.post(f"/storage/v1/object/sign/{one}", json={"expiresIn": 60})) == NO_OBJECT
    )
    body = {"expiresIn": 60, "paths": [path]}
    many = http.post(f"/storage/v1/object/sign/{BUCKET}", json=body).json()
    assert [entry["signedURL"] for entry in many] == [None]
    assert listed(person, room) == []
    body = {"prefixes": [path]}
    assert http.request("DELETE", f"/storage/v1/object/{BUCKET}", json=body).json() == []
    for verb in ("move", "copy"):
        body = {"bucketId": BUCKET, "sourceKey": path, "destinationKey": room.path()}
        assert error_of(http.post(f"/storage/v1/object/{verb}", json=body)) == NO_OBJECT
    assert error_of(http.put(f"/storage/v1/object/{one}", content=b"x"))[0] in ("403", "415")
    public = http.get(f"/storage/v1/object/public/{one}")
    assert error_of(public)[0] == "404"


def test_a_file_goes_from_one_member_to_another(stack: Stack, room: Room) -> None:
    path = room.path()
    sent = upload(room.owner, path)
    assert sent.status_code == 200, sent.text
    # Until it is sent it is its uploader's alone.
    assert download(room.owner, path).content == CONTENT
    for person in (room.member, room.former, room.stranger):
        assert_nothing(person, room, path)
    message = room.owner.call(
        "send_attachments", conversation_id=room.id, attachments=[{"path": path}], body="look"
    )
    assert message["kind"] == "image"
    attached = room.member.rows("attachments", conversation_id=f"eq.{room.id}")
    assert [(a["path"], a["size_bytes"], a["mime_type"]) for a in attached] == [
        (path, len(CONTENT), "image/png")
    ]
    for person in (room.owner, room.member, room.former):
        assert download(person, path).content == CONTENT
        assert listed(person, room) == [path]
    link = room.member.http.post(
        f"/storage/v1/object/sign/{BUCKET}/{path}", json={"expiresIn": 60}
    ).json()["signedURL"]
    with httpx.Client(base_url=f"{stack.api_url}/storage/v1") as nobody:
        assert nobody.get(link).content == CONTENT
    assert_nothing(room.stranger, room, path)
    anybody = api_key(stack, "anon")
    with anybody.http:
        assert_nothing(anybody, room, path)
    # What was sent does not change any more, not even for who sent it.
    again = room.owner.http.put(
        f"/storage/v1/object/{BUCKET}/{path}", content=b"x", headers={"content-type": "image/png"}
    )
    assert error_of(again)[0] == "403"
    body = {"prefixes": [path]}
    gone = room.owner.http.request("DELETE", f"/storage/v1/object/{BUCKET}", json=body)
    assert gone.json() == []
    assert download(room.member, path).content == CONTENT


def test_who_is_removed_has_nothing_any_more(room: Room) -> None:
    path = room.path()
    upload(room.owner, path)
    room.owner.call("send_attachments", conversation_id=room.id, attachments=[{"path": path}])
    assert download(room.former, path).content == CONTENT
    own = room.path()
    assert upload(room.former, own).status_code == 200
    removed = room.owner.rpc("remove_participant", conversation_id=room.id, user_id=room.former.id)
    assert removed.status_code == 204, removed.text
    later = room.path()
    upload(room.owner, later)
    room.owner.call("send_attachments", conversation_id=room.id, attachments=[{"path": later}])
    for name in (path, later):
        assert error_of(download(room.former, name)) == NO_OBJECT
    assert path not in listed(room.former, room)
    assert later not in listed(room.former, room)
    assert error_of(upload(room.former, room.path()))[0] == "403"
    signed = f"/storage/v1/object/upload/sign/{BUCKET}/{room.path()}"
    assert error_of(room.former.http.post(signed))[0] == "403"
    assert download(room.member, later).content == CONTENT


def test_uploads_that_the_rules_forbid(room: Room) -> None:
    stranger_s = error_of(upload(room.stranger, room.path()))
    assert stranger_s == ("403", "Unauthorized", "new row violates row-level security policy")
    elsewhere = f"{room.tenant}/{uuid.uuid4()}/{uuid.uuid4()}/a.png"
    assert error_of(upload(room.owner, elsewhere))[0] == "403"
    assert error_of(upload(room.owner, "a.png"))[0] == "403"
    assert error_of(upload(room.owner, room.path(), "text/html"))[0] == "415"
    too_large = upload(room.owner, room.path(), content=b"x" * (10 * 1024 * 1024 + 1))
    assert error_of(too_large)[0] == "413"
    assert listed(room.owner, room) == []
    largest = room.path()
    sent = upload(room.owner, largest, content=b"x" * 10 * 1024 * 1024)
    assert sent.status_code == 200
    # What is not sent can be taken back.
    body = {"prefixes": [largest]}
    gone = room.owner.http.request("DELETE", f"/storage/v1/object/{BUCKET}", json=body).json()
    assert [row["name"] for row in gone] == [largest]


def test_a_deleted_message_takes_its_file_along(room: Room) -> None:
    path = room.path()
    upload(room.owner, path)
    message = room.owner.call(
        "send_attachments", conversation_id=room.id, attachments=[{"path": path}]
    )
    room.owner.call("delete_message", conversation_id=room.id, seq=message["seq"])
    for person in (room.owner, room.member):
        assert_nothing(person, room, path)
