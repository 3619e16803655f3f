"""Who can read what: table x person, over HTTP with real tokens."""

from __future__ import annotations

import pytest

# Rows of the story's conversation that each person reads; None: refused outright.
READS: dict[str, dict[str, int | None]] = {
    "conversations": {
        "owner": 1, "member": 1, "former_member": 0, "stranger": 0, "other_tenant": 0,
        "anon": None, "service_role": 1,
    },
    "participants": {
        "owner": 3, "member": 3, "former_member": 0, "stranger": 0, "other_tenant": 0,
        "anon": None, "service_role": 3,
    },
    "messages": {
        "owner": 1, "member": 1, "former_member": 0, "stranger": 0, "other_tenant": 0,
        "anon": None, "service_role": 1,
    },
    "inbox": {
        "owner": 1, "member": 1, "former_member": 0, "stranger": 0, "other_tenant": 0,
        "anon": None, "service_role": None,
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("table", "person", "expected"),
    [(table, person, n) for table, row in READS.items() for person, n in row.items()],
)
def test_rows_of_a_conversation(story, table, person, expected):
    column = "id" if table == "conversations" else "conversation_id"
    reader = getattr(story.people, person)

    response = reader.http.get(f"/rest/v1/{table}", params={column: f"eq.{story.conversation_id}"})

    if expected is None:
        assert response.status_code in (401, 403)
        assert response.json()["code"] == "42501"
    else:
        assert response.status_code == 200
        assert len(response.json()) == expected


def test_without_a_filter_nothing_of_others_appears(story):
    for person in (story.people.stranger, story.people.other_tenant):
        for table in ("conversations", "participants", "messages", "inbox"):
            assert person.rows(table) == []


def test_profiles_are_those_of_people_one_talks_to(story, people):
    def visible(person):
        return {row["id"] for row in person.rows("profiles")}

    assert visible(people.stranger) == {people.stranger.id}
    assert visible(people.other_tenant) == {people.other_tenant.id}
    assert people.member.id in visible(people.owner)
    assert people.stranger.id not in visible(people.owner)


def test_tenants_are_one_s_own(people):
    assert [row["slug"] for row in people.owner.rows("tenants")] == ["default"]
    assert [row["name"] for row in people.other_tenant.rows("tenants")] == ["Other"]
    assert people.anon.http.get("/rest/v1/tenants").status_code == 401


def test_members_of_a_tenant_do_not_see_each_other_s_membership(people):
    assert [row["user_id"] for row in people.stranger.rows("tenant_members")] == [
        people.stranger.id
    ]


def test_an_admin_of_a_tenant_sees_its_members(people, db):
    db.execute(
        "update chat.tenant_members set role = 'admin' where user_id = %s", (people.stranger.id,)
    )
    try:
        seen = {row["user_id"] for row in people.stranger.rows("tenant_members")}
    finally:
        db.execute(
            "update chat.tenant_members set role = 'member' where user_id = %s",
            (people.stranger.id,),
        )
    assert {people.owner.id, people.member.id} <= seen
    assert people.other_tenant.id not in seen


def test_a_removed_tenant_member_loses_every_conversation(newcomer, story, db):
    leaver = newcomer
    room = leaver.call("start_direct", user_id=story.people.owner.id)
    leaver.call("send_message", conversation_id=room["id"], body="hello")
    db.execute("update chat.tenant_members set removed_at = now() where user_id = %s", (leaver.id,))

    assert leaver.rows("messages") == []
    assert leaver.rows("conversations") == []
    refused = leaver.rpc("send_message", conversation_id=room["id"], body="still here?")
    assert refused.status_code == 404
    assert db.execute(
        "select count(*) from chat.messages where conversation_id = %s", (room["id"],)
    ).fetchone() == (1,)


def test_expired_messages_are_unreadable_though_stored(story):
    story.db.execute(
        "update chat.messages set expires_at = now() - interval '1 millisecond' "
        "where conversation_id = %s",
        (story.conversation_id,),
    )

    assert story.people.member.rows("messages", conversation_id=f"eq.{story.conversation_id}") == []
    (entry,) = story.people.member.rows("inbox", conversation_id=f"eq.{story.conversation_id}")
    assert entry["last_message"] is None
    assert story.db.execute(
        "select body from chat.messages where conversation_id = %s", (story.conversation_id,)
    ).fetchone() == ("for members",)


def test_who_joined_late_reads_from_their_first_message_on(story):
    owner, member = story.people.owner, story.people.member
    owner.call("send_message", conversation_id=story.conversation_id, body="second")
    story.db.execute(
        "update chat.participants set visible_from_seq = 2 "
        "where conversation_id = %s and user_id = %s",
        (story.conversation_id, member.id),
    )
    filters = {"conversation_id": f"eq.{story.conversation_id}", "order": "seq"}

    assert [row["body"] for row in member.rows("messages", **filters)] == ["second"]
    assert [row["body"] for row in owner.rows("messages", **filters)] == ["for members", "second"]


def test_how_one_keeps_a_conversation_is_one_s_own(story):
    owner, member = story.people.owner, story.people.member
    muted = owner.http.post(
        "/rest/v1/participant_settings",
        json={
            "conversation_id": story.conversation_id,
            "user_id": owner.id,
            "muted_until": "infinity",
        },
    )
    assert muted.status_code == 201, muted.text

    mine = {"conversation_id": f"eq.{story.conversation_id}"}
    assert member.rows("participant_settings", **mine) == []
    assert [row["is_muted"] for row in owner.rows("inbox", **mine)] == [True]
    assert [row["is_muted"] for row in member.rows("inbox", **mine)] == [False]
