"""Every source through every step."""

from __future__ import annotations

import pytest

from .world import World

SOURCES = [
    "direct_messages",
    "messages",
    "messenger",
    "core",
    "property",
    "sqlite",
    "bookconnect",
    "slack",
    "stream",
]


@pytest.mark.parametrize("source", SOURCES)
def test_everything_arrives_and_can_be_taken_back(world, source):
    there: World = world(source)
    rows, catalogue = there.rows(), there.catalogue()
    plan = there.plan()
    assert there.rows() == rows
    assert there.catalogue() == catalogue
    assert plan["undecided"] == []

    loaded = there.apply(plan)
    assert loaded >= plan["messages"]
    assert there.verify().problems == []
    assert there.owner.execute("select * from chat.check_counters()").fetchall() == []

    there.rollback()
    assert there.catalogue() == catalogue
    assert there.rows() == rows
