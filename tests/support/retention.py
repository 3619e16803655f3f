"""Groups of three whose clock a test sets."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

from parley_stack.testing import Database

TENANT = "00000000-0000-4000-8000-000000000001"
OTHER_TENANT = "00000000-0000-4000-8000-000000000002"


@dataclass
class Room:
    """A group of alice's, bob's and carol's, in a database whose clock can be set."""

    database: Database
    ids: dict[str, str]
    tenant: str = TENANT
    id: str = ""

    def owner(self, query: str, *values: object) -> list[tuple]:
        found = self.database.owner.execute(query.encode(), values)
        return found.fetchall() if found.description is not None else []

    def call(self, name: str, query: str, *values: object) -> object:
        with self.database.acting(self.ids[name]) as connection:
            return connection.execute(query.encode(), values).fetchone()[0]

    def service(self, query: str, *values: object) -> list[tuple]:
        """As the service role."""
        with self.database.acting(None, role="service_role") as connection:
            return connection.execute(query.encode(), values).fetchall()

    def after(self, days: float) -> None:
        """Sets the clock, counted from the beginning."""
        self.owner(
            f"create or replace function chat_private.now() returns timestamptz language sql stable"
            f" set search_path = '' return timestamptz '2027-01-01 12:00Z' + interval '{days} days'"
        )

    def send(self, name: str, body: str = "hello", **more: object) -> int:
        names = "".join(f", {key} => %s" for key in more)
        return self.call(
            name, f"select (chat.send_message(%s, %s{names})).seq", self.id, body, *more.values()
        )

    def seen(self, name: str) -> list[int]:
        """The messages that somebody can read."""
        query = "select seq from chat.messages where conversation_id = %s order by seq"
        with self.database.acting(self.ids[name]) as connection:
            return [seq for (seq,) in connection.execute(query, (self.id,))]

    def tier(self, name: str, tier: str) -> None:
        self.owner(
            "update chat.tenant_members set tier = %s where tenant_id = %s and user_id = %s",
            tier, self.tenant, self.ids[name],
        )  # fmt: skip

    def settings(self, changes: str) -> None:
        """Of the tenant."""
        self.owner(f"update chat.settings set {changes} where tenant_id = %s", self.tenant)

    def hold(self, **scope: str) -> str:
        """Of a user, a conversation, or without either the tenant; its id."""
        names = "".join(f", {name} => %s" for name in scope)
        hold = f"select (chat.place_hold('a case', tenant_id => %s{names})).id::text"
        return self.service(hold, self.tenant, *scope.values())[0][0]

    def put_off_rewriting(self) -> None:
        """From now on what the owner of the database changes waits for a sweep."""
        self.owner("select set_config('chat.retention_left', '0', false)")

    def expires(self, seq: int) -> float | None:
        """The day on which a message expires."""
        ((day,),) = self.owner(
            "select extract(epoch from expires_at - '2027-01-01 12:00Z') / 86400"
            " from chat.messages where conversation_id = %s and seq = %s",
            self.id, seq,
        )  # fmt: skip
        return None if day is None else float(day)

    def sweep(self, batch_size: int = 500) -> dict[str, int]:
        """All of one; with a batch_size of 1 it must come to its end as well."""
        total = {"rewritten": 0, "marked": 0, "purged": 0}
        cursor = None
        for _ in range(100):
            ((done,),) = self.owner(
                "select chat.sweep_messages(%s, %s)",
                batch_size,
                json.dumps(cursor) if cursor else None,
            )
            for key in total:
                total[key] += done[key]
            if not done["has_more"]:
                return total
            cursor = done["cursor"]
        raise AssertionError(f"no end: {cursor}")

    def check(self) -> None:
        assert self.owner("select * from chat.check_counters()") == []


def make_room(database: Database) -> Room:
    """On day 0."""
    room = Room(database, {name: database.user(name) for name in ("alice", "bob", "carol")})
    room.after(0)
    return _started(room)


