-- Integer ids; a conversation is a pair of users. is_read and read_at are the recipient's; each side
-- can delete for itself, is_deleted is for both. One file a message, inline.

insert into parley_import.people (external_id, email, username, display_name)
select u.id, u.email, u.username, u.username
from users as u;

insert into parley_import.conversations (external_id, kind, created_at)
select
    least(d.sender_id, d.recipient_id) || ':' || greatest(d.sender_id, d.recipient_id),
    'direct',
    min(d.created_at)
from direct_messages as d
group by least(d.sender_id, d.recipient_id), greatest(d.sender_id, d.recipient_id);

insert into parley_import.participants (conversation, person)
select c.external_id, p.id
from parley_import.conversations as c
cross join lateral (
    select distinct s.id
    from string_to_table(c.external_id, ':') as s (id)
) as p;

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, source_type, body, reply_to,
    edited_at, deleted_at
)
select
    d.id,
    least(d.sender_id, d.recipient_id) || ':' || greatest(d.sender_id, d.recipient_id),
    d.sender_id,
    d.id,
    d.created_at,
    case
        when d.type in ('text', 'image', 'file', 'audio', 'video', 'system') then d.type
        when d.type is null then 'text'
    end,
    d.type,
    d.content,
    d.reply_to_id,
    -- updated_at moves with reading and deleting as well: only later than these it is an edit.
    case
        when
            d.updated_at > d.created_at
            and d.updated_at > coalesce(greatest(d.read_at, d.deleted_at), d.created_at)
            then d.updated_at
    end,
    case when d.is_deleted then coalesce(d.deleted_at, d.updated_at, d.created_at) end
from direct_messages as d;

insert into parley_import.receipts (message, person, delivered_at, read_at)
select
    d.id,
    d.recipient_id,
    coalesce(d.read_at, d.created_at),
    coalesce(d.read_at, d.created_at)
from direct_messages as d
where d.is_read and d.sender_id <> d.recipient_id;

insert into parley_import.hidden (message, person, hidden_at)
select
    d.id,
    h.id,
    coalesce(d.deleted_at, d.updated_at)
from direct_messages as d
cross join lateral (
    values (d.sender_id, d.is_deleted_by_sender), (d.recipient_id, d.is_deleted_by_recipient)
) as h (id, is_so)
where h.is_so and d.is_deleted is not true;

insert into parley_import.files (
    external_id, message, position, address, name, mime_type, size_bytes
)
select d.id, d.id, 1, d.file_url, d.file_name, d.file_type, d.file_size
from direct_messages as d
where d.file_url is not null;
