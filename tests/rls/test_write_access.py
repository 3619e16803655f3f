"""Who can change what: every write that is not offered is refused and changes nothing."""

from __future__ import annotations

import uuid

import pytest

NOBODY_MAY_WRITE = ("conversations", "participants", "messages", "tenants", "tenant_members")
PEOPLE = ("owner", "member", "former_member", "stranger", "other_tenant", "anon")


def state_of(db, *tables):
    """Everything in the tables, to compare."""
    return {
        table: db.execute(f"select t::text from chat.{table} as t order by 1").fetchall()
        for table in tables
    }


def forged_rows(story, user_id):
    """A row for each table, as an attacker would write it."""
    return {
        "conversations": {"tenant_id": str(uuid.uuid4()), "kind": "group", "title": "Mine"},
        "participants": {
            "conversation_id": story.conversation_id,
            "user_id": user_id or str(uuid.uuid4()),
            "tenant_id": "00000000-0000-4000-8000-000000000001",
            "role": "owner",
        },
        "messages": {
            "conversation_id": story.conversation_id,
            "sender_id": story.people.owner.id,
            "seq": 99,
            "rev": 99,
            "body": "forged",
            "created_at": "2020-01-01T00:00:00Z",
        },
        "tenants": {"slug": f"mine-{uuid.uuid4().hex[:8]}", "name": "Mine"},
        "tenant_members": {
            "tenant_id": "00000000-0000-4000-8000-000000000001",
            "user_id": user_id or str(uuid.uuid4()),
            "role": "owner",
        },
    }


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("table", NOBODY_MAY_WRITE)
def test_tables_that_only_functions_write(story, table, person):
    writer = getattr(story.people, person)
    before = state_of(story.db, table)
    anything = {
        "conversations": {"title": "Taken over"},
        "participants": {"role": "owner"},
        "messages": {"body": "rewritten"},
        "tenants": {"name": "Taken over"},
        "tenant_members": {"role": "owner"},
    }[table]
    everywhere = {
        "conversations": "id",
        "participants": "conversation_id",
        "messages": "conversation_id",
        "tenants": "id",
        "tenant_members": "tenant_id",
    }[table]
    path, all_rows = f"/rest/v1/{table}", {everywhere: "not.is.null"}

    responses = [
        writer.http.post(path, json=forged_rows(story, writer.id)[table]),
        writer.http.patch(path, json=anything, params=all_rows),
        writer.http.delete(path, params=all_rows),
    ]

    for response in responses:
        assert response.status_code in (401, 403), response.text
        assert response.json()["code"] == "42501"
    assert state_of(story.db, table) == before


@pytest.mark.parametrize("person", ["member", "stranger", "other_tenant"])
def test_nobody_changes_another_s_profile(story, person):
    before = state_of(story.db, "profiles")
    writer = getattr(story.people, person)

    response = writer.http.patch(
        "/rest/v1/profiles",
        json={"display_name": "Hacked"},
        params={"id": f"eq.{story.people.owner.id}"},
    )

    assert response.json() == []
    assert state_of(story.db, "profiles") == before


def test_everybody_changes_their_own_profile(people):
    response = people.stranger.http.patch(
        "/rest/v1/profiles",
        json={"display_name": "Somebody"},
        params={"id": f"eq.{people.stranger.id}"},
    )
    assert response.status_code == 200, response.text
    assert response.json()[0]["display_name"] == "Somebody"


@pytest.mark.parametrize("column", ["id", "created_at"])
def test_the_rest_of_a_profile_is_fixed(people, column):
    response = people.stranger.http.patch(
        "/rest/v1/profiles",
        json={column: "2020-01-01"},
        params={"id": f"eq.{people.stranger.id}"},
    )
    assert response.json()["code"] == "42501"


