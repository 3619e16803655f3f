"""What each source has that others do not, arrives as what it is here."""

from __future__ import annotations

import io
import json

import pytest
from importer.json_stream import read_items
from importer.progress import Progress

from .world import World

RETENTION = "update chat.tiers set retention = null"


def _imported(world, source: str, *, dirt: bool = False, count: int = 300) -> World:
    there: World = world(source, dirt=dirt, count=count)
    there.owner.execute(RETENTION)
    there.apply(there.plan())
    return there


def _rows(there: World, query: str) -> list[tuple]:
    return there.owner.execute(query.encode()).fetchall()


def test_messenger_roles_contacts_reactions_and_deliveries(world):
    there = _imported(world, "messenger", dirt=True, count=480)
    assert _rows(
        there,
        "select p.role::text, count(*) from chat.participants as p inner join chat.conversations"
        " as c on p.conversation_id = c.id where c.title = 'Group 4' group by 1 order by 1",
    ) == [("member", 3), ("owner", 1)]
    # One of the four has left.
    assert (
        there.one("select participant_count from chat.conversations where title = 'Group 8'") == 3
    )
    assert _rows(
        there, "select state::text, count(*) from chat.contacts group by 1 order by 1"
    ) == _rows(
        there,
        "select status, count(*) from contacts where status <> 'blocked' group by 1 order by 1",
    )
    assert there.one("select count(*) from chat.blocks") == there.one(
        "select count(*) from contacts where status = 'blocked'"
    )
    assert there.one("select count(distinct emoji) from chat.reactions") == 1
    # Delivered and not read, with its time.
    assert there.one(
        "select count(*) from chat.participants where last_delivered_seq > last_read_seq"
    )
    # Nobody is mentioned by what an old client wrote into metadata.
    assert there.one("select count(*) from chat.mentions") == 0
    assert there.one("select count(*) from chat.messages where metadata ? 'mention_all'") == 0


def test_core_tenants_are_isolated(world):
    there = _imported(world, "core")
    assert _rows(there, "select slug from chat.tenants where slug <> 'default' order by slug") == [
        ("acme-sons",),
        ("zeta",),
    ]
    assert (
        there.one(
            "select count(*) from chat.conversations as c where c.tenant_id in"
            " (select id from chat.tenants where slug = 'default')"
        )
        == 0
    )


def test_core_joins_a_tenant_of_the_same_slug_and_says_so(world):
    there: World = world("core", dirt=False, count=60)
    there.owner.execute("insert into chat.tenants (slug, name) values ('zeta', 'Another')")
    kinds = {conflict["kind"] for conflict in there.plan()["conflicts"]}
    assert "same_tenant" in kinds


def test_property_has_sides_and_one_conversation_an_object(world):
    there = _imported(world, "property")
    assert _rows(there, "select distinct party, role::text from chat.participants order by 1") == [
        ("agent", "owner"),
        ("client", "member"),
    ]
    assert there.one(
        "select count(*) from chat.conversations where subject_type = 'property'"
    ) == there.one("select count(*) from property_conversations")
    assert there.one(
        "select count(*) from chat.conversations where status = 'closed'"
    ) == there.one("select count(*) from property_conversations where status = 'CLOSED'")


def test_sqlite_times_are_those_of_its_milliseconds_and_texts(world):
    there = _imported(world, "sqlite", dirt=True)
    assert _rows(
        there,
        "select body, to_char(created_at at time zone 'UTC', 'HH24:MI:SS.MS') from chat.messages"
        " where body like 'message 23 %' or body like 'message 19 %' order by 1",
    ) == [
        (
            there.one("select body from chat.messages where body like 'message 19 %'"),
            "08:00:19.000",
        ),
        (
            there.one("select body from chat.messages where body like 'message 23 %'"),
            "08:00:23.500",
        ),
    ]
    # Bytes that are no text are still a message.
    assert (
        there.one("select count(*) from chat.messages where position(chr(65533) in body) > 0") == 1
    )


