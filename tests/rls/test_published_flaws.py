"""The flaws of published chat schemas, each tried here by its name.

Most are tested again, in more ways, where their subject is; here one can see that none is left.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass

import psycopg
import pytest

from parley_stack.testing import Database

TENANT = "00000000-0000-4000-8000-000000000001"
OTHERS = "00000000-0000-4000-8000-0000000000ff"
TABLES = ("tenants", "tenant_members", "conversations", "participants", "messages", "receipts")


@dataclass
class Room:
    """A group of an owner and a member, with a message of each."""

    database: Database
    id: str
    owner: str
    member: str
    stranger: str

    def state(self):
        """Everything an attack could have changed, as the owner of the tables sees it."""
        return {
            table: self.database.owner.execute(
                f"select t::text from chat.{table} as t order by 1"
            ).fetchall()
            for table in TABLES
        }

    def run(self, user_id, statement, **values):
        """A statement as somebody; its rows, or how many it changed."""
        everything = {"room": self.id, **vars(self), **values}
        known = {name: value for name, value in everything.items() if name != "database"}
        with self.database.acting(user_id) as connection:
            done = connection.execute(statement, known)
            return done.fetchall() if done.description else done.rowcount

    def refused(self, user_id, statement, state="42501", **values):
        """The statement is refused, and nothing has changed."""
        before = self.state()
        with pytest.raises(psycopg.Error) as caught:
            self.run(user_id, statement, **values)
        assert caught.value.sqlstate == state, caught.value
        assert self.state() == before

    def send(self, user_id, body):
        """Sends a message; its seq."""
        ((seq,),) = self.run(
            user_id, "select (chat.send_message(%(room)s, %(body)s)).seq", body=body
        )
        return seq


@pytest.fixture
def room(database):
    """A room with its people; a stranger shares their tenant, and there is another tenant."""
    owner, member, stranger = (database.user(n) for n in ("owner", "member", "stranger"))
    database.owner.execute(
        "insert into chat.tenants (id, slug, name) values (%s, 'others', 'Others')", (OTHERS,)
    )
    with database.acting(owner) as connection:
        (room_id,) = connection.execute(
            "select (chat.start_group('Room', %s)).id", ([member],)
        ).fetchone()
    made = Room(database, str(room_id), owner, member, stranger)
    made.send(owner, "from the owner")
    made.send(member, "from the member")
    return made


# Membership -----------------------------------------------------------------------------------


def test_reading_participants_does_not_recurse(room):
    """A policy on the membership table that reads that table ends in error 42P17."""
    assert len(room.run(room.member, "select * from chat.participants")) == 2
    assert room.run(room.stranger, "select * from chat.participants") == []


def test_a_stranger_cannot_insert_himself_as_participant(room):
    """A check of nothing but `user_id = auth.uid()` lets anybody into any conversation."""
    room.refused(
        room.stranger,
        "insert into chat.participants (conversation_id, user_id, tenant_id) "
        "values (%(room)s, %(stranger)s, %(tenant)s)",
        tenant=TENANT,
    )
    room.refused(
        room.stranger,
        "select chat.add_participants(%(room)s, array[%(stranger)s]::uuid[])",
        state="PT404",
    )
    assert room.run(room.stranger, "select * from chat.messages") == []


def test_a_member_cannot_add_a_stranger(room):
    """A policy that lets every member write memberships lets them force anybody in."""
    room.refused(room.member, "select chat.add_participants(%(room)s, array[%(stranger)s]::uuid[])")
    room.refused(
        room.member,
        "insert into chat.participants (conversation_id, user_id, tenant_id) "
        "values (%(room)s, %(stranger)s, %(tenant)s)",
        tenant=TENANT,
    )


def test_a_member_cannot_make_himself_admin(room):
    """The role is a column of one's own membership row, which one may update."""
    room.refused(
        room.member,
        "update chat.participants set role = 'owner' where user_id = %(member)s",
    )
    room.refused(room.member, "select chat.set_role(%(room)s, %(member)s, 'admin')")


def test_a_member_cannot_remove_the_admin(room):
    """Whoever may delete memberships may delete anybody's."""
    room.refused(room.member, "delete from chat.participants where user_id = %(owner)s")
    room.refused(room.member, "select chat.remove_participant(%(room)s, %(owner)s)")


def test_a_pair_has_one_direct_conversation(room):
    """Without a constraint two clients open two direct rooms for one pair."""
    made = {
        room.run(one, "select (chat.start_direct(%(other)s)).id", other=other)[0]
        for one, other in ((room.owner, room.member), (room.member, room.owner)) * 2
    }
    assert len(made) == 1
    before = room.state()
    with pytest.raises(psycopg.errors.UniqueViolation, match="conversations_direct_key"):
        room.database.owner.execute(
            "insert into chat.conversations (tenant_id, kind, user_low_id, user_high_id) "
            "values (%s, 'direct', least(%s, %s)::uuid, greatest(%s, %s)::uuid)",
            (TENANT, room.owner, room.member, room.owner, room.member),
        )
    assert room.state() == before


# Tenants --------------------------------------------------------------------------------------


