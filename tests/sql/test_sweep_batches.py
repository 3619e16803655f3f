"""A batch of the sweep is of many conversations and tenants, and does what one by one would do."""

from __future__ import annotations

import json
from dataclasses import replace

import psycopg
import pytest

from support.databases import clone
from support.retention import TENANT, Room, make_other_room, make_room

ROOMS = 5
TABLES = {
    "messages": """
        select m.seq, m.rev, m.body, m.expires_at, m.deleted_at, m.thread_count, d.body,
            d.is_expired, d.removed_at, d.due_at
        from chat.messages as m
        left join chat_private.deleted_messages as d
            on m.conversation_id = d.conversation_id and m.seq = d.message_seq
        where m.conversation_id = %s and d.purged_at is null
        order by m.seq
    """,
    "conversations": """
        select c.rev, c.sync_from_rev, c.expires_from, c.message_count
        from chat.conversations as c
        where c.id = %s
    """,
    "participants": """
        select u.username, p.read_count, s.unread_adjustment
        from chat.participants as p
        inner join chat.profiles as u on p.user_id = u.id
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        where p.conversation_id = %s
        order by 1
    """,
    "reactions": """
        select r.message_seq, r.emoji
        from chat.reactions as r
        where r.conversation_id = %s
        order by 1
    """,
}
RUNS = """
    select tenant_id, sum(messages), sum(bytes), sum(files),
        sum((rows_of_tables ->> 'reactions')::int),
        sum((rows_of_tables ->> 'notifications')::int),
        sum((tiers -> 'brief' ->> 'messages')::int),
        sum((tiers -> 'free' ->> 'messages')::int)
    from chat.purge_runs
    group by 1
    order by 1
"""


def start(room: Room, others: list[str]) -> Room:
    """One more group in the room's tenant, of alice and some others."""
    more = replace(room)
    group = "select (chat.start_group('Room', %s, tenant_id => %s)).id::text"
    more.id = more.call("alice", group, [room.ids[name] for name in others], room.tenant)
    return more


def make_world(database) -> dict[str, Room]:
    """Two tenants, in which nearly everything that a batch judges is here or there."""
    here = make_room(database)
    there = make_other_room(here)
    rooms = {"here": here, "there": there}
    for number in range(ROOMS):
        rooms[f"here {number}"] = start(here, ["bob", "carol"][: 1 + number % 2])
        rooms[f"there {number}"] = start(there, ["bob", "carol"])
    here.owner("insert into chat.tiers (name, retention) values ('brief', '5 days')")
    here.tier("bob", "brief")
    there.tier("alice", "privileged")
    there.settings("retention_mode = 'longest_tier', restore_window = '3 days'")
    here.owner("update chat.conversations set retention = '8 days' where id = %s", here.id)
    for day, (name, room) in enumerate(rooms.items()):
        here.after(day / 10)
        room.send("alice", "question")
        room.send("bob", "answer", reply_to_seq=1)
        room.send("bob", "in a thread", thread_root_seq=1)
        room.send("alice", "again", reply_to_seq=2)
        room.call("bob", "select chat.react(%s, 1, '+')", room.id)
        if "2" in name:
            room.call("alice", "select (chat.delete_message(%s, 4)).seq", room.id)
        if "3" in name:
            room.call("bob", "select chat.hide_message(%s, 1)::text", room.id)
            room.call("bob", "select (chat.mark_unread(%s, 1)).rev", room.id)
    rooms["here 1"].hold(conversation_id=rooms["here 1"].id)
    there.hold(user_id=there.ids["bob"])
    return rooms


def sweep(room: Room, batch_size: int, rounds: int) -> dict[str, int]:
    """Rounds of it, for what one passes by, as locked or not yet due, the next takes up."""
    total = {"marked": 0, "purged": 0}
    for _ in range(rounds):
        cursor = None
        for _ in range(2000):
            ((done,),) = room.owner(
                "select chat.sweep_messages(%s, %s)",
                batch_size,
                json.dumps(cursor) if cursor else None,
            )
            for key in total:
                total[key] += done[key]
            cursor = done["cursor"]
            if not done["has_more"]:
                break
        else:
            raise AssertionError(f"no end: {cursor}")
    return total


