-- Ten tables; ids are uuids. What is soft-deleted stays deleted. A contact is one row of whoever
-- asked or blocked.

insert into parley_import.people (external_id, email, username, display_name)
select u.id, u.email, u.username, coalesce(u.display_name, u.username)
from users as u;

insert into parley_import.contacts (person, other, state, created_at)
select c.user_id, c.contact_id, c.status, c.created_at
from contacts as c;

insert into parley_import.conversations (
    external_id, kind, title, is_closed, created_by, created_at
)
select c.id, c.type, c.name, c.deleted_at is not null, c.created_by, c.created_at
from chats as c;

insert into parley_import.participants (conversation, person, role, joined_at, left_at)
select p.chat_id, p.user_id, p.role, p.joined_at, p.left_at
from chat_participants as p;

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, source_type, body, metadata,
    reply_to, edited_at, deleted_at
)
select
    m.id,
    m.chat_id,
    m.sender_id,
    -- Of one moment: in the order of their ids, which is any, but always the same.
    ('x' || substr(md5(m.id::text), 1, 15))::bit(60)::bigint,
    m.created_at,
    case
        when m.sender_id is null and m.content_type = 'system' then 'system'
        when m.content_type in ('text', 'image', 'file', 'audio', 'video') then m.content_type
    end,
    m.content_type,
    m.content,
    coalesce(case when jsonb_typeof(m.metadata) = 'object' then m.metadata end, '{}'),
    m.reply_to_id,
    m.edited_at,
    m.deleted_at
from messages as m;

insert into parley_import.receipts (message, person, delivered_at, read_at)
select
    d.message_id,
    d.user_id,
    case when d.status in ('delivered', 'read') then coalesce(d.delivered_at, d.read_at) end,
    case when d.status = 'read' then d.read_at end
from message_delivery as d;

insert into parley_import.reactions (message, person, emoji, created_at)
select r.message_id, r.user_id, r.emoji, r.created_at
from message_reactions as r;

insert into parley_import.files (
    external_id, message, position, address, name, mime_type, size_bytes
)
select
    a.id,
    a.message_id,
    row_number() over (order by a.id),
    a.file_url,
    a.file_name,
    a.mime_type,
    a.file_size
from attachments as a;
