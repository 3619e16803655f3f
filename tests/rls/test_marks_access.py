"""Who can see and make what hangs on messages: over HTTP, as every kind of person."""

from __future__ import annotations

import uuid

import pytest

OUTSIDERS = ("former_member", "stranger", "other_tenant")
PEOPLE = ("owner", "member", *OUTSIDERS, "anon")
TABLES = (
    "reactions",
    "poll_votes",
    "mentions",
    "pins",
    "saved_messages",
    "drafts",
    "scheduled_messages",
    "thread_reads",
)
# What everybody in the conversation sees; the rest is one's own.
SHARED = ("reactions", "poll_votes", "mentions", "pins")
ONLY_FUNCTIONS_WRITE = (*SHARED, "scheduled_messages", "thread_reads")
POLL = {
    "question": "Which?",
    "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
}


def state_of(db):
    """Everything that hangs on messages, and the conversations' counters, to compare."""
    return {
        table: db.execute(f"select t::text from chat.{table} as t order by 1").fetchall()
        for table in (*TABLES, "participant_settings", "conversations", "messages")
    }


def calls(story):
    """Each function, with arguments that the owner of the story could use."""
    where = {"conversation_id": story.conversation_id}
    return {
        "react": {**where, "seq": 1, "emoji": "🎉"},
        "unreact": {**where, "seq": 1, "emoji": "👍"},
        "vote": {**where, "seq": story.poll, "option_ids": ["b"]},
        "close_poll": {**where, "seq": story.poll},
        "pin_message": {**where, "seq": story.poll},
        "unpin_message": {**where, "seq": 1},
        "schedule_message": {**where, "send_at": "2999-01-01T00:00:00Z", "body": "x"},
        "update_scheduled_message": {"id": story.scheduled, "body": "changed"},
        "cancel_scheduled_message": {"id": story.scheduled},
        "mark_thread_read": {**where, "root_seq": 1},
        "follow_thread": {**where, "root_seq": 1},
        "unfollow_thread": {**where, "root_seq": 1},
    }


def forged(story, table, user_id):
    """A row of the table, as an attacker would write it."""
    where = {"conversation_id": story.conversation_id}
    message = {**where, "message_seq": 1, "user_id": user_id}
    return {
        "reactions": {**message, "emoji": "💣"},
        "poll_votes": {**message, "message_seq": story.poll, "option_id": "b"},
        "mentions": {**message, "message_seq": story.poll},
        "pins": {**where, "message_seq": story.poll, "pinned_by": user_id},
        "saved_messages": {**message, "message_seq": story.poll},
        "drafts": {**where, "user_id": user_id, "body": "forged"},
        "scheduled_messages": {
            **where,
            "user_id": user_id,
            "body": "forged",
            "send_at": "2020-01-01T00:00:00Z",
        },
        "thread_reads": {
            **where,
            "thread_root_seq": story.poll,
            "user_id": user_id,
            "last_read_seq": 9,
            "is_following": True,
        },
    }[table]


class Marked:
    """The story with one row of the member's in each table."""

    def __init__(self, story):
        self.people, self.db = story.people, story.db
        self.conversation_id = story.conversation_id
        owner, member, where = (
            self.people.owner,
            self.people.member,
            {"conversation_id": story.conversation_id},
        )
        self.poll = member.call("send_message", **where, kind="poll", metadata=POLL)["seq"]
        member.call("react", **where, seq=1, emoji="👍")
        member.call("vote", **where, seq=self.poll, option_ids=["a"])
        owner.call("pin_message", **where, seq=1)
        owner.call("edit_message", **where, seq=1, body="for @bob", mentions=[member.id])
        owner.call("send_message", **where, body="in a thread", thread_root_seq=1)
        member.call("follow_thread", **where, root_seq=1)
        for table, row in (
            ("saved_messages", {**where, "message_seq": 1, "note": "secret"}),
            ("drafts", {**where, "body": "secret"}),
        ):
            member.http.post(f"/rest/v1/{table}", json=row).raise_for_status()
        self.scheduled = member.call(
            "schedule_message", **where, send_at=self.soon(), body="secret"
        )["id"]

    def soon(self):
        (value,) = self.db.execute("select to_jsonb(now() + interval '1 day')").fetchone()
        return value

    def rows(self, person, table):
        return person.rows(table, conversation_id=f"eq.{self.conversation_id}")