def state(rooms: dict[str, Room]) -> dict[str, list[tuple]]:
    """All that a sweep changes, by names; but for tombstones, of which one that comes before what
    refers to it is looked at again later.
    """
    state = {
        f"{name}: {table}": room.owner(query, room.id)
        for name, room in rooms.items()
        for table, query in TABLES.items()
    }
    state["runs"] = rooms["here"].service(RUNS)
    return state


def live(stack, database_template, batch_size: int):
    """What is done in which step, and what is there after it."""
    story = []
    with clone(stack, database_template) as database:
        rooms = make_world(database)
        here, there = rooms["here"], rooms["there"]
        for day in (4, 6, 9, 20, 33, 40, 64, 120, 215, 250, 252, 300):
            here.after(day)
            if day == 9:
                # What is written is of before: bob's messages live longer, or again.
                here.put_off_rewriting()
                here.tier("bob", "free")
                here.owner("delete from chat_private.retention_jobs")
            if day == 120:
                here.owner("delete from chat.legal_holds")
            story.append((day, sweep(here, batch_size, 2)["marked"], state(rooms)))
            here.check()
        assert here.owner("select count(*) from chat.messages") == [(0,)]
        for tenant in (here.tenant, there.tenant):
            verified = "select broken_seq from chat_private.verify_audit_log(%s)"
            assert here.owner(verified, tenant) == [(None,)]
    return story


def test_a_batch_does_what_one_by_one_would_do(stack, database_template):
    one_by_one, a_few, all_at_once = (live(stack, database_template, size) for size in (1, 7, 1000))
    assert sum(marked for _, marked, _ in one_by_one) > 40
    for single, few, many in zip(one_by_one, a_few, all_at_once, strict=True):
        assert single == few
        assert single == many


def test_messages_of_a_batch_live_by_those_of_their_own_conversation(database):
    """Where the longest counts: bob is with alice in some, and with carol in others."""
    room = make_room(database)
    make_other_room(room)
    rooms = [start(room, ["bob"]) for _ in range(4)]
    group = "select (chat.start_group('Room', %s, tenant_id => %s)).id::text"
    for short in rooms[1::2]:
        short.id = room.call("bob", group, [room.ids["carol"]], room.tenant)
    for hour, each in enumerate(rooms):
        room.after(hour / 24)
        each.send("bob")
    room.put_off_rewriting()
    room.tier("alice", "privileged")
    room.settings("retention_mode = 'longest_tier'")
    room.owner("delete from chat_private.retention_jobs")
    room.after(31)
    assert sweep(room, 100, 1)["marked"] == 2
    assert [int(each.expires(1)) for each in rooms] == [180, 30, 180, 30]


# Two at once ----------------------------------------------------------------------------------


@pytest.fixture
def rooms(database):
    """Each has two messages that expired, one room after the other; four are of another tenant."""
    first = make_room(database)
    other = make_other_room(first)
    rooms = [first, start(first, ["bob"]), other]
    rooms += [start(other, ["bob"]) for _ in range(3)]
    for number, room in enumerate(rooms):
        first.after(number / 10)
        room.send("alice")
        room.send("bob")
    first.after(31)
    return rooms


def batch(connection, size, cursor=None):
    ((done,),) = connection.execute(
        "select chat.sweep_messages(%s, %s)", (size, json.dumps(cursor) if cursor else None)
    ).fetchall()
    return done


@pytest.mark.parametrize("step", ["marked", "purged"])
def test_two_at_once_divide_the_work(rooms, step):
    """The second takes what is due after that which the first has, and neither waits or repeats."""
    room = rooms[0]
    if step == "purged":
        for number in range(len(rooms)):
            room.after(30 + number / 10)
            sweep(room, 100, 1)
        room.after(62)
    with (
        psycopg.connect(room.database.url) as one,
        psycopg.connect(room.database.url) as other,
    ):
        other.execute("set lock_timeout = '2s'")
        done = batch(one, 4), batch(other, 4)
        assert [each[step] for each in done] == [4, 4]
        # The first is killed: what it had is there for whoever comes next.
        one.rollback()
        other.commit()
        rest = batch(other, 100, done[1]["cursor"])
        other.commit()
        assert rest[step] == 2 * len(rooms) - 8
        assert not rest["has_more"]
    assert sweep(room, 100, 1)[step] == 4
    room.check()


