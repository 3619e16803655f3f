"""The world of the matrix: one person for each role, and one row or more in every table.

Made through the functions, as the people themselves, in a database that only the matrix uses.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import psycopg

from parley_stack.testing.databases import Database, act_as

ROLES = (
    "owner",
    "admin",
    "member",
    "silenced",
    "blocked",
    "former",
    "stranger",
    "moderator",
    "tenant_admin",
    "other_tenant",
    "anon",
    "service",
)
# People no attempt is made as; they are there to be named.
OTHERS = ("banned", "guest")
POLL = {
    "question": "Which?",
    "options": [{"id": "a", "text": "A"}, {"id": "b", "text": "B"}],
}
_TENANT = "00000000-0000-4000-8000-000000000001"


def id_of(name: str) -> str:
    """The same id in every run."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.matrix.example.com"))


def database_role(role: str) -> str:
    """The role of PostgreSQL that somebody acts as."""
    return {"anon": "anon", "service": "service_role"}.get(role, "authenticated")


def user_id(role: str) -> str | None:
    """The user's id, if a user has this role."""
    return None if role in ("anon", "service") else id_of(role)


class World:
    """``names`` has what attempts call ``{room}``, ``{owner}`` and so on."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.owner = database.owner
        people = [name for name in (*ROLES, *OTHERS) if user_id(name)]
        self.names = {
            **{name: id_of(name) for name in people},
            "tenant": _TENANT,
            "other_tenant_id": id_of("tenant of others"),
            "nobody": id_of("nobody"),
            "new": id_of("new"),
            "tomorrow": (datetime.now(UTC) + timedelta(days=1)).isoformat(),
        }
        self._sign_up(people)
        with psycopg.connect(database.url, autocommit=True) as self._session:
            self._talk()
            self._keep_private_things()
            self._moderate()
        self._state_query = " union all ".join(
            f"select '{table}', md5(string_agg(t::text, '|' order by t::text)) from {table} as t"
            for (table,) in self.owner.execute(
                "select c.oid::regclass::text from pg_class as c "
                "where c.relkind in ('r', 'p') and not c.relispartition "
                "and (c.relnamespace in ('chat'::regnamespace, 'chat_private'::regnamespace) "
                "or c.oid in ('auth.sessions'::regclass, 'storage.objects'::regclass, "
                "'realtime.messages'::regclass))"
            )
        ).encode()
        self.before = self.state()

    def _sign_up(self, people: list[str]) -> None:
        self.owner.execute(
            "insert into chat.tenants (id, slug, name) values (%s, 'others', 'Others')",
            (self.names["other_tenant_id"],),
        )
        for name in people:
            self.owner.execute(
                "insert into auth.users (id, instance_id, aud, role, email, raw_user_meta_data) "
                "values (%s, '00000000-0000-0000-0000-000000000000', 'authenticated', "
                "'authenticated', %s, %s)",
                (id_of(name), f"{name}@example.com", json.dumps({"username": name})),
            )
        self.owner.execute(
            "update chat.tenant_members set role = 'moderator' where user_id = %s",
            (id_of("moderator"),),
        )
        self.owner.execute(
            "update chat.tenant_members set role = 'admin' where user_id = %s",
            (id_of("tenant_admin"),),
        )
        self.owner.execute(
            "update chat.tenant_members set tenant_id = %s where user_id = %s",
            (self.names["other_tenant_id"], id_of("other_tenant")),
        )

    def do(self, role: str, statement: str, /, **values: object) -> str:
        """Runs a statement as somebody; its first value as text."""
        act_as(self._session, user_id(role), role=database_role(role))
        values = {**self.names, **values}
        done = self._session.execute(statement, values)
        row = done.fetchone() if done.description else None
        return str(row[0]) if row else ""

    def call(self, role: str, function: str, result: str = "x", /, **arguments: object) -> str:
        """Calls a function as somebody; what ``result`` says of what it returns, as text."""
        named = ", ".join(f"{name} => %({name})s" for name in arguments)
        return self.do(role, f"select {result} from chat.{function}({named}) as x", **arguments)

    def _talk(self) -> None:
        names = self.names
        guests = ("admin", "member", "silenced", "blocked", "former")
        names["room"] = self.call(
            "owner", "start_group", "x.id", title="Room", user_ids=[names[g] for g in guests]
        )
        room = {"conversation_id": names["room"]}
        self.call("owner", "set_role", **room, user_id=names["admin"], role="admin")
        for seq, (sender, message) in enumerate(
            [
                ("owner", {"body": "for @member", "mentions": [names["member"]]}),
                ("member", {"kind": "poll", "metadata": json.dumps(POLL)}),
                ("member", {"body": "in a thread", "thread_root_seq": 1}),
                ("member", {"body": "a slip"}),
                ("owner", {"body": "hidden by the member"}),
            ],
            start=1,
        ):
            assert self.call(sender, "send_message", "x.seq", **room, **message) == str(seq)
        self.call("owner", "edit_message", **room, seq=1, body="for you, @member")
        self.call("member", "delete_message", **room, seq=4)
        self._upload("attached", "member")
        self.call(
            "member",
            "send_attachments",
            **room,
            attachments=json.dumps([{"path": names["attached"]}]),
        )
        self._upload("uploaded", "member")

        names["direct"] = self.call("blocked", "start_direct", "x.id", username="owner")
        for sender in ("owner", "blocked"):
            self.call(sender, "send_message", conversation_id=names["direct"], body="between us")
        names["subject"] = self.call(
            "service",
            "open_subject",
            "x.id",
            subject_type="order",
            subject_id="1",
            tenant_id=names["tenant"],
            participants=json.dumps(
                [
                    {"user_id": names["owner"], "role": "owner", "party": "seller"},
                    {"user_id": names["member"], "party": "buyer"},
                ]
            ),
        )
        self.call("owner", "send_message", conversation_id=names["subject"], body="on its way")

    def _upload(self, name: str, role: str) -> None:
        """A file in the room's folder, as the Storage server leaves it."""
        self.names[name] = "{}/{}/{}/{}.png".format(
            self.names["tenant"], self.names["room"], id_of(name), name
        )
        self.owner.execute(
            "insert into storage.objects (bucket_id, name, owner_id, version, metadata) "
            "values ('chat-attachments', %s, %s, '1', %s)",
            (self.names[name], user_id(role), json.dumps({"mimetype": "image/png", "size": 9})),
        )

    def _keep_private_things(self) -> None:
        """The member's; and the former member's, from when they took part."""
        room = {"conversation_id": self.names["room"]}
        for role in ("member", "former"):
            self.do(
                role,
                "insert into chat.saved_messages (conversation_id, message_seq, note) "
                "values (%(room)s, 1, 'mine')",
            )
            self.do(
                role,
                "insert into chat.drafts (conversation_id, body) values (%(room)s, 'unsaid')",
            )
            self.names[f"scheduled_by_{role}"] = self.call(
                role,
                "schedule_message",
                "x.id",
                **room,
                send_at=self.names["tomorrow"],
                body="later",
            )
            self.call(role, "hide_message", **room, seq=5)
            self.call(role, "follow_thread", **room, root_seq=1)
            self._sign_in_on_a_device(role)
            self.do(role, "insert into chat.notification_preferences default values")
            self.names[f"notification_of_{role}"] = self.call(
                "service", "send_notification", "x.id", user_id=id_of(role), title="Shipped"
            )
        self.call("member", "react", **room, seq=1, emoji="👍")
        self.call("member", "vote", **room, seq=2, option_ids=["a"])
        self.call("owner", "pin_message", **room, seq=1)
        self.call("member", "mark_read", **room, seq=3)
        self.call("member", "request_contact", username="owner")
        self.call("owner", "accept_contact", user_id=self.names["member"])
        self.call("stranger", "request_contact", username="owner")

    def _sign_in_on_a_device(self, role: str) -> None:
        """With a session, as the Auth server leaves it, and a token to push to."""
        session_id, device_id = id_of(f"{role}'s session"), id_of(f"{role}'s device")
        self.names |= {f"session_of_{role}": session_id, f"device_of_{role}": device_id}
        self.owner.execute(
            "insert into auth.sessions (id, user_id) values (%s, %s)", (session_id, user_id(role))
        )
        self.call(role, "register_device", id=device_id, provider="fcm", token=f"of {role}")
        self.owner.execute(
            "update chat.devices set session_id = %s where id = %s", (session_id, device_id)
        )

    def _moderate(self) -> None:
        room = {"conversation_id": self.names["room"]}
        self.names["report"] = self.call(
            "member", "report_message", "x.id", **room, seq=1, reason="spam"
        )
        self.call("moderator", "ban_user", user_id=self.names["banned"], reason="spam")
        self.call(
            "owner", "silence_participant", **room, user_id=self.names["silenced"], until="infinity"
        )
        self.call("former", "leave", **room)
        self.do("owner", "insert into chat.blocks (blocked_id) values (%(blocked)s)")
        self.do(
            "service",
            "update chat.tenant_members set tier = 'privileged' where user_id = %(member)s"
            " returning tier",
        )
        self.names["hold"] = self.call(
            "tenant_admin",
            "place_hold",
            "x.id",
            reason="a case",
            conversation_id=self.names["subject"],
        )
        self.owner.execute(
            "update chat.settings set may_set_retention = true where tenant_id = %s",
            (self.names["tenant"],),
        )
        self.owner.execute(
            "insert into chat_private.orphaned_objects (path, conversation_id, is_restorable) "
            "values ('purged.png', %s, false)",
            (self.names["room"],),
        )
        self.owner.execute(
            "select chat_private.record_audit(%s, 'messages_purged', null, null, %s)",
            (self.names["tenant"], json.dumps({"messages": 1, "tombstones": 1})),
        )

        self.names["export"] = self.call("member", "begin_export", "x.id")

    def state(self, connection: psycopg.Connection | None = None) -> dict[str, str]:
        """A digest of each table: of the schemas, of sessions, files and what was broadcast."""
        return dict((connection or self.owner).execute(self._state_query).fetchall())
