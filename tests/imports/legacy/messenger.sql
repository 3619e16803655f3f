-- Document 001: ten tables. Its user table has no address; an account without one cannot be found
-- here by it, so there is a column for it, as sign-in by mail needs anyhow.

create table users (
    id uuid primary key,
    username varchar(50) not null,
    email varchar(255),
    password_hash varchar(255),
    display_name varchar(100),
    status varchar(20) default 'offline',
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create table contacts (
    id uuid primary key,
    user_id uuid not null,
    contact_id uuid not null,
    status varchar(20) not null,
    created_at timestamptz not null
);
create table chats (
    id uuid primary key,
    type varchar(20) not null,
    name varchar(100),
    created_by uuid,
    created_at timestamptz not null,
    updated_at timestamptz,
    deleted_at timestamptz
);
create table chat_participants (
    chat_id uuid not null,
    user_id uuid not null,
    role varchar(20) not null default 'member',
    joined_at timestamptz not null,
    left_at timestamptz
);
create table messages (
    id uuid primary key,
    chat_id uuid not null,
    sender_id uuid,
    content text,
    content_type varchar(20) not null default 'text',
    metadata jsonb,
    reply_to_id uuid,
    created_at timestamptz not null,
    edited_at timestamptz,
    deleted_at timestamptz
);
create table attachments (
    id uuid primary key,
    message_id uuid not null,
    file_name varchar(255),
    file_url text not null,
    mime_type varchar(100),
    file_size bigint
);
create table message_reactions (
    message_id uuid not null,
    user_id uuid not null,
    emoji varchar(20) not null,
    created_at timestamptz not null
);
create table message_delivery (
    message_id uuid not null,
    user_id uuid not null,
    status varchar(20) not null,
    delivered_at timestamptz,
    read_at timestamptz
);
create table unread_messages (user_id uuid not null, chat_id uuid not null, count integer);
create table user_sessions (id uuid primary key, user_id uuid not null, token varchar(255));

insert into users (id, username, email, display_name)
select md5('m' || g)::uuid, 'person' || g, 'person' || g || '@example.com', 'Person ' || g
from generate_series(1, current_setting('legacy.people')::integer) as g;
insert into contacts (id, user_id, contact_id, status, created_at)
select
    md5('contact' || g)::uuid,
    md5('m' || g)::uuid,
    md5('m' || (g + 1))::uuid,
    case g % 5 when 0 then 'pending' when 1 then 'blocked' else 'accepted' end,
    '2026-10-30 10:00+00'
from generate_series(1, current_setting('legacy.people')::integer - 1) as g;

-- Chat g is of g and the next one; every fourth is a group of four.
insert into chats (id, type, name, created_by, created_at)
select
    md5('c' || g)::uuid,
    case when g % 4 = 0 then 'group' else 'direct' end,
    case when g % 4 = 0 then 'Group ' || g end,
    md5('m' || g)::uuid,
    '2026-10-31 10:00+00'
from generate_series(1, current_setting('legacy.people')::integer - 3) as g;
insert into chat_participants (chat_id, user_id, role, joined_at, left_at)
select
    md5('c' || g)::uuid,
    md5('m' || (g + o))::uuid,
    case when o = 0 and g % 4 = 0 then 'admin' else 'member' end,
    '2026-10-31 10:00+00',
    case when g % 8 = 0 and o = 3 then timestamptz '2026-11-15 10:00+00' end
from generate_series(1, current_setting('legacy.people')::integer - 3) as g
cross join generate_series(0, case when g % 4 = 0 then 3 else 1 end) as o;

insert into messages (
    id, chat_id, sender_id, content, content_type, metadata, reply_to_id, created_at, edited_at,
    deleted_at
)
select
    md5('msg' || g)::uuid,
    md5('c' || c)::uuid,
    md5('m' || (c + g % 2))::uuid,
    case when g % 50 = 0 then '' else 'message ' || g || ' in words ' || md5(g::text) end,
    case when g % 50 = 0 then 'image' else 'text' end,
    jsonb_build_object('client', 'web', 'number', g),
    case when g % 9 = 0 and g > p.chats then md5('msg' || (g - p.chats))::uuid end,
    at,
    case when g % 17 = 0 then at + interval '5 minutes' end,
    case when g % 70 = 0 then at + interval '6 minutes' end
from generate_series(1, current_setting('legacy.messages')::integer) as g
cross join (select current_setting('legacy.people')::integer - 3 as chats) as p
cross join lateral (
    select
        1 + g % p.chats as c,
        timestamptz '2026-11-01 08:00+00' + g * interval '1 second' as at
) as o;
insert into attachments (id, message_id, file_name, file_url, mime_type, file_size)
select
    md5('file' || g)::uuid,
    md5('msg' || g)::uuid,
    'image ' || g || '.png',
    'images/' || g || '.png',
    'image/png',
    67
from generate_series(50, current_setting('legacy.messages')::integer, 50) as g;
insert into message_reactions (message_id, user_id, emoji, created_at)
select
    md5('msg' || g)::uuid,
    md5('m' || (c + 1))::uuid,
    '👍',
    '2026-11-20 10:00+00'
from generate_series(1, current_setting('legacy.messages')::integer, 7) as g
cross join lateral (
    select 1 + g % (current_setting('legacy.people')::integer - 3) as c
) as o;
insert into message_delivery (message_id, user_id, status, delivered_at, read_at)
select
    m.id,
    p.user_id,
    case n.number % 3 when 0 then 'sent' when 1 then 'delivered' else 'read' end,
    case when n.number % 3 > 0 then m.created_at + interval '10 seconds' end,
    case when n.number % 3 = 2 then m.created_at + interval '20 seconds' end
from messages as m
inner join chat_participants as p on m.chat_id = p.chat_id and m.sender_id <> p.user_id
cross join lateral (select extract(epoch from m.created_at)::bigint as number) as n;

do $$
begin
    if not current_setting('legacy.dirt')::boolean then
        return;
    end if;
    -- Rows whose parents are gone, as without foreign keys.
    delete from chats where id = md5('c2')::uuid;
    delete from messages where id = md5('msg11')::uuid;
    delete from messages where id = md5('msg50')::uuid;
    update messages set content_type = 'sticker', content = ':wave:' where id = md5('msg12')::uuid;
    update messages set content = '' where id = md5('msg13')::uuid;
    update messages set content = repeat('x', 10001) where id = md5('msg14')::uuid;
    update messages set metadata = jsonb_build_object('blob', repeat('x', 20000))
    where id = md5('msg15')::uuid;
    update messages set metadata = '{"mention_all": true}' where id = md5('msg16')::uuid;
    update messages set metadata = '[1]' where id = md5('msg17')::uuid;
    -- The same two people once more.
    insert into chats (id, type, created_by, created_at)
    values (md5('again')::uuid, 'direct', md5('m1')::uuid, '2026-11-02 10:00+00');
    insert into chat_participants (chat_id, user_id, joined_at)
    values (md5('again')::uuid, md5('m1')::uuid, now()), (md5('again')::uuid, md5('m2')::uuid, now());
    insert into messages (id, chat_id, sender_id, content, created_at)
    values (md5('msgagain')::uuid, md5('again')::uuid, md5('m1')::uuid, 'again', '2026-11-01 09:00+00');
end;
$$;