@pytest.fixture
def marked(story):
    """A story of its own for each test."""
    return Marked(story)


@pytest.mark.parametrize("table", TABLES)
def test_who_reads_what(marked, table):
    people = marked.people
    assert marked.rows(people.member, table)
    if table in SHARED:
        assert marked.rows(people.owner, table) == marked.rows(people.member, table)
    else:
        assert all(row["user_id"] == people.owner.id for row in marked.rows(people.owner, table))
        assert all(row["user_id"] == people.member.id for row in marked.rows(people.member, table))
    for outsider in OUTSIDERS:
        assert marked.rows(getattr(people, outsider), table) == []
    response = people.anon.http.get(f"/rest/v1/{table}")
    assert (response.status_code, response.json()["code"]) == (401, "42501")


@pytest.mark.parametrize("person", [*OUTSIDERS, "anon"])
def test_outsiders_see_no_threads(marked, person):
    reader = getattr(marked.people, person)
    if person == "anon":
        assert reader.http.get("/rest/v1/threads").status_code == 401
    else:
        assert marked.rows(reader, "threads") == []
    (thread,) = marked.rows(marked.people.member, "threads")
    assert (thread["thread_root_seq"], thread["unread_count"]) == (1, 1)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize("table", ONLY_FUNCTIONS_WRITE)
def test_tables_that_only_functions_write(marked, table, person):
    writer = getattr(marked.people, person)
    before = state_of(marked.db)
    path = f"/rest/v1/{table}"
    everywhere = {"conversation_id": "not.is.null"}

    responses = [
        writer.http.post(path, json=forged(marked, table, writer.id or str(uuid.uuid4()))),
        writer.http.post(path, json=forged(marked, table, marked.people.member.id)),
        writer.http.patch(path, json={"conversation_id": str(uuid.uuid4())}, params=everywhere),
        writer.http.delete(path, params=everywhere),
    ]

    for response in responses:
        assert response.status_code in (401, 403), response.text
        assert response.json()["code"] == "42501"
    assert state_of(marked.db) == before


@pytest.mark.parametrize("person", ["owner", *OUTSIDERS, "anon"])
@pytest.mark.parametrize("table", ["saved_messages", "drafts"])
def test_what_is_private_is_out_of_reach(marked, table, person):
    writer = getattr(marked.people, person)
    before = state_of(marked.db)
    path = f"/rest/v1/{table}"
    member = {"user_id": f"eq.{marked.people.member.id}"}
    change = {"saved_messages": {"note": "mine"}, "drafts": {"body": "mine"}}[table]

    made = [
        writer.http.post(path, json=forged(marked, table, marked.people.member.id)),
        writer.http.post(
            path,
            json=forged(marked, table, marked.people.member.id),
            headers={"Prefer": "resolution=merge-duplicates"},
            params={"on_conflict": "conversation_id,user_id,thread_root_seq"}
            if table == "drafts"
            else {},
        ),
    ]
    if person != "owner":
        own = forged(marked, table, writer.id or str(uuid.uuid4()))
        made.append(writer.http.post(path, json=own))
    for response in made:
        assert response.status_code in (401, 403), response.text
    for response in (
        writer.http.patch(path, json=change, params=member),
        writer.http.delete(path, params=member),
    ):
        assert response.status_code == 401 if person == "anon" else response.json() == []
    assert state_of(marked.db) == before


@pytest.mark.parametrize("table", ["saved_messages", "drafts"])
def test_one_cannot_give_away_what_is_one_s_own(marked, table):
    before = state_of(marked.db)
    response = marked.people.member.http.patch(
        f"/rest/v1/{table}",
        json={"user_id": marked.people.owner.id},
        params={"user_id": f"eq.{marked.people.member.id}"},
    )
    assert response.status_code == 403, response.text
    assert state_of(marked.db) == before


def test_drafts_are_upserted(marked):
    member = marked.people.member
    for body in ("one", "two"):
        response = member.http.post(
            "/rest/v1/drafts",
            json={"conversation_id": marked.conversation_id, "body": body, "thread_root_seq": None},
            headers={"Prefer": "resolution=merge-duplicates,return=representation"},
            params={"on_conflict": "conversation_id,user_id,thread_root_seq"},
        )
        assert response.status_code in (200, 201), response.text
    assert [row["body"] for row in marked.rows(member, "drafts")] == ["two"]


