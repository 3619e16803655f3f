"""Who can see and make notifications, preferences and devices: over HTTP, as every person."""

from __future__ import annotations

import uuid

import httpx
import pytest

from support.people import sign_in

OUTSIDERS = ("owner", "former_member", "stranger", "other_tenant")
TABLES = ("notifications", "notification_feed", "notification_preferences", "devices")
SERVICE_ONLY = ("send_notification", "list_message_pushes", "list_notification_pushes")


def state_of(db):
    """All that is written here, to compare."""
    return {
        table: db.execute(f"select t::text from {table} as t order by 1").fetchall()
        for table in (
            "chat.notifications",
            "chat.notification_preferences",
            "chat.devices",
            "chat_private.push_tokens",
        )
    }


@pytest.fixture
def told(story):
    """The member has one row of each: told of a mention, with preferences and a device."""
    owner, member = story.people.owner, story.people.member
    story.db.execute("delete from chat.notifications")
    story.db.execute("delete from chat.notification_preferences")
    story.db.execute("delete from chat.devices")
    owner.call(
        "send_message",
        conversation_id=story.conversation_id,
        body="the secret",
        mentions=[member.id],
    )
    member.http.post(
        "/rest/v1/notification_preferences", json={"timezone": "Europe/Berlin"}
    ).raise_for_status()
    member.call("register_device", id=str(uuid.uuid4()), provider="fcm", token="the token")
    return story


def test_the_member_sees_their_own(told):
    member = told.people.member
    assert {table: len(member.rows(table)) for table in TABLES} == dict.fromkeys(TABLES, 1)
    (row,) = member.rows("notification_feed")
    assert (row["body"], row["message_seq"]) == ("the secret", 2)
    assert member.call("count_unread_notifications") == 1
    assert member.http.post("/rest/v1/rpc/mark_notifications_read", json={"up_to_id": row["id"]})
    assert member.call("count_unread_notifications") == 0


@pytest.mark.parametrize("person", OUTSIDERS)
@pytest.mark.parametrize("table", TABLES)
def test_nobody_sees_those_of_others(told, table, person):
    assert getattr(told.people, person).rows(table) == []


@pytest.mark.parametrize("table", TABLES)
def test_anon_sees_and_makes_nothing(told, table):
    before = state_of(told.db)
    http = told.people.anon.http
    methods = ("GET",) if table == "notification_feed" else ("GET", "POST", "PATCH", "DELETE")
    for method in methods:
        json = {"user_id": told.people.member.id} if method in ("POST", "PATCH") else None
        response = http.request(
            method, f"/rest/v1/{table}", json=json, params={"user_id": "not.is.null"}
        )
        assert (response.status_code, response.json()["code"]) == (401, "42501")
    assert state_of(told.db) == before


@pytest.mark.parametrize("person", [*OUTSIDERS, "member"])
def test_nobody_writes_a_notification_or_a_device(told, person):
    before = state_of(told.db)
    caller, member = getattr(told.people, person), told.people.member
    for table, row in (
        ("notifications", {"type": "custom", "title": "forged", "user_id": member.id}),
        ("notifications", {"type": "custom", "title": "forged", "user_id": caller.id}),
        ("devices", {"id": str(uuid.uuid4()), "user_id": member.id}),
        ("devices", {"id": str(uuid.uuid4()), "user_id": caller.id}),
    ):
        response = caller.http.post(f"/rest/v1/{table}", json=row)
        assert (response.status_code, response.json()["code"]) == (403, "42501"), response.text
    for column, value in (("read_at", None), ("user_id", caller.id), ("title", "forged")):
        response = caller.http.patch(
            "/rest/v1/notifications", json={column: value}, params={"user_id": f"eq.{member.id}"}
        )
        assert response.status_code == 403, response.text
    assert state_of(told.db) == before


