"""Exports as other services write them, with what is wrong in real ones."""

from __future__ import annotations

import json
import sqlite3
import zipfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

_START = datetime(2026, 11, 1, 8, tzinfo=UTC)
Json = dict[str, Any]


def write_slack(path: Path, count: int, people: int, *, dirt: bool) -> None:
    """A workspace: channels, a private one, direct messages and a group of three."""
    created = int(_START.timestamp()) - 1000
    users = [
        {
            "id": f"U{number}",
            "name": f"person{number}",
            "deleted": False,
            "profile": {"real_name": f"Person {number}", "email": f"person{number}@example.com"},
        }
        for number in range(1, people + 1)
    ]
    channels = [
        {
            "id": f"C{number}",
            "name": f"channel-{number}",
            "created": created,
            "creator": f"U{number}",
            "is_archived": number == 2,
            "members": [f"U{1 + (number + k) % people}" for k in range(5)],
        }
        for number in (1, 2, 3)
    ]
    groups = [{**channels[0], "id": "G1", "name": "secret"}]
    dms = [
        {"id": f"D{number}", "created": created, "members": [f"U{number}", f"U{number + 1}"]}
        for number in range(1, 6)
    ]
    mpims = [{**channels[0], "id": "G2", "name": "mpdm-a--b--c-1", "members": ["U1", "U2", "U3"]}]
    rooms = [*channels, *groups, *dms, *mpims]
    days: dict[str, list[Json]] = defaultdict(list)
    roots: dict[str, str] = {}
    for number in range(count):
        room = rooms[number % len(rooms)]
        folder = room["id"] if room in dms else room["name"]
        at = _START + timedelta(minutes=number)
        ts = f"{int(at.timestamp())}.{number % 1000000:06d}"
        members = room["members"]
        message: Json = {
            "type": "message",
            "user": members[number % len(members)],
            "text": f"message {number} for <@U1> &amp; all, see <https://example.com|this>",
            "ts": ts,
        }
        if number % 9 == 0:
            message["reactions"] = [{"name": "+1", "users": members[:2], "count": 2}]
        if number % 31 == 0:
            message["files"] = [
                {
                    "id": f"F{number}",
                    "name": f"picture {number}.png",
                    "mimetype": "image/png",
                    "size": 67,
                    "url_private_download": f"files/{number}.png",
                }
            ]
            message["text"] = ""
        if number % 13 == 0:
            message["edited"] = {
                "user": message["user"],
                "ts": f"{int(at.timestamp()) + 60}.000000",
            }
        if number % 7 == 0 and folder in roots:
            message["thread_ts"] = roots[folder]
        else:
            roots.setdefault(folder, ts)
        if number % 53 == 0:
            message |= {"subtype": "channel_join", "text": "<@U1> has joined the channel"}
        days[f"{folder}/{at:%Y-%m-%d}.json"].append(message)
    if dirt:
        any_day = next(iter(days))
        first = dict(days[any_day][0])
        days[any_day] += [
            first,
            {**first, "text": "another, of the same moment"},
            {"type": "message", "bot_id": "B1", "text": "beep", "ts": "1793520001.000100"},
            {"type": "message", "user": "U1", "text": "no time"},
            {
                "type": "message",
                "user": "U1",
                "text": "nul \0, \ud83d half",
                "ts": "1793520003.000000",
            },
            {"type": "call", "user": "U1", "text": "what", "ts": "1793520004.000000"},
            {"type": "message", "user": "U1", "text": "", "ts": "1793520005.000000"},
            {"type": "message", "user": "U1", "text": "x" * 25000, "ts": "1793520006.000000"},
            {
                "type": "message",
                "subtype": "tombstone",
                "user": "U1",
                "text": "This was deleted.",
                "ts": "1793520007.000000",
            },
        ]
        days["gone-channel/2026-11-01.json"].append(
            {"type": "message", "user": "U1", "text": "from nowhere", "ts": "1793520008.000000"}
        )
        users = [user for user in users if user["id"] != "U4"]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (
            ("users", users),
            ("channels", channels),
            ("groups", groups),
            ("dms", dms),
            ("mpims", mpims),
        ):
            archive.writestr(f"{name}.json", json.dumps(content))
        for name, content in days.items():
            archive.writestr(name, json.dumps(content))


