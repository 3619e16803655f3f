"""A loss is found, named, and never a success."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from importer.errors import ImportFailed
from importer.plan import make_plan
from importer.source import read_source
from importer.verify import current_plan, verify

from .world import CAREFUL, World

# What is done behind the import's back, and what must be said of it.
LOSSES = {
    "an author is gone from the source": (
        "delete from users where id = 2",
        "messages are in another conversation|messages are missing|participants are missing",
    ),
    "an author's messages are gone from the source": (
        "delete from direct_messages where sender_id = 2",
        "messages are no longer in the source",
    ),
    "a message is gone": (
        "delete from chat.messages where body like 'message 40 %'",
        "1 messages are missing \\(40\\)",
    ),
    "a text is another": (
        "update chat.messages set body = 'x' where body like 'message 40 %'",
        "1 messages have another text \\(40\\)",
    ),
    "an author is another": (
        "update chat.messages set sender_id = null where body like 'message 40 %'",
        "1 messages have another author \\(40\\)",
    ),
    "a read is gone": (
        "update chat.participants set last_read_seq = 0",
        "reads are missing",
    ),
    "the time of a read is gone": ("delete from chat.receipts", "reads have another time"),
    "a deletion is undone": (
        "update chat.messages set deleted_at = null, body = 'x' where deleted_at is not null",
        "deleted, or not",
    ),
    "what was deleted for oneself is shown": (
        "delete from chat.hidden_messages",
        "shown to who deleted them",
    ),
    "a reply is none": (
        "update chat.messages set reply_to_seq = null",
        "replies answer another message",
    ),
    "somebody does not take part": (
        "delete from chat.participants where user_id = md5('user1')::uuid",
        "participants are missing",
    ),
    "counts are wrong": (
        "update chat.conversations set message_count = 0",
        "counters are wrong",
    ),
}


@pytest.fixture
def imported(world) -> World:
    there: World = world("direct_messages", dirt=False, count=400)
    there.apply(there.plan())
    return there


def test_losses_fail_loudly(imported):
    """One after the other, each undone: none hides another."""
    for name, (loss, said) in LOSSES.items():
        with imported.owner.transaction(force_rollback=True):
            imported.owner.execute(loss)
            report = verify(imported.owner, current_plan(imported.owner))
        assert any(re.search(said, problem) for problem in report.problems), (name, report.problems)
    assert imported.verify().problems == []


def test_an_import_with_a_loss_is_not_finished(imported):
    imported.owner.execute("delete from chat.messages where body like 'message 40 %'")
    _, report = imported.finish()
    assert report.problems
    assert imported.one("select to_regclass('parley_import.load')") is not None


def test_finish_drops_the_backups_and_nothing_else(imported):
    before = imported.chat()
    _, report = imported.finish()
    assert report.problems == []
    assert imported.one("select to_regnamespace('parley_import')") is None
    assert imported.chat() == before


def test_a_mapping_that_loses_rows_is_found(world, tmp_path, monkeypatch):
    there = world("direct_messages", dirt=False, count=100)
    source = read_source("direct_messages")
    losing = tmp_path / "mapping.sql"
    losing.write_text(
        source.mapping.read_text().replace(
            "from direct_messages as d;", "from direct_messages as d where d.sender_id <> 2;", 1
        )
    )
    with pytest.raises(ImportFailed, match="loses rows") as refused:
        make_plan(there.owner, replace(source, mapping=losing), there.options())
    assert refused.value.details[0].startswith("messages: 100 rows in the source, ")


def test_what_was_left_out_is_said(world):
    there = world("direct_messages")
    plan = there.plan(choices={**CAREFUL, "missing_user": "skip"})
    there.apply(plan)
    report = there.verify()
    assert report.problems == []
    assert report.left_out["missing_user (messages)"] == there.one(
        "select count(*) from direct_messages where sender_id in (3, 4, 5, 6, 77777)"
    )
