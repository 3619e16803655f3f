"""Searching, page by page, compared with asking every message; and how the index is used."""

from __future__ import annotations

import json
import random

import psycopg
import pytest

from parley_stack.testing.databases import act_as

WORDS = ("ant", "bee", "cat", "dog", "elk", "fox")
QUERIES = (
    "ant", "ant bee", '"ant bee"', "ant or fox", "cat -dog", "elk fox or bee", '"bee cat" -ant',
)  # fmt: skip


@pytest.fixture
def superuser(database):
    """A connection that may write messages as they never are sent: at any time, by anybody."""
    with psycopg.connect(database.url, user="supabase_admin", autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        yield connection


def make_people(database, superuser, rng, rooms=14, messages=600):
    """Three users, rooms of two or three of them, and messages at random times."""
    users = [database.user(name) for name in ("alice", "bob", "charlie")]
    ids = []
    for _ in range(rooms):
        members = rng.sample(users, rng.choice((2, 3)))
        with database.acting(members[0]) as connection:
            (room,) = connection.execute(
                "select (chat.start_group('Group', %s::uuid[])).id", (members[1:],)
            ).fetchone()
        ids.append((room, members))
    superuser.execute("delete from chat.messages; update chat.conversations set last_seq = 0")
    seqs = dict.fromkeys((room for room, _ in ids), 0)
    # Spread over an hour and over ten years, some at the same time.
    times = [rng.choice((60, 3600, 3 * 10**8)) * rng.random() for _ in range(messages // 2)]
    for number in range(messages):
        room, members = rng.choice(ids)
        seqs[room] += 1
        is_deleted = rng.random() < 0.1
        superuser.execute(
            "insert into chat.messages (conversation_id, sender_id, seq, rev, created_at, body, "
            "expires_at, deleted_at, kind) values (%s, %s, %s, %s, now() - %s * interval '1 s', "
            "%s, %s, %s, %s)",
            (
                room,
                rng.choice(members),
                seqs[room],
                seqs[room],
                rng.choice(times) if number % 3 else times[0],
                None if is_deleted else " ".join(rng.choices(WORDS, k=rng.randint(1, 5))),
                rng.choice((None, None, "-infinity", "infinity")),
                "now" if is_deleted else None,
                rng.choice(("text", "text", "system")),
            ),
        )
    superuser.execute(
        "update chat.conversations as c set last_seq = (select count(*) from chat.messages as m "
        "where m.conversation_id = c.id), rev = 1000"
    )
    # Hidden, left, joined late, blocked.
    superuser.execute(
        "insert into chat.hidden_messages (conversation_id, message_seq, user_id) "
        "select conversation_id, seq, %s from chat.messages where seq %% 7 = 3",
        (users[0],),
    )
    for room, members in ids[:4]:
        superuser.execute(
            "update chat.participants set left_at = now() "
            "where conversation_id = %s and user_id = %s",
            (room, members[1]),
        )
    superuser.execute("update chat.participants set visible_from_seq = 8 where role = 'member'")
    superuser.execute(
        "insert into chat.blocks (blocker_id, blocked_id) values (%s, %s)", (users[0], users[1])
    )
    return users, [room for room, _ in ids]


def pages(connection, arguments, between=lambda: None):
    """All that is found, as (conversation_id, seq), by following the cursors."""
    found, cursor = [], None
    while True:
        rows = connection.execute(
            "select (s.message).conversation_id, (s.message).seq, s.next_cursor "
            "from chat.search_messages(%(query)s, %(conversation_id)s, %(sender_id)s, "
            "%(sent_after)s, %(sent_before)s, %(order_by)s, %(page_size)s, %(cursor)s) as s",
            {**arguments, "cursor": cursor},
        ).fetchall()
        found += [row[:2] for row in rows]
        if len(rows) < arguments["page_size"]:
            return found
        cursor = rows[-1][2]
        between()


def reference(connection, arguments, blocked):
    """The same by asking each message that the caller can read, in this order."""
    return connection.execute(
        "select m.conversation_id, m.seq from chat.messages as m where m.kind <> 'system' "
        "and to_tsvector('simple', m.body) @@ websearch_to_tsquery('simple', %(query)s) "
        "and (m.conversation_id = %(conversation_id)s) is not false "
        "and (m.sender_id = %(sender_id)s) is not false "
        "and (m.created_at >= %(sent_after)s) is not false "
        "and (m.created_at < %(sent_before)s) is not false "
        "and m.sender_id <> all (%(blocked)s::uuid[]) order by case when %(order_by)s = 'ranked' "
        "then (ts_rank(to_tsvector('simple', m.body), websearch_to_tsquery('simple', %(query)s)) "
        "* 1000000)::integer end desc, m.created_at desc, m.conversation_id desc, m.seq desc",
        {**arguments, "blocked": blocked},
    ).fetchall()


@pytest.mark.parametrize("seed", range(4))
def test_finds_what_asking_every_message_finds(database, superuser, seed):
    rng = random.Random(seed)
    users, _ = make_people(database, superuser, rng)
    found = 0
    for user in users:
        with database.acting(user) as connection:
            mine = [r[0] for r in connection.execute("select id from chat.conversations")]
            for _ in range(25):
                arguments = {
                    "query": rng.choice(QUERIES),
                    "conversation_id": rng.choice((None, None, rng.choice(mine))),
                    "sender_id": rng.choice((None, None, rng.choice(users))),
                    "sent_after": rng.choice((None, None, "2020-01-01")),
                    "sent_before": rng.choice((None, None, "2025-01-01")),
                    "order_by": rng.choice(("newest", "ranked")),
                    "page_size": rng.choice((1, 3, 7, 100)),
                }
                expected = reference(connection, arguments, users[1:2] if user == users[0] else [])
                assert pages(connection, arguments) == expected, arguments
                found += len(expected)
    assert found > 1000


@pytest.mark.parametrize("order_by", ["newest", "ranked"])
def test_pages_do_not_move_while_people_write(database, superuser, order_by):
    users, rooms = make_people(database, superuser, random.Random(9))
    superuser.execute("update chat.participants set left_at = null")
    arguments = dict.fromkeys(("conversation_id", "sender_id", "sent_after", "sent_before"))
    arguments |= {"query": "ant", "order_by": order_by, "page_size": 4}
    with database.acting(users[2]) as connection:
        expected = reference(connection, arguments, [])
        assert len(expected) > 20

        def write():
            connection.execute("select chat.send_message(%s, 'ant ant')", (rooms[0],))

        (rooms[0],) = connection.execute("select id from chat.conversations limit 1").fetchone()
        assert pages(connection, arguments, write) == expected
        assert len(reference(connection, arguments, [])) > len(expected) + 3


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def scans(superuser, user, query, **arguments):
    """How a search reads messages: (index, rows) of each scan that names one, in order."""
    plans = []
    superuser.add_notice_handler(lambda notice: plans.append(notice.message_primary))
    names = "".join(f", {name} => %({name})s" for name in arguments)
    try:
        superuser.execute(
            "load 'auto_explain'; set auto_explain.log_min_duration = 0; "
            "set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; "
            "set auto_explain.log_format = json; set auto_explain.log_level = notice"
        )
        act_as(superuser, user, role="authenticated")
        rows = superuser.execute(
            f"select 1 from chat.search_messages(%(query)s{names})", {"query": query, **arguments}
        ).fetchall()
    finally:
        superuser.execute("reset role; set auto_explain.log_min_duration = -1")
    found = [
        (node.get("Index Name", node["Node Type"]), node["Actual Rows"] * node["Actual Loops"])
        for text in plans
        for node in nodes(json.loads(text[text.index("{") :])["Plan"])
        if (node.get("Relation Name") == "messages" and node["Node Type"] != "Bitmap Heap Scan")
        or str(node.get("Index Name")).startswith("messages_")
    ]
    return len(rows), found


@pytest.fixture
def many(database, superuser):
    """A user in 12 rooms of 8000 messages, among 20000; all with one word, few with another."""
    alice, bob = database.user("alice"), database.user("bob")
    rooms = []
    for starter, other in [(alice, [bob])] * 12 + [(bob, [])] * 2:
        with database.acting(starter) as connection:
            (room,) = connection.execute(
                "select (chat.start_group('Group', %s::uuid[])).id", (other,)
            ).fetchone()
        rooms.append(room)
        size = 6000 if len(rooms) in (1, 13, 14) else 200
        superuser.execute("delete from chat.messages where conversation_id = %s", (room,))
        superuser.execute(
            "insert into chat.messages "
            "(conversation_id, sender_id, seq, rev, created_at, body) "
            "select %s, %s, n, n, now() - (%s - n) * interval '1 min', "
            "'common' || case n %% 1000 when 7 then ' rare' else '' end "
            "from generate_series(1, %s) as n",
            (room, bob, size, size),
        )
        superuser.execute(
            "update chat.conversations set last_seq = %s, rev = %s where id = %s",
            (size, size, room),
        )
    superuser.execute("analyze chat.messages")
    return alice, rooms


def test_common_words_are_read_from_the_newest_back(superuser, many):
    alice, rooms = many
    for arguments in ({}, {"conversation_id": rooms[0]}):
        count, found = scans(superuser, alice, "common", **arguments)
        assert count == 20
        looked_at = [rows for index, rows in found if index == "messages_search_idx"]
        assert {index for index, _ in found} == {"messages_search_idx", "messages_pkey"}
        assert 20 <= sum(looked_at) < 400, looked_at
        # And each of the page once as the definer and once as the caller.
        assert [rows for index, rows in found if index == "messages_pkey"] == [20, 20]


def test_rare_words_are_read_from_the_index(superuser, many):
    alice, rooms = many
    for arguments, matching, readable in (({}, 29, 17), ({"conversation_id": rooms[0]}, 6, 6)):
        count, found = scans(superuser, alice, "rare", **arguments)
        assert count == readable
        assert {index for index, _ in found} == {"messages_search_idx", "messages_pkey"}
        looked_at = sum(rows for index, rows in found if index == "messages_search_idx")
        # The last look-up has no span, so it meets the newer ones again.
        assert matching <= looked_at <= 3 * matching
