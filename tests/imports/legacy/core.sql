-- Document 000: schema core.

create schema core;
create table core.tenant (id text primary key, name text not null);
create table core.principal (
    id text primary key, tenant_id text not null, email text, display_name text
);
create table core.conversation (
    id text primary key,
    tenant_id text not null,
    type text not null,
    title text,
    created_by text,
    created_at timestamptz not null,
    deleted_at timestamptz
);
create table core.conversation_participant (
    conversation_id text not null,
    user_id text not null,
    role text not null default 'MEMBER',
    joined_at timestamptz not null,
    left_at timestamptz,
    last_read_at timestamptz
);
create table core.message (
    id text primary key,
    conversation_id text not null,
    sender_id text not null,
    client_id text,
    body text,
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz
);
create table core.message_delivery (
    message_id text not null,
    user_id text not null,
    delivered_at timestamptz,
    read_at timestamptz
);

-- Two tenants; people of odd numbers are in the first, of even ones in the second.
insert into core.tenant (id, name) values ('t1', 'Acme & Sons'), ('t0', 'Zeta');
insert into core.principal (id, tenant_id, email, display_name)
select 'p' || g, 't' || g % 2, 'person' || g || '@example.com', 'Person ' || g
from generate_series(1, current_setting('legacy.people')::integer) as g;
insert into core.conversation (id, tenant_id, type, title, created_by, created_at)
select
    'c' || g,
    't' || g % 2,
    case when g % 5 = 0 then 'GROUP' else 'DIRECT' end,
    case when g % 5 = 0 then 'Group ' || g end,
    'p' || g,
    '2026-10-31 10:00+00'
from generate_series(1, current_setting('legacy.people')::integer - 4) as g;
insert into core.conversation_participant (
    conversation_id, user_id, role, joined_at, last_read_at
)
select
    'c' || g,
    'p' || (g + 2 * o),
    case when o = 0 then 'OWNER' else 'MEMBER' end,
    '2026-10-31 10:00+00',
    case when o = 0 then timestamptz '2026-11-01 08:10+00' end
from generate_series(1, current_setting('legacy.people')::integer - 4) as g
cross join generate_series(0, case when g % 5 = 0 then 2 else 1 end) as o;
insert into core.message (
    id, conversation_id, sender_id, client_id, body, created_at, edited_at, deleted_at
)
select
    'm' || g,
    'c' || c,
    'p' || (c + 2 * ((g / p.rooms) % 2)),
    md5('client' || g),
    'message ' || g || ' in words ' || md5(g::text),
    at,
    case when g % 17 = 0 then at + interval '5 minutes' end,
    case when g % 70 = 0 then at + interval '6 minutes' end
from generate_series(1, current_setting('legacy.messages')::integer) as g
cross join (select current_setting('legacy.people')::integer - 4 as rooms) as p
cross join lateral (
    select
        1 + g % p.rooms as c,
        timestamptz '2026-11-01 08:00+00' + g * interval '1 second' as at
) as o;
insert into core.message_delivery (message_id, user_id, delivered_at, read_at)
select
    m.id,
    p.user_id,
    m.created_at + interval '10 seconds',
    case when substr(m.id, 2)::integer % 3 > 0 then m.created_at + interval '20 seconds' end
from core.message as m
inner join core.conversation_participant as p
    on m.conversation_id = p.conversation_id and m.sender_id <> p.user_id;

do $$
begin
    if not current_setting('legacy.dirt')::boolean then
        return;
    end if;
    delete from core.conversation where id = 'c2';
    delete from core.principal where id = 'p3';
    update core.message set body = '' where id = 'm12';
    update core.message set body = repeat('long ', 2001) where id = 'm13';
    update core.message set created_at = '-infinity' where id = 'm14';
    insert into core.message_delivery (message_id, user_id, delivered_at)
    values ('nowhere', 'p1', now());
end;
$$;
