-- Tenants isolate everything; a principal is of one tenant. Reads are per message and recipient, and
-- per participant.

insert into parley_import.tenants (external_id, slug, name)
select
    t.id,
    trim(both '-' from left(regexp_replace(lower(t.name), '[^a-z0-9]+', '-', 'g'), 63)),
    left(t.name, 200)
from tenant as t;

insert into parley_import.people (external_id, email, display_name)
select p.id, p.email, p.display_name
from principal as p;

insert into parley_import.memberships (tenant, person)
select p.tenant_id, p.id
from principal as p;

insert into parley_import.conversations (
    external_id, tenant, kind, title, is_closed, created_by, created_at
)
select
    c.id,
    c.tenant_id,
    lower(c.type),
    c.title,
    c.deleted_at is not null,
    c.created_by,
    c.created_at
from conversation as c;

insert into parley_import.participants (
    conversation, person, role, joined_at, left_at, read_at
)
select p.conversation_id, p.user_id, lower(p.role), p.joined_at, p.left_at, p.last_read_at
from conversation_participant as p;

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, body, metadata, edited_at,
    deleted_at
)
select
    m.id,
    m.conversation_id,
    m.sender_id,
    ('x' || substr(md5(m.id::text), 1, 15))::bit(60)::bigint,
    m.created_at,
    'text',
    m.body,
    jsonb_strip_nulls(jsonb_build_object('client_id', m.client_id)),
    m.edited_at,
    m.deleted_at
from message as m;

insert into parley_import.receipts (message, person, delivered_at, read_at)
select d.message_id, d.user_id, d.delivered_at, d.read_at
from message_delivery as d;