@pytest.mark.parametrize("step", ["mark_expired", "purge_removed"])
def test_what_another_has_done_meanwhile_is_done_once(rooms, step):
    """Between choosing and the lock: what was chosen may be removed, or gone, by then."""
    room = rooms[0]
    sweep(room, 100, 1)
    if step == "purge_removed":
        room.after(62)
        sweep(room, 100, 1)
    before = room.owner("select * from chat_private.deleted_messages order by 1, 2")
    runs = room.service("select count(*) from chat.purge_runs")
    assert room.owner(f"select chat_private.{step}(array[%s::uuid], '{{1}}')", room.id) == [(0,)]
    assert room.owner("select * from chat_private.deleted_messages order by 1, 2") == before
    assert room.service("select count(*) from chat.purge_runs") == runs


def test_a_conversation_with_more_than_a_batch_is_gone_on_with(rooms):
    """It lies between others, and in most of them something is left that is held."""
    room, large = rooms[0], rooms[3]
    room.after(0.5)
    for number in range(7):
        large.send("alice", f"message {number}")
    large.hold(user_id=room.ids["bob"])
    room.after(31)
    held = 4
    assert sweep(room, 3, 1) == {"marked": 7 + 2 * len(rooms) - held, "purged": 0}
    assert room.owner("select count(*) from chat.messages where deleted_at is null") == [(held,)]


def test_what_expires_later_on_the_day_waits_and_is_not_waited_for(rooms):
    """The index, which is by days, finds it, in a conversation in which something is held."""
    room = rooms[0]
    room.after(0.2)
    late = room.send("alice")
    room.hold(user_id=room.ids["bob"])
    room.after(30.05)
    assert sweep(room, 1, 1)["marked"] == 1
    assert room.owner("select seq from chat.messages where deleted_at is null and seq > 2") == [
        (late,)
    ]
    room.after(30.2)
    assert sweep(room, 1, 1)["marked"] == 4


def test_a_record_is_of_one_tenant(rooms):
    """Of a batch of two, in which the same people have other tiers; and what is held is in none."""
    room, other = rooms[0], rooms[2]
    room.owner("insert into chat.tiers (name, retention) values ('brief', '20 days')")
    other.tier("bob", "brief")
    room.after(100)
    sweep(room, 100, 2)
    room.hold(conversation_id=rooms[1].id)
    room.after(131)
    sweep(room, 100, 1)
    assert room.service(
        "select tenant_id::text, messages, jsonb_object_agg(t.key, t.value -> 'messages')"
        " from chat.purge_runs cross join jsonb_each(tiers) as t group by 1, 2 order by 1"
    ) == [(room.tenant, 2, {"free": 2}), (other.tenant, 8, {"brief": 4, "free": 4})]


def test_sends_wait_for_a_batch_that_has_their_conversation_and_for_no_other(rooms):
    """It locks those of which it takes something."""
    room = rooms[0]
    with psycopg.connect(room.database.url) as sweeping:
        assert batch(sweeping, 4)["marked"] == 4
        for other, is_locked in zip(rooms, (True, True, False, False, False, False), strict=True):
            lock = "select from chat.conversations where id = %s for no key update skip locked"
            assert (room.owner(lock, other.id) == []) is is_locked


# What refers to what is there -----------------------------------------------------------------


@pytest.mark.parametrize("reference", ["reply_to_seq", "thread_root_seq"])
def test_nobody_deletes_what_a_message_refers_to(rooms, reference):
    """Not even the owner of the table, but with what refers to it, or the whole conversation."""
    room = rooms[0]
    room.after(5)
    seq = room.send("bob", "refers", **{reference: 1})
    delete = "delete from chat.messages where conversation_id = %s and seq = any (%s)"
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        room.owner(delete, room.id, [1])
    there = f"select {reference} from chat.messages where conversation_id = %s and seq = %s"
    assert room.owner(there, room.id, seq) == [(1,)]
    other = rooms[1]
    other.send("bob", "refers", **{reference: 1})
    room.owner(delete, room.id, [1, seq])
    room.owner("delete from chat.conversations where id = %s", other.id)
    assert room.owner("select from chat.messages where conversation_id = %s", other.id) == []
    assert room.owner(there, room.id, seq) == []
    assert room.owner("select id from chat.tenants where id = %s", TENANT) != []