def test_nobody_creates_a_conversation_in_another_tenant(room):
    """`with check (true)` on conversations lets anybody create one in any store."""
    for tenant_id in (TENANT, OTHERS):
        room.refused(
            room.member,
            "insert into chat.conversations (tenant_id, kind, title) "
            "values (%(tenant)s, 'group', 'Mine')",
            tenant=tenant_id,
        )
    room.refused(
        room.member, "select chat.start_group('Mine', tenant_id => %(tenant)s)", tenant=OTHERS
    )


@pytest.mark.parametrize("who", ["member", "service_role", "owner of the tables"])
def test_nobody_moves_a_room_or_a_message_to_another_tenant(room, who):
    """Without composite keys a row can be of one tenant and name a conversation of another."""
    before = room.state()
    with {
        "member": lambda: room.database.connect(room.member),
        "service_role": lambda: room.database.connect(role="service_role"),
        "owner of the tables": lambda: psycopg.connect(room.database.url, autocommit=True),
    }[who]() as connection:
        for table, column, key in (
            ("conversations", "tenant_id", "id"),
            ("messages", "conversation_id", "conversation_id"),
            ("participants", "tenant_id", "conversation_id"),
        ):
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(
                    f"update chat.{table} set {column} = %s where {key} = %s", (OTHERS, room.id)
                )
            assert caught.value.sqlstate in ("42501", "23503")
    assert room.state() == before


def test_nobody_lists_all_users(room):
    """A profile table that everybody signed in may read is a list of all customers."""
    assert room.run(room.stranger, "select username from chat.profiles") == [("stranger",)]
    assert len(room.run(room.member, "select username from chat.profiles")) == 2


# Messages -------------------------------------------------------------------------------------


def test_a_member_cannot_forge_an_author_or_a_time(room):
    """An insert policy that checks membership alone lets the client name any sender and time."""
    room.refused(
        room.member,
        "insert into chat.messages (conversation_id, sender_id, seq, rev, body, created_at) "
        "values (%(room)s, %(owner)s, 3, 9, 'forged', '2020-01-01')",
    )
    seq = room.send(room.member, "mine")
    assert room.run(
        room.owner,
        "select sender_id::text, created_at > now() - interval '1 minute' "
        "from chat.messages where seq = %(seq)s",
        seq=seq,
    ) == [(room.member, True)]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", "rewritten"),
        ("sender_id", OTHERS),
        ("conversation_id", OTHERS),
        ("created_at", "2020-01-01"),
        ("expires_at", "2999-01-01"),
        ("seq", 99),
    ],
)
def test_a_sender_cannot_rewrite_columns_of_his_message(room, column, value):
    """An update policy without column grants lets a sender change its time, expiry and room."""
    room.refused(
        room.member,
        f"update chat.messages set {column} = %(value)s where sender_id = %(member)s",
        value=value,
    )


def test_an_edit_changes_the_text_and_nothing_that_was_fixed(room):
    """What a sender may change, a function changes; the rest stays."""
    fixed = "select id, sender_id, seq, created_at, expires_at from chat.messages where seq = 2"
    before = room.run(room.member, fixed)
    room.run(room.member, "select chat.edit_message(%(room)s, 2, 'edited')")
    assert room.run(room.member, fixed) == before


def test_a_member_cannot_rewrite_another_s_message(room):
    """Also by the way that is meant for marking it as read."""
    room.refused(
        room.member, "update chat.messages set body = 'rewritten' where sender_id = %(owner)s"
    )
    room.refused(room.member, "select chat.edit_message(%(room)s, 1, 'rewritten')")


def test_a_member_cannot_delete_the_room_or_its_history(room):
    """A delete policy for members lets any of them take the room from all."""
    room.refused(room.member, "delete from chat.conversations where id = %(room)s")
    room.refused(room.member, "delete from chat.messages where conversation_id = %(room)s")
    room.refused(room.member, "select chat.delete_message(%(room)s, 1)")


# Reading --------------------------------------------------------------------------------------


def test_a_reader_never_writes_to_the_message(room):
    """A read flag on the message needs a policy that lets its reader update its writer's row."""
    version = "select xmin::text, ctid::text from chat.messages order by seq"
    before = room.database.owner.execute(version).fetchall()
    room.run(room.member, "select chat.mark_read(%(room)s)")
    assert room.database.owner.execute(version).fetchall() == before
    assert room.run(
        room.owner,
        "select read_at is not null from chat.message_receipts "
        "where seq = 1 and user_id = %(member)s",
    ) == [(True,)]


def test_a_member_cannot_fake_what_another_has_seen(room):
    """Receipts and watermarks that members may write say what the writer likes."""
    room.refused(
        room.member, "update chat.participants set last_read_seq = 2 where user_id = %(owner)s"
    )
    room.refused(
        room.member,
        "insert into chat.receipts "
        "(conversation_id, user_id, rev, last_read_seq, last_delivered_seq, moved_at) "
        "values (%(room)s, %(owner)s, 9, 2, 2, now())",
    )