def make_other_room(room: Room) -> Room:
    """One of the same three, in another tenant."""
    other = Room(room.database, room.ids, OTHER_TENANT)
    room.owner("insert into chat.tenants (id, slug, name) values (%s, 'b', 'B')", OTHER_TENANT)
    room.owner(
        "insert into chat.tenant_members (tenant_id, user_id) select %s, unnest(%s::uuid [])",
        OTHER_TENANT, list(room.ids.values()),
    )  # fmt: skip
    return _started(other)


def _started(room: Room) -> Room:
    group = "select (chat.start_group('Room', %s, tenant_id => %s)).id::text"
    room.id = room.call("alice", group, [room.ids["bob"], room.ids["carol"]], room.tenant)
    return room


def make_admin(room: Room, name: str) -> None:
    """Of the room's tenant; in the room they are what they were."""
    room.owner(
        "update chat.tenant_members set role = 'admin' where tenant_id = %s and user_id = %s",
        room.tenant, room.ids[name],
    )  # fmt: skip


def make_full_room(database: Database, mark: str) -> Room:
    """Alice wrote much of what one can write, with the mark in it."""
    room = make_room(database)
    room.owner(
        "update chat.profiles set username = %s, display_name = %s where id = %s",
        mark, f"{mark} the first", room.ids["alice"],
    )  # fmt: skip
    room.send("alice", f"{mark} 1")
    room.send("bob", "an answer", reply_to_seq=1)
    room.send("alice", f"{mark} 3", thread_root_seq=2)
    room.call("alice", "select (chat.edit_message(%s, 1, %s)).seq", room.id, f"{mark} edited")
    room.send("alice", f"{mark} deleted")
    room.call("alice", "select (chat.delete_message(%s, 4)).seq", room.id)
    room.call("bob", "select (chat.delete_message(%s, 2)).seq", room.id)
    room.send("bob", "still here")
    room.call("alice", "select chat.react(%s, 5, '+')", room.id)
    room.call("bob", "select chat.react(%s, 1, '+')", room.id)
    room.call("alice", "select chat.pin_message(%s, 5)", room.id)
    room.call("alice", "select (chat.mark_read(%s)).rev", room.id)
    with room.database.acting(room.ids["alice"]) as connection:
        connection.execute(
            "insert into chat.drafts (conversation_id, body) values (%s, %s)", (room.id, mark)
        )
        connection.execute(
            "insert into chat.saved_messages (conversation_id, message_seq, note)"
            " values (%s, 5, %s)", (room.id, mark),
        )  # fmt: skip
        connection.execute(
            "select chat.schedule_message(%s, chat_private_now.at, %s)"
            " from (select timestamptz '2027-02-01' as at) as chat_private_now", (room.id, mark)
        )  # fmt: skip
        connection.execute(
            "select chat.register_device(gen_random_uuid(), 'fcm', %s)", (f"token of {mark}",)
        )
        connection.execute("select chat.request_contact(username => 'bob')")
    for number in (1, 2):
        path = f"{TENANT}/{room.id}/{uuid.uuid4()}/{mark}.png"
        room.owner(
            "insert into storage.objects (bucket_id, name, owner_id, version) values"
            " ('chat-attachments', %s, %s, '1')", path, room.ids["alice"],
        )  # fmt: skip
        if number == 1:
            room.owner(
                "insert into chat.attachments (conversation_id, message_seq, position, path, name,"
                " mime_type, size_bytes) values (%s, 1, 1, %s, %s, 'image/png', 9)",
                room.id, path, mark,
            )  # fmt: skip
    room.owner("update chat.tenant_members set tier = 'privileged' where user_id = %s",
               room.ids["alice"])  # fmt: skip
    return room


def found(room: Room, texts: list[str]) -> set[str]:
    """Each column of the database in which one of the texts is."""
    columns = room.owner(
        "select c.oid::regclass::text, quote_ident(a.attname) from pg_class as c"
        " inner join pg_attribute as a on c.oid = a.attrelid"
        " inner join pg_namespace as n on c.relnamespace = n.oid"
        " where c.relkind = 'r' and a.attnum > 0 and not a.attisdropped"
        " and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'"
    )
    pattern = "|".join(texts)
    return {
        f"{table}.{column}"
        for table, column in columns
        if room.owner(f"select 1 from {table} where {column}::text ~* %s limit 1", pattern)
    }
