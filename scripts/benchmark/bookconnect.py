"""The second baseline: BookConnect's own schema, with the same data, and its queries."""

from __future__ import annotations

from pathlib import Path

import psycopg

# A page of conversations, with the last message and how many are unread, as its document asks.
INBOX = """
select c.*, m.content, m.sent_at, (
    select count(*) from direct_messages as u
    where u.conversation_id = c.id and u.sent_at > p.last_read_at
        and u.sender_id <> auth.uid() and not u.is_deleted
)
from conversation_participants as p
inner join conversations as c on c.id = p.conversation_id
left join lateral (
    select l.content, l.sent_at from direct_messages as l
    where l.conversation_id = c.id and l.is_deleted = false
    order by l.sent_at desc limit 1
) as m on true
where p.user_id = auth.uid()
order by c.updated_at desc
limit 30
"""
NEWEST = """
select * from direct_messages
where conversation_id = $1 and is_deleted = false
order by sent_at desc limit 50
"""
# It pages by time: the second value, a number of a message, stands for as many seconds.
OLDER = """
select * from direct_messages
where conversation_id = $1 and is_deleted = false
    and sent_at < now() - $2::bigint * interval '50 seconds'
order by sent_at desc limit 50
"""
UNREAD = """
select count(*)
from conversation_participants as p
inner join direct_messages as u on u.conversation_id = p.conversation_id
where p.user_id = auth.uid() and u.sent_at > p.last_read_at
    and u.sender_id <> auth.uid() and not u.is_deleted
"""
SEND = """
with sent as (
    insert into direct_messages (conversation_id, sender_id, content)
    values ($1, auth.uid(), $2) returning *
), moved as (
    update conversations set updated_at = now() where id = $1
)
select * from sent
"""
MARK_READ = """
update conversation_participants set last_read_at = now()
where conversation_id = $1 and user_id = auth.uid()
"""


def install(admin: psycopg.Connection) -> None:
    """Makes the schema and copies the messages of ``chat`` into it."""
    admin.execute(Path(__file__).with_suffix(".sql").read_bytes())


def remove(admin: psycopg.Connection) -> None:
    """So that nothing else is measured beside it."""
    admin.execute("drop schema bookconnect cascade")
