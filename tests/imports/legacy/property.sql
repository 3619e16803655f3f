-- Document 002: text ids, one conversation a property.

create table users (id text primary key, email text, name text);
create table property_conversations (
    "id" text not null primary key,
    "propertyId" text not null unique,
    "timelineId" text not null,
    "agentId" text not null,
    "clientId" text not null,
    "status" text not null default 'ACTIVE',
    "unreadAgentCount" integer not null default 0,
    "unreadClientCount" integer not null default 0,
    "lastMessageAt" timestamp,
    "createdAt" timestamp not null default current_timestamp,
    "updatedAt" timestamp not null
);
create table messages_v2 (
    "id" text not null primary key,
    "conversationId" text not null,
    "senderId" text not null,
    "senderType" text not null,
    "content" text not null,
    "type" text not null default 'TEXT',
    "isRead" boolean not null default false,
    "readAt" timestamp,
    "createdAt" timestamp not null default current_timestamp,
    "updatedAt" timestamp not null
);
create table notifications_v2 (
    "id" text not null primary key,
    "conversationId" text not null,
    "recipientId" text not null,
    "type" text not null,
    "title" text not null,
    "message" text not null,
    "isRead" boolean not null default false,
    "readAt" timestamp,
    "createdAt" timestamp not null default current_timestamp
);

insert into users (id, email, name)
select 'cl' || g, 'person' || g || '@example.com', 'Person ' || g
from generate_series(1, current_setting('legacy.people')::integer) as g;
insert into property_conversations (
    "id", "propertyId", "timelineId", "agentId", "clientId", "status", "createdAt", "updatedAt"
)
select
    'cv' || g,
    'property-' || g,
    'timeline-' || g,
    'cl' || (1 + g % 2),
    'cl' || (2 + g),
    case when g % 6 = 0 then 'CLOSED' else 'ACTIVE' end,
    '2026-10-31 10:00',
    '2026-10-31 10:00'
from generate_series(1, current_setting('legacy.people')::integer - 2) as g;
insert into messages_v2 (
    "id", "conversationId", "senderId", "senderType", "content", "type", "isRead", "readAt",
    "createdAt", "updatedAt"
)
select
    'ms' || g,
    c.id,
    case when g % 3 = 0 then c."clientId" else c."agentId" end,
    case when g % 3 = 0 then 'CLIENT' else 'AGENT' end,
    'message ' || g || ' in words ' || md5(g::text),
    'TEXT',
    g % 5 <> 0,
    case when g % 5 <> 0 then at + interval '1 minute' end,
    at,
    at
from generate_series(1, current_setting('legacy.messages')::integer) as g
cross join lateral (
    select timestamp '2026-11-01 08:00' + g * interval '1 second' as at
) as o
inner join property_conversations as c
    on c.id = 'cv' || (1 + g % (current_setting('legacy.people')::integer - 2));
insert into notifications_v2 ("id", "conversationId", "recipientId", "type", "title", "message")
select 'n' || g, 'cv1', 'cl1', 'MESSAGE', 'New message', '...'
from generate_series(1, 10) as g;

do $$
begin
    if not current_setting('legacy.dirt')::boolean then
        return;
    end if;
    delete from property_conversations where id = 'cv2';
    delete from users where id = 'cl5';
    update messages_v2 set content = '' where id = 'ms12';
    update messages_v2 set content = repeat('long ', 2001) where id = 'ms13';
    update messages_v2 set type = 'VIEWING_REQUEST' where id = 'ms14';
    update messages_v2 set "senderId" = 'cl6' where id = 'ms15';
end;
$$;
