-- Text ids, one conversation a property. In the database or in a SQLite file, whose columns hold
-- what they were given: times as milliseconds or text, truth as numbers. So everything is read as
-- text, and what is no time is null, which the plan shows.

create function pg_temp.to_time(value text)
returns timestamptz
language plpgsql
stable
as $$
begin
    if value ~ '^\d{9,16}$' then
        return to_timestamp(value::numeric / 1000);
    end if;
    return value::timestamptz;
exception
    when data_exception then
        return null;
end;
$$;

insert into parley_import.people (external_id, email, display_name)
select u.id, u.email, u.name
from users as u;

insert into parley_import.conversations (
    external_id, kind, title, subject_type, subject_id, is_closed, created_by, created_at
)
select
    c.id,
    'subject',
    'Property ' || c."propertyId",
    'property',
    c."propertyId",
    upper(c.status) <> 'ACTIVE',
    c."agentId",
    pg_temp.to_time(c."createdAt"::text)
from property_conversations as c;

-- The agent owns it.
insert into parley_import.participants (conversation, person, role, party)
select c.id, p.person, p.role, p.party
from property_conversations as c
cross join lateral (
    values (c."agentId", 'owner', 'agent'), (c."clientId", 'member', 'client')
) as p (person, role, party);

insert into parley_import.messages (
    external_id, conversation, sender, position, created_at, kind, source_type, body
)
select
    m.id,
    m."conversationId",
    m."senderId",
    ('x' || substr(md5(m.id), 1, 15))::bit(60)::bigint,
    pg_temp.to_time(m."createdAt"::text),
    case
        when upper(m.type) in ('TEXT', 'IMAGE', 'FILE', 'AUDIO', 'VIDEO') then lower(m.type)
    end,
    m.type,
    m.content
from messages_v2 as m;

-- Read by the other side.
insert into parley_import.receipts (message, person, delivered_at, read_at)
select m.id, p.person, r.at, r.at
from messages_v2 as m
inner join property_conversations as c on m."conversationId" = c.id
cross join lateral (
    select case when m."senderId" = c."agentId" then c."clientId" else c."agentId" end as person
) as p
cross join lateral (
    select
        coalesce(pg_temp.to_time(m."readAt"::text), pg_temp.to_time(m."createdAt"::text)) as at
) as r
where lower(m."isRead"::text) in ('1', 't', 'true');

drop function pg_temp.to_time(text);