@pytest.mark.parametrize("person", ["former_member", "stranger", "other_tenant"])
def test_settings_of_a_conversation_need_participation(story, person):
    writer = getattr(story.people, person)
    before = state_of(story.db, "participant_settings")

    response = writer.http.post(
        "/rest/v1/participant_settings",
        json={"conversation_id": story.conversation_id, "user_id": writer.id, "is_pinned": True},
    )

    assert response.status_code == 403
    assert state_of(story.db, "participant_settings") == before


def test_settings_of_others_are_out_of_reach(story):
    owner, member = story.people.owner, story.people.member
    mine = {"conversation_id": story.conversation_id, "user_id": owner.id, "is_archived": True}
    owner.http.post("/rest/v1/participant_settings", json=mine).raise_for_status()
    before = state_of(story.db, "participant_settings")
    path, where = "/rest/v1/participant_settings", {"user_id": f"eq.{owner.id}"}

    assert member.http.patch(path, json={"is_archived": False}, params=where).json() == []
    assert member.http.delete(path, params=where).json()["code"] == "42501"
    assert member.http.post(path, json={**mine, "is_pinned": True}).status_code in (403, 409)
    moved = owner.http.patch(path, json={"user_id": member.id}, params=where)
    assert moved.json()["code"] == "42501"
    assert state_of(story.db, "participant_settings") == before


@pytest.mark.parametrize("person", ["former_member", "stranger", "other_tenant"])
@pytest.mark.parametrize("function", ["send_message", "mark_read"])
def test_functions_know_no_conversation_of_others(story, function, person):
    tables = ("conversations", "participants", "messages")
    before = state_of(story.db, *tables)
    caller = getattr(story.people, person)
    body = {"body": "let me in"} if function == "send_message" else {}

    response = caller.rpc(function, conversation_id=story.conversation_id, **body)

    assert response.status_code == 404
    assert response.json()["details"] == "conversation_not_found"
    # The same answer as for a conversation that does not exist.
    other = caller.rpc(function, conversation_id=str(uuid.uuid4()), **body)
    assert other.json() == response.json()
    assert state_of(story.db, *tables) == before


@pytest.mark.parametrize("function", ["start_direct", "start_group", "send_message", "mark_read"])
def test_functions_are_not_for_anonymous_callers(story, function):
    response = story.people.anon.rpc(function)
    assert response.status_code in (401, 404)

    arguments = {
        "start_direct": {"username": "bob"},
        "start_group": {"title": "x"},
        "send_message": {"conversation_id": story.conversation_id, "body": "x"},
        "mark_read": {"conversation_id": story.conversation_id},
    }[function]
    response = story.people.anon.rpc(function, **arguments)
    assert response.status_code == 401
    assert response.json()["code"] == "42501"


def test_helpers_are_not_reachable(people):
    response = people.owner.http.post(
        "/rest/v1/rpc/conversation_ids_for_member",
        json={},
        headers={"Content-Profile": "chat_private"},
    )
    assert response.status_code == 406


def test_nobody_starts_a_conversation_across_tenants(people, db):
    before = state_of(db, "conversations")

    direct = people.owner.rpc("start_direct", user_id=people.other_tenant.id)
    group = people.owner.rpc("start_group", title="Both", user_ids=[people.other_tenant.id])
    there = people.owner.rpc(
        "start_group",
        title="Theirs",
        tenant_id=people.other_tenant.rows("tenants")[0]["id"],
    )

    assert direct.json()["details"] == "user_not_found"
    assert group.json()["details"] == "user_not_found"
    assert there.json()["details"] == "not_a_tenant_member"
    assert state_of(db, "conversations") == before


def test_another_s_message_id_tells_nothing_and_takes_nothing(story):
    room = story.people.stranger.call("start_direct", user_id=story.people.owner.id)
    response = story.people.stranger.rpc(
        "send_message",
        conversation_id=room["id"],
        body="mine",
        id=story.message["id"],
    )
    assert response.status_code == 409
    assert response.json()["details"] == "message_id_taken"
    assert "for members" not in response.text