FUNCTIONS = (
    "react",
    "unreact",
    "vote",
    "close_poll",
    "pin_message",
    "unpin_message",
    "schedule_message",
    "update_scheduled_message",
    "cancel_scheduled_message",
    "mark_thread_read",
    "follow_thread",
    "unfollow_thread",
)


@pytest.mark.parametrize("person", [*OUTSIDERS, "anon"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_know_nothing_of_others(marked, function, person):
    before = state_of(marked.db)
    caller = getattr(marked.people, person)
    arguments = calls(marked)[function]

    response = caller.rpc(function, **arguments)

    if person == "anon":
        assert (response.status_code, response.json()["code"]) == (401, "42501")
    else:
        assert response.status_code == 404, response.text
        key = "id" if "id" in arguments else "conversation_id"
        # The same answer as for what does not exist.
        other = caller.rpc(function, **{**arguments, key: str(uuid.uuid4())})
        assert other.json() == response.json()
    assert state_of(marked.db) == before


@pytest.mark.parametrize("function", ["update_scheduled_message", "cancel_scheduled_message"])
def test_an_owner_has_no_say_in_what_others_scheduled(marked, function):
    before = state_of(marked.db)
    response = marked.people.owner.rpc(function, **calls(marked)[function])
    assert response.json()["details"] == "scheduled_message_not_found"
    assert state_of(marked.db) == before


@pytest.mark.parametrize("function", ["pin_message", "unpin_message"])
def test_members_do_not_pin_in_a_group(marked, function):
    before = state_of(marked.db)
    response = marked.people.member.rpc(function, **calls(marked)[function])
    assert (response.status_code, response.json()["details"]) == (403, "not_allowed_to_pin")
    assert state_of(marked.db) == before


@pytest.mark.parametrize("person", ["former_member", "stranger", "other_tenant"])
@pytest.mark.parametrize("function", ["reaction_summary", "poll_results"])
def test_counts_of_a_made_up_row_tell_nothing(marked, function, person):
    message = {
        "conversation_id": marked.conversation_id,
        "seq": marked.poll if function == "poll_results" else 1,
        "kind": "poll",
        "metadata": POLL,
    }
    response = getattr(marked.people, person).rpc(function, message=message)
    assert response.status_code == 200, response.text
    assert response.json() in ([], None)
    assert marked.people.owner.call(function, message=message)


@pytest.mark.parametrize("reason", ["hidden", "deleted", "expired"])
def test_children_are_readable_as_their_message_is(marked, reason):
    member, owner, where = (
        marked.people.member,
        marked.people.owner,
        {"conversation_id": marked.conversation_id, "seq": 1},
    )
    if reason == "expired":
        marked.db.execute(
            "update chat.messages set expires_at = now() where conversation_id = %s and seq = 1",
            (marked.conversation_id,),
        )
    else:
        (member if reason == "hidden" else owner).rpc(
            {"hidden": "hide_message", "deleted": "delete_message"}[reason], **where
        ).raise_for_status()
    for table in ("reactions", "mentions", "pins", "saved_messages"):
        rows = marked.rows(member, table)
        assert [row for row in rows if row["message_seq"] == 1] == []
    # A tombstone keeps its thread; what one cannot read has none.
    assert len(marked.rows(member, "threads")) == (reason == "deleted")
    if reason == "hidden":
        assert marked.rows(owner, "reactions")


def test_a_page_of_messages_brings_its_counts(marked):
    page = marked.people.owner.rows(
        "messages",
        conversation_id=f"eq.{marked.conversation_id}",
        select="seq,reaction_summary,poll_results,pins(pinned_by),mentions(user_id)",
        order="seq",
    )
    first, poll = page[0], page[1]
    assert first["reaction_summary"] == [{"emoji": "👍", "count": 1, "is_mine": False}]
    assert first["poll_results"] is None
    assert first["mentions"] == [{"user_id": marked.people.member.id}]
    assert first["pins"] in (
        {"pinned_by": marked.people.owner.id},
        [{"pinned_by": marked.people.owner.id}],
    )
    assert poll["reaction_summary"] == []
    assert [option["count"] for option in poll["poll_results"]["options"]] == [1, 0]


def test_sending_what_is_due_is_not_for_the_api(people):
    for person in (people.owner, people.service_role):
        assert person.rpc("send_due_messages").status_code == 404
