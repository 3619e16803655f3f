"""Calls that make no sense where they are made: each is refused with its own code."""

from __future__ import annotations

import psycopg
import pytest

from support.databases import Database
from support.town import ALPHA, Town, make_town

START = "select chat.start_group('Group', %(all)s::uuid[], tenant_id => %(alpha)s)"
ADD = "select chat.add_participants(%(room)s, array[%(d)s]::uuid[])"
SUBJECT = "select chat.open_subject('order', '1', %(people)s, tenant_id => %(alpha)s)"

# Of a, who owns a group of b, in a tenant where three take part in a conversation at most and a
# message has ten characters.
REFUSED = [
    ("report_of_self", "select chat.report_user(%(a)s, 'spam', tenant_id => %(alpha)s)"),
    ("report_of_self", "select chat.report_message(%(room)s, 1, 'spam')"),
    ("report_exists", "select chat.report_user(%(b)s, 'other', tenant_id => %(alpha)s)"),
    ("report_exists", "select chat.report_message(%(room)s, 2, 'other')"),
    ("too_many_participants", START),
    ("too_many_participants", SUBJECT),
    ("too_many_participants", "select chat.add_participants(%(room)s, %(all)s::uuid[])"),
    ("user_required", "select chat.start_direct(tenant_id => %(alpha)s)"),
    ("user_required", "select chat.start_direct(%(b)s, 'mona', %(alpha)s)"),
    ("user_required", "select chat.request_contact()"),
    ("user_required", "select chat.request_contact(%(b)s, 'mona')"),
    ("message_too_long", "select chat.send_message(%(room)s, 'eleven or so')"),
    ("message_too_long", "select chat.edit_message(%(room)s, 1, 'eleven or so')"),
    ("not_the_sender", "select chat.edit_message(%(room)s, 3, 'said anew')"),
    ("system_message", "select chat.send_message(%(room)s, 'joined', kind => 'system')"),
]


@pytest.fixture
def town(database: Database) -> Town:
    """Of its own for each test."""
    return make_town(database)


@pytest.fixture
def names(town: Town) -> dict[str, object]:
    """What calls name. Message 1 is a's, 2 is b's, 3 says in a's name what a did."""
    room = town.call(
        "a",
        "select (chat.start_group('Group', array[%s]::uuid[], tenant_id => %s)).id::text",
        "b",
        ALPHA,
    )
    for name in "ab":
        town.call(name, "select chat.send_message(%s, 'hello')", room)
    town.owner(
        "insert into chat.messages (conversation_id, sender_id, kind, body)"
        " values (%s, %s, 'system', 'renamed it')",
        room,
        "a",
    )
    town.call("a", "select chat.report_user(%s, 'spam', tenant_id => %s)", "b", ALPHA)
    town.call("a", "select chat.report_message(%s, 2, 'spam')", room)
    town.owner("update chat.settings set max_participants = 3, message_max_length = 10")
    town.owner("update chat.settings set who_may_open_subjects = 'members'")
    people = "[" + ", ".join(f'{{"user_id": "{town.ids[name]}"}}' for name in "bcd") + "]"
    return {
        **town.ids,
        "room": room,
        "alpha": ALPHA,
        "all": [town.ids[name] for name in "bcd"],
        "people": people,
    }


def refusal(connection, query, names):
    with pytest.raises(psycopg.Error) as error:
        connection.execute(query, names)
    return error.value.diag.message_detail


def everything(town: Town) -> list[list[tuple]]:
    """What a call could have changed."""
    return [
        town.owner(f"select t::text from chat.{table} as t order by 1")
        for table in ("conversations", "participants", "messages", "reports", "contacts")
    ]


@pytest.mark.parametrize(("code", "query"), REFUSED)
def test_it_is_refused(town, names, code, query):
    before = everything(town)
    with town.database.acting(town.ids["a"]) as connection:
        assert refusal(connection, query, names) == code
    assert everything(town) == before


def test_as_many_as_the_tenant_allows_are_not_too_many(town, names):
    town.owner("update chat.settings set max_participants = 4")
    with town.database.acting(town.ids["a"]) as connection:
        for query in (START, ADD, SUBJECT):
            connection.execute(query, names)


def test_a_subject_without_people(town, names):
    with town.database.connect(role="service_role") as connection:
        assert refusal(connection, SUBJECT, {**names, "people": "[]"}) == "participants_required"
    assert town.owner("select count(*) from chat.conversations") == [(1,)]
