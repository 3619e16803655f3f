-- Document 004, on Supabase already.

create table stores (id uuid primary key, name text not null);
create table users (id uuid primary key, store_id uuid not null, user_tier text not null);
create table conversations (
    id uuid primary key,
    store_id uuid not null,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);
create table conversation_participants (
    conversation_id uuid,
    user_id uuid,
    joined_at timestamptz default now(),
    last_read_at timestamptz default now(),
    primary key (conversation_id, user_id)
);
create table direct_messages (
    id uuid primary key,
    conversation_id uuid,
    sender_id uuid,
    content text not null check (length(content) <= 1000),
    sent_at timestamptz default now(),
    is_deleted boolean default false,
    deleted_at timestamptz,
    retention_expires_at timestamptz
);

insert into stores (id, name)
values (md5('s0')::uuid, 'Old Books'), (md5('s1')::uuid, 'New Books, Ltd.');
insert into users (id, store_id, user_tier)
select
    md5('user' || g)::uuid,
    md5('s' || g % 2)::uuid,
    case g % 3 when 0 then 'free' when 1 then 'privileged' else 'privileged_plus' end
from generate_series(1, current_setting('legacy.people')::integer) as g;
insert into conversations (id, store_id, created_at)
select md5('c' || g)::uuid, md5('s' || g % 2)::uuid, '2026-10-31 10:00+00'
from generate_series(1, current_setting('legacy.people')::integer - 2) as g;
insert into conversation_participants (conversation_id, user_id, joined_at, last_read_at)
select
    md5('c' || g)::uuid,
    md5('user' || (g + 2 * o))::uuid,
    '2026-10-31 10:00+00',
    timestamptz '2026-11-01 08:00+00' + interval '5 minutes' * (1 + o)
from generate_series(1, current_setting('legacy.people')::integer - 2) as g
cross join generate_series(0, 1) as o;
insert into direct_messages (
    id, conversation_id, sender_id, content, sent_at, is_deleted, deleted_at
)
select
    md5('m' || g)::uuid,
    md5('c' || c)::uuid,
    md5('user' || (c + 2 * ((g / p.rooms) % 2)))::uuid,
    'message ' || g || ' in words ' || md5(g::text),
    at,
    g % 40 = 0,
    case when g % 80 = 0 then at + interval '1 hour' end
from generate_series(1, current_setting('legacy.messages')::integer) as g
cross join (select current_setting('legacy.people')::integer - 2 as rooms) as p
cross join lateral (
    select
        1 + g % p.rooms as c,
        timestamptz '2026-11-01 08:00+00' + g * interval '1 second' as at
) as o;

do $$
begin
    if not current_setting('legacy.dirt')::boolean then
        return;
    end if;
    delete from conversations where id = md5('c2')::uuid;
    delete from conversation_participants where conversation_id = md5('c3')::uuid;
    update direct_messages set content = ' ' where id = md5('m12')::uuid;
    update direct_messages set sent_at = null where id = md5('m13')::uuid;
    -- Of the free tier, and older than it may be.
    update direct_messages set sent_at = '2025-01-01' where id = md5('m14')::uuid;
    -- The same pair once more.
    insert into conversations (id, store_id, created_at)
    values (md5('again')::uuid, md5('s1')::uuid, '2026-11-02');
    insert into conversation_participants (conversation_id, user_id)
    values (md5('again')::uuid, md5('user1')::uuid), (md5('again')::uuid, md5('user3')::uuid);
    insert into direct_messages (id, conversation_id, sender_id, content, sent_at)
    values (md5('mm')::uuid, md5('again')::uuid, md5('user1')::uuid, 'again', '2026-11-01 08:00:30');
end;
$$;
