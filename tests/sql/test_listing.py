"""Lists: newest first from an index; how much each party has not read."""

from __future__ import annotations

import json

TENANT = "00000000-0000-4000-8000-000000000001"


def test_the_newest_page_is_the_end_of_an_index(database):
    alice = database.user("alice")
    with database.acting(alice) as connection:
        (room,) = connection.execute("select (chat.start_group('Room')).id").fetchone()
        for number in range(200):
            connection.execute("select chat.send_message(%s, %s)", (room, f"message {number}"))
        # In a table this small, reading all of it would win.
        database.owner.execute("analyze chat.messages")
        connection.execute("set enable_seqscan = off")
        plan = "\n".join(
            line
            for (line,) in connection.execute(
                "explain (costs off) select * from chat.messages where conversation_id = %s "
                "order by seq desc limit 50",
                (room,),
            )
        )
    assert "Index Scan Backward using messages_pkey" in plan
    assert "Sort" not in plan


def test_each_party_has_its_own_unread_count(database):
    agent, client = database.user("agent"), database.user("client")
    with database.acting(None, role="service_role") as connection:
        (room,) = connection.execute(
            "select (chat.open_subject('property', '7', %s, tenant_id => %s)).id",
            (
                json.dumps(
                    [
                        {"user_id": agent, "role": "owner", "party": "agent"},
                        {"user_id": client, "party": "client"},
                    ]
                ),
                TENANT,
            ),
        ).fetchone()
    with database.acting(client) as connection:
        for body in ("Is it still free?", "And does it have a garden?"):
            connection.execute("select chat.send_message(%s, %s)", (room, body))
        counts = connection.execute(
            "select party, unread_count from chat.unread_by_party order by party"
        ).fetchall()
        assert counts == [("agent", 2), ("client", 0)]
    with database.acting(agent) as connection:
        connection.execute("select chat.mark_read(%s)", (room,))
        assert connection.execute("select sum(unread_count) from chat.unread_by_party").fetchone()[
            0
        ] in (0, None)