@pytest.mark.parametrize("person", OUTSIDERS)
def test_nobody_changes_or_drops_those_of_others(told, person):
    before = state_of(told.db)
    caller, member = getattr(told.people, person), told.people.member
    where = {"user_id": f"eq.{member.id}"}
    assert caller.call("mark_notifications_read", up_to_id=9223372036854775807) == 0
    for table in ("notifications", "notification_preferences", "devices"):
        response = caller.http.delete(f"/rest/v1/{table}", params=where)
        assert (response.status_code, response.json()) == (200, [])
    for table, change in (
        ("notification_preferences", {"push": "none"}),
        ("devices", {"name": "x"}),
    ):
        response = caller.http.patch(f"/rest/v1/{table}", json=change, params=where)
        assert (response.status_code, response.json()) == (200, [])
    response = caller.http.post(
        "/rest/v1/notification_preferences", json={"user_id": member.id, "push": "none"}
    )
    assert (response.status_code, response.json()["code"]) == (403, "42501")
    (device,) = told.db.execute("select id from chat.devices").fetchone()
    response = caller.rpc("revoke_device", id=str(device))
    assert (response.status_code, response.json()["details"]) == (404, "device_not_found")
    assert state_of(told.db) == before


@pytest.mark.parametrize("function", SERVICE_ONLY)
@pytest.mark.parametrize("person", [*OUTSIDERS, "member", "anon"])
def test_what_is_for_the_service_role_is_for_nobody_else(told, function, person):
    before = state_of(told.db)
    member = told.people.member
    (notification_id,) = told.db.execute("select id from chat.notifications").fetchone()
    response = getattr(told.people, person).rpc(
        function,
        **{
            "send_notification": {"user_id": member.id, "title": "forged"},
            "list_message_pushes": {"conversation_id": told.conversation_id, "seq": 2},
            "list_notification_pushes": {"notification_id": notification_id},
        }[function],
    )
    assert response.json()["code"] == "42501"
    assert response.status_code == (401 if person == "anon" else 403)
    assert state_of(told.db) == before


def test_a_token_is_shown_to_the_service_role_alone(told):
    for person in vars(told.people).values():
        if person.name != "anon":
            assert "the token" not in str(person.rows("devices"))
        assert person.http.get("/rest/v1/push_tokens").status_code in (401, 404)
    rows = told.people.service_role.call(
        "list_message_pushes", conversation_id=told.conversation_id, seq=2
    )
    assert [(row["token"], row["reason"]) for row in rows] == [("the token", "mention")]


def test_a_removed_member_sees_none_of_it_any_more(told):
    member, db = told.people.member, told.db
    told.people.owner.rpc(
        "remove_participant", conversation_id=told.conversation_id, user_id=member.id
    ).raise_for_status()
    assert member.rows("notification_feed") == []
    assert member.rows("notifications") == []
    assert member.call("count_unread_notifications") == 0
    assert db.execute("select count(*) from chat.notifications").fetchone() == (1,)


def test_preferences_are_upserted(told):
    for push in ("mentions", "none"):
        response = told.people.member.http.post(
            "/rest/v1/notification_preferences",
            json={"push": push, "quiet_from": "22:00", "quiet_until": "07:00"},
            headers={"Prefer": "resolution=merge-duplicates,return=representation"},
        )
        assert response.status_code in (200, 201), response.text
    (row,) = told.people.member.rows("notification_preferences")
    assert (row["push"], row["timezone"]) == ("none", "Europe/Berlin")


def test_a_device_ends_with_its_session(stack, story):
    """Signed out on one device; the other goes on until it is revoked from there."""
    email = "bob@example.com"
    phone, laptop = sign_in(stack, email), sign_in(stack, email)
    story.db.execute("delete from chat.devices")
    ids = {}
    for person, name in ((phone, "phone"), (laptop, "laptop")):
        ids[name] = str(uuid.uuid4())
        person.call("register_device", id=ids[name], provider="fcm", token=name, name=name)
    assert {row["name"] for row in laptop.rows("devices")} == {"phone", "laptop"}

    httpx.post(
        f"{stack.api_url}/auth/v1/logout",
        params={"scope": "local"},
        headers={"apikey": stack.publishable_key, "Authorization": f"Bearer {phone.token}"},
    ).raise_for_status()
    assert {row["name"] for row in laptop.rows("devices")} == {"laptop"}
    response = phone.rpc("register_device", id=ids["phone"], provider="fcm", token="phone")
    assert (response.status_code, response.json()["details"]) == (403, "session_ended")

    laptop.rpc("revoke_device", id=ids["laptop"]).raise_for_status()
    assert story.db.execute("select * from chat.devices").fetchall() == []
    assert story.db.execute("select * from chat_private.push_tokens").fetchall() == []
    for person in (phone, laptop):
        person.http.close()
