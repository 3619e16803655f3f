"""Parties of a conversation, such as agent and client."""

from __future__ import annotations

import json

TENANT = "00000000-0000-4000-8000-000000000001"


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
        counts = connection.execute(
            "select party, unread_count from chat.unread_by_party order by party"
        ).fetchall()
        assert counts == [("agent", 0), ("client", 0)]
