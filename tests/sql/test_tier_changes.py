"""Whoever changes tiers: by which one their messages live, and from when on."""

from __future__ import annotations

import pytest

from support.retention import make_room


@pytest.fixture
def room(database):
    return make_room(database)


def test_an_upgrade_extends_what_was_sent(room):
    room.send("alice")
    room.after(29)
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    room.after(30)
    assert room.seen("bob") == [1]


def test_a_downgrade_applies_after_the_grace(room):
    room.tier("alice", "privileged")
    room.send("alice")
    room.after(50)
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    room.send("alice")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [130, 130, 130]
    room.after(115)
    room.tier("alice", "privileged")
    assert [room.expires(seq) for seq in (1, 2, 3)] == [180, 230, 280]


def test_an_upgrade_brings_back_what_expired(room):
    room.send("alice")
    room.send("bob")
    room.after(31)
    room.sweep()
    assert room.seen("bob") == []
    room.tier("alice", "privileged")
    assert room.seen("bob") == [1]
    room.check()
    assert room.owner("select body from chat.messages where seq = 1") == [("hello",)]


def test_each_of_several_downgrades_counts_from_its_own_time(room):
    room.tier("alice", "privileged_plus")
    room.send("alice")
    room.after(100)
    room.send("alice")
    room.after(200)
    room.tier("alice", "privileged")
    room.after(210)
    room.tier("alice", "free")
    room.send("alice")
    # Privileged from day 230 on, when the first is 230 days old: it goes then, not on day 240.
    assert [room.expires(seq) for seq in (1, 2, 3)] == [230, 240, 240]


def test_a_smaller_downgrade_takes_the_place_of_one_to_come(room):
    room.tier("alice", "privileged_plus")
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    assert room.expires(1) == 130
    room.after(110)
    room.tier("alice", "privileged")
    assert room.expires(1) == 180
    assert room.owner(
        "select from_tier, to_tier, effective_at = changed_at, ended_at is null"
        " from chat.tier_changes order by id"
    ) == [
        ("free", "privileged_plus", True, False),
        ("privileged_plus", "free", False, False),
        ("privileged_plus", "privileged", False, True),
    ]


@pytest.mark.parametrize("day", [120, 140])
def test_a_downgrade_that_was_taken_back_counts_no_more(room, day):
    """Its time is to come on day 120, and over on day 140."""
    room.tier("alice", "privileged")
    room.send("alice")
    for change, tier in ((100, "free"), (110, "privileged"), (day, "free")):
        room.after(change)
        room.tier("alice", tier)
    assert room.expires(1) == day + 30
    assert room.owner(
        "select from_tier, to_tier, extract(day from ended_at - '2027-01-01 12:00Z')::int"
        " from chat.tier_changes order by id"
    ) == [
        ("free", "privileged", 0),
        ("privileged", "free", 110),
        ("privileged", "privileged", 110),
        ("privileged", "free", None),
    ]


def test_a_downgrade_that_counts_stays_whatever_its_tier_grants_since(room):
    """It is longer than what comes now, which does not take its place: its time is over."""
    room.owner("insert into chat.tiers (name, retention) values ('brief', '5 days')")
    room.tier("alice", "privileged_plus")
    for day, tier in ((100, "privileged"), (101, "free")):
        room.after(day)
        room.tier("alice", tier)
    room.after(140)
    room.owner("update chat.tiers set retention = '4 days' where name = 'privileged'")
    room.tier("alice", "brief")
    assert room.owner(
        "select to_tier, extract(day from effective_at - '2027-01-01 12:00Z')::int"
        " from chat.tier_changes where ended_at is null order by id"
    ) == [("privileged", 130), ("free", 131), ("brief", 170)]


def test_what_others_have_and_will_have_says_nothing_of_ones_own(room):
    for name in ("alice", "bob"):
        room.tier(name, "privileged_plus")
    room.send("alice")
    room.after(100)
    room.tier("alice", "free")
    assert room.expires(1) == 130
    room.after(110)
    room.tier("bob", "privileged")
    room.send("alice")
    assert room.expires(2) == 140


def test_each_change_says_when_it_was_applied(room):
    """A job is for what changed before it."""
    applied = (
        "select extract(day from applied_at - '2027-01-01 12:00Z')::int"
        " from chat.tier_changes order by id"
    )
    room.tier("alice", "privileged")
    room.put_off_rewriting()
    for day, tier in ((1, "free"), (2, "privileged")):
        room.after(day)
        room.tier("alice", tier)
    for day, days in ((3, [0, 3, None]), (4, [0, 3, 4])):
        room.after(day)
        room.owner("select chat.sweep_messages()")
        assert [found for (found,) in room.owner(applied)] == days


def test_what_expired_stays_so_when_it_has_by_the_new_tier_too(room):
    room.owner("insert into chat.tiers (name, retention) values ('longer', '40 days')")
    room.send("alice")
    room.after(50)
    room.sweep()
    room.tier("alice", "longer")
    assert room.expires(1) == 40
    assert room.owner("select body from chat.messages") == [(None,)]


def test_who_is_downgraded_reads_of_it_and_others_do_not(room):
    room.tier("alice", "privileged")
    with room.database.acting(room.ids["alice"]) as connection:
        assert connection.execute(
            "select to_tier, applied_at is not null from chat.tier_changes"
        ).fetchall() == [("privileged", True)]
    with room.database.acting(room.ids["bob"]) as connection:
        assert connection.execute("select from chat.tier_changes").fetchall() == []
