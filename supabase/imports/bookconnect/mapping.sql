-- On Supabase already: people are users of this project, by id. A store is a tenant. When a message
-- expires follows here from its sender's tier, as it did there; retention_expires_at is not copied.

insert into parley_import.tenants (external_id, slug, name)
select
    s.id,
    trim(both '-' from left(regexp_replace(lower(s.name), '[^a-z0-9]+', '-', 'g'), 63)),
    left(s.name, 200)
from stores as s;

insert into parley_import.people (external_id, user_id)
select p.user_id, p.user_id
from (
    select u.id as user_id from users as u
    union
    select q.user_id from conversation_participants as q
    union
    select m.sender_id from direct_messages as m where m.sender_id is not null
) as p;

insert into parley_import.memberships (tenant, person, tier)
select u.store_id, u.id, u.user_tier
from users as u;

insert into parley_import.conversations (external_id, tenant, kind, created_at)
select c.id, c.store_id, 'direct', c.created_at
from conversations as c;

insert into parley_import.participants (conversation, person, joined_at, read_at)
select p.conversation_id, p.user_id, p.joined_at, p.last_read_at
from conversation_participants as p;

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, body, deleted_at
)
select
    m.id,
    m.conversation_id,
    m.sender_id,
    ('x' || substr(md5(m.id::text), 1, 15))::bit(60)::bigint,
    m.sent_at,
    'text',
    m.content,
    case when m.is_deleted then coalesce(m.deleted_at, m.sent_at) end
from direct_messages as m;
