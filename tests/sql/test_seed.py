"""The people and conversations a newcomer finds."""

from __future__ import annotations

import pytest

from support.stacks import ROOT

SEED = (ROOT / "supabase/seed.sql").read_text()
KINDS = {
    "text", "image", "file", "audio", "video", "location", "contact", "poll", "custom", "system",
}  # fmt: skip


@pytest.fixture
def seeded(database):
    """A database with the seed."""
    database.owner.execute(SEED.encode())
    return database


def rows(database, query):
    """What a query of the owner finds."""
    return database.owner.execute(query).fetchall()


def test_it_has_something_of_everything(seeded):
    assert {kind for (kind,) in rows(seeded, "select distinct kind::text from chat.messages")} == (
        KINDS
    )
    assert {kind for (kind,) in rows(seeded, "select kind::text from chat.conversations")} == {
        "direct",
        "group",
        "subject",
    }
    assert sorted(rows(seeded, "select state::text from chat.contacts")) == [
        ("accepted",),
        ("pending",),
        ("pending",),
    ]
    for what in (
        "messages as m where m.reply_to_seq is not null",
        "messages as m where m.thread_root_seq is not null",
        "messages as m where m.edited_at is not null",
        "messages as m where m.deleted_at is not null",
        "reactions",
        "poll_votes",
        "pins",
        "mentions",
        "receipts",
        "message_revisions",
        "saved_messages",
        "drafts",
    ):
        assert rows(seeded, f"select from chat.{what} limit 1"), what


def test_every_counter_is_right(seeded):
    assert rows(seeded, "select * from chat.check_counters()") == []


def test_a_second_run_changes_nothing(seeded):
    tables = [
        name
        for (name,) in rows(
            seeded,
            "select oid::regclass::text from pg_class where relkind = 'r' and (relnamespace in "
            "('chat'::regnamespace, 'chat_private'::regnamespace) or oid = 'auth.users'::regclass)",
        )
    ]

    def state():
        return {
            name: rows(seeded, f"select t::text from {name} as t order by 1") for name in tables
        }

    before = state()
    seeded.owner.execute(SEED.encode())
    assert state() == before


def test_it_leaves_the_session_as_it_was(seeded):
    assert rows(seeded, "select current_user, current_setting('request.jwt.claims', true)") == [
        ("postgres", "")
    ]


def test_tenants_share_nothing(seeded):
    seen = {}
    for name in ("alice", "diana"):
        ((user_id,),) = rows(seeded, f"select id from chat.profiles where username = '{name}'")
        with seeded.acting(str(user_id)) as connection:
            seen[name] = {
                title for (title,) in connection.execute("select title from chat.conversations")
            }
    assert "Chess club" in seen["diana"]
    assert "Chess club" not in seen["alice"]


def test_alice_and_bob_need_name_no_tenant(seeded):
    """The README's example, and the demo, sign in as them."""
    ((user_id,),) = rows(seeded, "select id from chat.profiles where username = 'alice'")
    with seeded.acting(str(user_id)) as connection:
        connection.execute("select chat.start_direct(username => 'bob')")
