-- BookConnect's messaging schema as its document designs it: the second baseline. Repaired only
-- where it cannot run: the two tables that it takes as given are made, and its policy on
-- participants, which reads its own table (SQLSTATE 42P17), asks a security definer instead.

create schema bookconnect;
set search_path = bookconnect;

create table stores (id uuid primary key);
create table users (id uuid primary key, user_tier text);

create table conversations (
    id uuid primary key default gen_random_uuid(),
    store_id uuid not null references stores (id) on delete cascade,
    created_at timestamptz default now(),
    updated_at timestamptz default now()
);

create table conversation_participants (
    conversation_id uuid references conversations (id) on delete cascade,
    user_id uuid references auth.users (id) on delete cascade,
    joined_at timestamptz default now(),
    last_read_at timestamptz default now(),
    primary key (conversation_id, user_id)
);

create table direct_messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid references conversations (id) on delete cascade,
    sender_id uuid references auth.users (id) on delete cascade,
    content text not null check (length(content) <= 1000),
    sent_at timestamptz default now(),
    is_deleted boolean default false,
    deleted_at timestamptz,
    retention_expires_at timestamptz
);

insert into stores select id from chat.tenants;
insert into users select distinct on (user_id) user_id, tier from chat.tenant_members;
insert into conversations
select id, tenant_id, created_at, last_activity_at from chat.conversations;
set session_replication_role = replica;
insert into conversation_participants
select p.conversation_id, p.user_id, p.joined_at, coalesce(m.created_at, p.joined_at)
from chat.participants as p
left join chat.messages as m on m.conversation_id = p.conversation_id and m.seq = p.last_read_seq;
insert into direct_messages
select id, conversation_id, sender_id, body, created_at, false, null, expires_at
from chat.messages where body is not null;
set session_replication_role = origin;

create index on conversations (store_id);
create index on conversations (updated_at desc);
create index on conversation_participants (user_id);
create index on conversation_participants (conversation_id);
create index on direct_messages (conversation_id, sent_at desc);
create index on direct_messages (sender_id);
create index on direct_messages (retention_expires_at) where retention_expires_at is not null;
create index on direct_messages (conversation_id, sent_at desc) where is_deleted = false;

alter table conversations enable row level security;
alter table conversation_participants enable row level security;
alter table direct_messages enable row level security;

create function takes_part(conversation uuid) returns boolean
language sql stable security definer set search_path = bookconnect
return exists (
    select from conversation_participants
    where conversation_id = conversation and user_id = auth.uid()
);

create policy "Users see their conversations" on conversations
for select using (
    exists (
        select 1 from conversation_participants
        where conversation_id = conversations.id and user_id = auth.uid()
    )
);
create policy "Users can create conversations" on conversations for insert with check (true);
create policy "Users can update conversation timestamps" on conversations
for update using (
    exists (
        select 1 from conversation_participants
        where conversation_id = conversations.id and user_id = auth.uid()
    )
);
create policy "Users see their participants" on conversation_participants
for select using (takes_part(conversation_id));
create policy "Users can join conversations" on conversation_participants
for insert with check (user_id = auth.uid());
create policy "Users can update their participation" on conversation_participants
for update using (user_id = auth.uid());
create policy "Users see their messages" on direct_messages
for select using (
    exists (
        select 1 from conversation_participants
        where conversation_id = direct_messages.conversation_id and user_id = auth.uid()
    )
);
create policy "Users can send messages" on direct_messages
for insert with check (
    sender_id = auth.uid()
    and exists (
        select 1 from conversation_participants
        where conversation_id = direct_messages.conversation_id and user_id = auth.uid()
    )
);

create function set_message_retention() returns trigger language plpgsql as $$
begin
    select case
        when user_tier = 'privileged_plus' then new.sent_at + interval '365 days'
        when user_tier = 'privileged' then new.sent_at + interval '180 days'
        else new.sent_at + interval '30 days'
    end into new.retention_expires_at
    from users
    where id = new.sender_id;
    return new;
end;
$$;
create trigger set_message_retention_trigger before insert on direct_messages
for each row execute function set_message_retention();

grant usage on schema bookconnect to authenticated;
grant select, insert, update on all tables in schema bookconnect to authenticated;

analyze stores, users, conversations, conversation_participants, direct_messages;
reset search_path;
