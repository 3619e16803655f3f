-- Purpose: who blocked whom, which bites at once.
-- Objects: table chat.blocks.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.blocks (
    blocker_id uuid not null default auth.uid() references chat.profiles (id) on delete cascade,
    blocked_id uuid not null references chat.profiles (id) on delete cascade,
    created_at timestamptz not null default chat_private.now(),
    primary key (blocker_id, blocked_id),
    constraint blocks_self_check check (blocker_id <> blocked_id)
);
comment on table chat.blocks is
    'Who blocked whom, whatever the tenant. Clients insert and delete their own rows; nobody sees '
    'who blocked them.';
alter table chat.blocks enable row level security;
grant select, delete on chat.blocks to authenticated;
grant insert (blocker_id, blocked_id) on chat.blocks to authenticated;
grant select on chat.blocks to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: who blocked this user, of two; the foreign key.
create index blocks_blocked_id_idx on chat.blocks (blocked_id, blocker_id);

-- Functions ------------------------------------------------------------------------------------

-- Whether either of two users has blocked the other.
create function chat_private.is_blocked_between(a uuid, b uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return exists (
        select
        from chat.blocks as k
        where
            (k.blocker_id = is_blocked_between.a and k.blocked_id = is_blocked_between.b)
            or (k.blocker_id = is_blocked_between.b and k.blocked_id = is_blocked_between.a)
    );
end;
$$;
revoke execute on function chat_private.is_blocked_between(uuid, uuid)
from public, anon, authenticated;

-- One at a time for what is between two users: a request that does not see a block, and a block
-- that does not see the request, must not both go through.
create function chat_private.lock_pair(a uuid, b uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform pg_advisory_xact_lock(
        hashtextextended('parley:' || least(a, b)::text || greatest(a, b)::text, 0)
    );
end;
$$;
revoke execute on function chat_private.lock_pair(uuid, uuid) from public, anon, authenticated;

-- The direct conversations of two users, one a tenant at most, locked in one order.
create function chat_private.lock_direct_conversations(a uuid, b uuid)
returns setof chat.conversations
language plpgsql
set search_path = ''
as $$
begin
    return query
    select c.*
    from chat.conversations as c
    where
        c.kind = 'direct'
        and c.id in (
            select p.conversation_id
            from chat.participants as p
            inner join chat.participants as q on p.conversation_id = q.conversation_id
            where
                p.user_id = lock_direct_conversations.a
                and q.user_id = lock_direct_conversations.b
        )
    order by c.id
    for no key update of c;
end;
$$;
revoke execute on function chat_private.lock_direct_conversations(uuid, uuid)
from public, anon, authenticated;

-- A block ends being contacts, and moves the direct conversations of the two to topics that
-- neither can join while it lasts: an open socket hears nothing more. It takes no rev, for whoever
-- is blocked is not told.
-- Security definer: a client that blocks may write none of this.
create function chat_private.apply_block()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.lock_pair(new.blocker_id, new.blocked_id);
    update chat.conversations as c
    set epoch = c.epoch + 1
    where c.id = any (
        array(
            select d.id
            from chat_private.lock_direct_conversations(new.blocker_id, new.blocked_id) as d
        )
    );
    perform chat_private.drop_contact(new.blocker_id, new.blocked_id);
    perform chat_private.broadcast(
        'user_blocked',
        array['user:' || new.blocker_id],
        array[jsonb_build_object('user_id', new.blocked_id)]
    );
    return null;
end;
$$;
revoke execute on function chat_private.apply_block() from public, anon, authenticated;

-- When the last block between two is gone, both are told where their conversation goes on.
-- Security definer: as above.
create function chat_private.lift_block()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
begin
    perform chat_private.broadcast(
        'user_unblocked',
        array['user:' || old.blocker_id],
        array[jsonb_build_object('user_id', old.blocked_id)]
    );
    if chat_private.is_blocked_between(old.blocker_id, old.blocked_id) then
        return null;
    end if;
    for v_conversation in
        select d.*
        from chat_private.lock_direct_conversations(old.blocker_id, old.blocked_id) as d
    loop
        perform chat_private.broadcast_change(
            chat_private.next_rev(v_conversation.id),
            'conversation_updated',
            jsonb_build_object('status', v_conversation.status)
        );
    end loop;
    return null;
end;
$$;
revoke execute on function chat_private.lift_block() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger blocks_apply_block
after insert on chat.blocks
for each row
when (chat_private.is_live())
execute function chat_private.apply_block();

create trigger blocks_lift_block
after delete on chat.blocks
for each row
when (chat_private.is_live())
execute function chat_private.lift_block();

-- Policies -------------------------------------------------------------------------------------

create policy "users can see whom they blocked"
on chat.blocks for select
to authenticated
using (blocker_id = (select auth.uid()));

create policy "users can block others"
on chat.blocks for insert
to authenticated
with check (blocker_id = (select auth.uid()));

create policy "users can unblock those they blocked"
on chat.blocks for delete
to authenticated
using (blocker_id = (select auth.uid()));