def test_bookconnect_tiers_decide_how_long_messages_live(world):
    there: World = world("bookconnect", dirt=False, count=300)
    there.apply(there.plan())
    assert _rows(
        there,
        "select m.tier, array_agg(distinct x.expires_at - x.created_at) from chat.messages as x"
        " inner join chat.conversations as c on x.conversation_id = c.id"
        " inner join chat.tenant_members as m"
        " on c.tenant_id = m.tenant_id and x.sender_id = m.user_id"
        " group by 1 order by 1",
    ) == [
        (tier, [interval])
        for tier, interval in _rows(there, "select name, retention from chat.tiers order by name")
    ]


def test_what_would_be_expired_on_arrival_is_said(world):
    there: World = world("bookconnect", dirt=False, count=300)
    there.owner.execute("update direct_messages set sent_at = sent_at - interval '2 years'")
    plan = there.plan()
    (expired,) = [c for c in plan["conflicts"] if c["kind"] == "expired"]
    assert expired["examples"] == ["new: 300 messages are older than messages may be here"]
    there.owner.execute(RETENTION)
    assert "expired" not in {c["kind"] for c in there.plan()["conflicts"]}


def test_slack_threads_markup_joins_and_tombstones(world):
    there = _imported(world, "slack", dirt=True)
    assert (
        there.one(
            "select count(*) from chat.messages where body like"
            " 'message 1 for @Person 1 & all, see this (https://example.com)'"
        )
        == 1
    )
    assert there.one("select count(*) from chat.messages where thread_root_seq is not null")
    assert there.one("select count(*) from chat.messages where kind = 'system'")
    assert there.one("select count(*) from chat.thread_reads as t where not is_following") == 0
    assert (
        there.one("select count(*) from chat.messages where body = 'nul \ufffd, \ufffd half'") == 1
    )
    # A tombstone has its text aside; two of one moment are both there.
    assert (
        there.one(
            "select count(*) from chat_private.deleted_messages where body = 'This was deleted.'"
        )
        == 1
    )
    assert (
        there.one("select count(*) from chat.messages where body = 'another, of the same moment'")
        == 1
    )
    assert _rows(
        there, "select length(body) from chat.messages where body like 'xxx%' order by seq"
    ) == [(10000,), (10000,), (5000,)]


def test_stream_reads_up_to_a_time(world):
    there = _imported(world, "stream")
    assert there.one("select count(*) from chat.receipts")
    assert not _rows(
        there,
        "select from chat.receipts as r where r.last_read_seq <> (select max(m.seq)"
        " from chat.messages as m where m.conversation_id = r.conversation_id"
        " and m.created_at <= r.moved_at)",
    )
    assert there.one("select count(*) from chat.messages where thread_count > 0")
    assert there.one("select count(*) from chat.messages where reply_to_seq is not null")


@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_large_json_is_read_an_entry_at_a_time(monkeypatch, chunk):
    monkeypatch.setattr("importer.json_stream._CHUNK", chunk)
    text = json.dumps(
        [
            {
                "channel": {"id": 1, "messages": [{"not": "one"}]},
                "messages": [{"text": 'a "}] \\'}, {"deep": [{"x": [1, 2.5e3]}]}],
                "other": {"messages": 1},
            },
            {"messages": [], "members": [{"user": {"id": "é"}}], "channel": {"id": 2}},
        ],
        indent=1,
    )
    assert list(read_items(io.StringIO(text), {"messages", "members"}, {"channel"})) == [
        (0, "channel", {"id": 1, "messages": [{"not": "one"}]}),
        (0, "messages", {"text": 'a "}] \\'}),
        (0, "messages", {"deep": [{"x": [1, 2.5e3]}]}),
        (2, "members", {"user": {"id": "é"}}),
        (2, "channel", {"id": 2}),
    ]


@pytest.mark.parametrize("text", ['[{"messages": [{"a": 1}', '{"messages": [{"a": ', "[}"])
def test_json_that_ends_early_is_no_success(text):
    with pytest.raises(ValueError, match=r"ends|brackets|Expecting"):
        list(read_items(io.StringIO(text), {"messages"}, set()))


def test_progress_says_how_long(capsys):
    stream = io.StringIO()
    progress = Progress("messages", 1000, stream)
    for _ in range(10):
        progress.add(100)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[4].startswith(" 50% 500 of 1,000 messages, ")
    assert lines[-1].endswith(" 0 s left")