def test_each_of_many_reads_and_hides_for_himself(room):
    """Flags such as `deleted_by_recipient` are for exactly two people."""
    room.run(room.owner, "select chat.add_participants(%(room)s, array[%(stranger)s]::uuid[])")
    room.run(room.member, "select chat.hide_message(%(room)s, 1)")
    room.run(room.stranger, "select chat.mark_read(%(room)s, 1)")
    seen = {
        name: room.run(getattr(room, name), "select count(*) from chat.messages")[0][0]
        for name in ("owner", "member", "stranger")
    }
    assert seen == {"owner": 2, "member": 1, "stranger": 2}


def _written(database, sender, room_id):
    """How many rows of the schemas one send writes."""
    with psycopg.connect(database.url) as connection:
        connection.execute("set local role authenticated")
        connection.execute(
            "select set_config('request.jwt.claims', %s, true)",
            (json.dumps({"role": "authenticated", "sub": sender}),),
        )
        connection.execute("select chat.send_message(%s, 'hello')", (room_id,))
        connection.execute("reset role")
        return connection.execute(
            "select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_xact_user_tables "
            "where schemaname in ('chat', 'chat_private')"
        ).fetchone()[0]


def test_sending_to_many_writes_no_more_rows_than_to_two(room):
    """Counters and delivery rows for each message and member make a send cost the room's size."""
    to_two = _written(room.database, room.owner, room.id)
    crowd = [room.database.user(f"guest_{number}") for number in range(60)]
    room.run(room.owner, "select chat.add_participants(%(room)s, %(crowd)s::uuid[])", crowd=crowd)
    assert _written(room.database, room.owner, room.id) == to_two


def test_a_full_text_index_is_not_left_to_a_policy(room):
    """Row security keeps a GIN index from being used, as text search is not leakproof."""
    indexes = room.database.owner.execute(
        "select i.relname from pg_class as i inner join pg_am as a on i.relam = a.oid "
        "where a.amname = 'gin' and i.relnamespace = 'chat'::regnamespace"
    ).fetchall()
    search = room.database.owner.execute(
        "select prosecdef from pg_proc "
        "where pronamespace = 'chat_private'::regnamespace and proname = 'search_messages'"
    ).fetchall()
    # An index is there for a function that checks membership itself, or not at all.
    assert search == ([(True,)] if indexes else [])


# Retention and files --------------------------------------------------------------------------


def test_every_sender_has_a_tier_and_every_message_its_expiry(room):
    """Looked up in a table that may lack the sender, the expiry is null: kept for ever."""
    assert room.run(room.owner, "select count(*) from chat.messages where expires_at is null") == [
        (0,)
    ]
    with pytest.raises(psycopg.errors.NotNullViolation):
        room.database.owner.execute("update chat.tenant_members set tier = null")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        room.database.owner.execute("update chat.tenant_members set tier = 'unheard of'")


def test_an_expired_message_is_unreadable_before_any_job_has_run(room):
    """Where only a job hides what expired, everything stays readable until it runs."""
    room.database.owner.execute(
        "update chat.messages set expires_at = now() - interval '1 millisecond' where seq = 1"
    )
    assert room.run(room.member, "select seq from chat.messages") == [(2,)]
    assert room.run(room.member, "select seq from chat.message_receipts where seq = 1") == []
    ((synced,),) = room.run(room.member, "select chat.sync(conversation_id => %(room)s)")
    assert "from the owner" not in json.dumps(synced)
    assert len(room.state()["messages"]) == 2


def test_a_change_of_tier_reaches_messages_already_sent(room):
    """An expiry that is stored once never hears of a change of tier."""
    room.database.owner.execute(
        "update chat.tenant_members set tier = 'privileged_plus' where user_id = %s", (room.owner,)
    )
    assert room.run(
        room.owner,
        "select expires_at > now() + interval '300 days' from chat.messages where seq = 1",
    ) == [(True,)]


@pytest.mark.parametrize(
    ("mime_type", "size", "code"),
    [
        ("application/x-msdownload", 10, "attachment_type_not_allowed"),
        ("image/png", 20_000_000, "attachment_too_large"),
    ],
)
def test_an_attachment_of_a_wrong_type_or_size_is_refused(room, mime_type, size, code):
    """A URL in a message's column is a file of any type and size."""
    path = f"{TENANT}/{room.id}/{uuid.uuid4()}/file"
    described = json.dumps({"mimetype": mime_type, "size": size})
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        room.run(
            room.member,
            "insert into storage.objects (bucket_id, name, owner_id, version, metadata) "
            "values ('chat-attachments', %(path)s, %(member)s, '1', %(described)s)",
            path=path,
            described=described,
        )
    # Also when the file is already there, for the limits may have changed since.
    room.database.owner.execute(
        "insert into storage.objects (bucket_id, name, owner_id, version, metadata) "
        "values ('chat-attachments', %s, %s, '1', %s)",
        (path, room.member, described),
    )
    before = room.state()
    with pytest.raises(psycopg.Error) as caught:
        room.run(
            room.member,
            "select chat.send_attachments(%(room)s, %(attachments)s)",
            attachments=json.dumps([{"path": path}]),
        )
    assert caught.value.diag.message_detail == code
    assert room.state() == before