def write_stream(path: Path, count: int, people: int, *, dirt: bool) -> None:
    """Channels one after the other, each with all that is in it."""

    def user(number: int) -> Json:
        return {
            "id": f"person-{number}",
            "name": f"Person {number}",
            "email": f"person{number}@example.com",
        }

    def moment(number: float) -> str:
        return (_START + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")

    rooms = min(8, people - 2)
    channels = []
    for room in range(rooms):
        is_direct = room % 2 == 0
        members = [1 + room, 2 + room] if is_direct else [1 + room, 2 + room, 3 + room]
        name = f"!members-{room}" if is_direct else f"room-{room}"
        messages = []
        for number in range(room, count, rooms):
            message: Json = {
                "id": f"msg-{number}",
                "text": f"message {number} with some words",
                "type": "regular",
                "user": user(members[number % len(members)]),
                "created_at": moment(number),
                "updated_at": moment(number),
                "cid": f"messaging:{name}",
            }
            if number % 9 == 0:
                message["latest_reactions"] = [
                    {
                        "type": "love",
                        "user_id": f"person-{members[0]}",
                        "created_at": moment(number + 5),
                    }
                ]
            if number % 11 == 0 and number >= rooms:
                message |= {"type": "reply", "parent_id": f"msg-{number - rooms}"}
            if number % 13 == 0 and number >= rooms:
                message["quoted_message_id"] = f"msg-{number - rooms}"
            if number % 17 == 0:
                message["message_text_updated_at"] = moment(number + 3)
            if number % 29 == 0:
                message |= {"type": "deleted", "deleted_at": moment(number + 9)}
            if number % 31 == 0:
                message["attachments"] = [
                    {"type": "image", "image_url": f"https://cdn.example.com/{number}.png"}
                ]
            messages.append(message)
        if dirt and room == 1:
            messages += [
                {**messages[0], "text": "of the same id"},
                {**messages[0], "id": "odd", "type": "ephemeral"},
                {**messages[0], "id": "long", "text": "x" * 10001},
                {**messages[0], "id": "timeless", "created_at": "yesterday"},
                {**messages[0], "id": "nobody", "user": {"id": "gone"}},
            ]
        channels.append(
            {
                "channel": {
                    "id": name,
                    "type": "messaging",
                    "cid": f"messaging:{name}",
                    "name": None if is_direct else f"Room {room}",
                    "created_by": user(members[0]),
                    "created_at": moment(-100),
                    "frozen": room == 3,
                },
                "messages": messages,
                "members": [
                    {
                        "user_id": f"person-{member}",
                        "user": user(member),
                        "role": "owner" if member == members[0] else "member",
                        "created_at": moment(-100),
                    }
                    for member in members
                ],
                "read": [
                    {"user": user(members[0]), "last_read": moment(count / 2), "unread_messages": 3}
                ],
            }
        )
    path.write_text(json.dumps(channels), encoding="utf-8")


def move_to_sqlite(connection: psycopg.Connection, tables: list[str], path: Path) -> None:
    """Moves tables to a SQLite file, as Prisma keeps them: times in milliseconds, truth as 0, 1."""
    lite = sqlite3.connect(path)
    for table in tables:
        rows = connection.execute(f'select * from public."{table}"'.encode())
        assert rows.description is not None
        names = ", ".join(f'"{column.name}"' for column in rows.description)
        lite.execute(f'create table "{table}" ({names})')
        marks = ", ".join("?" * len(rows.description))
        lite.executemany(
            f'insert into "{table}" values ({marks})',
            [
                [
                    int(value.replace(tzinfo=UTC).timestamp() * 1000)
                    if isinstance(value, datetime)
                    else int(value)
                    if isinstance(value, bool)
                    else value
                    for value in row
                ]
                for row in rows
            ],
        )
        connection.execute(f'drop table public."{table}"'.encode())
    lite.commit()
    lite.close()


def spoil_sqlite(path: Path) -> None:
    """What a column of SQLite takes, whatever its type says."""
    with sqlite3.connect(path) as lite:
        lite.execute("""update messages_v2 set "createdAt" = 'yesterday' where id = 'ms20'""")
        lite.execute(
            """update messages_v2 set "createdAt" = '2026-11-01T08:00:23.500Z' where id = 'ms23'"""
        )
        lite.execute("""update messages_v2 set content = x'ff00fe' where id = 'ms22'""")
    lite.close()
