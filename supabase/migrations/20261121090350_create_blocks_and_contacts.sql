-- Purpose: who blocked whom, who is whose contact, and who may write in a conversation.
-- Objects: enum chat.contact_state; tables chat.blocks, chat.contacts, chat_private.send_windows;
--          functions chat.request_contact, chat.accept_contact, chat.decline_contact,
--          chat.remove_contact; the policy to read profiles, which contacts widen.
-- Locks:   access exclusive on chat.profiles, for as long as it takes to change a policy.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'blocked', '42501',
        'One of you has blocked the other.',
        'If it was you, delete your row in blocks; otherwise respect it.'
    ),
    (
        'banned', '42501',
        'This user is banned from the tenant.',
        'Wait until the ban ends, or have a moderator lift it.'
    ),
    (
        'conversation_closed', '42501',
        'The conversation is closed: nobody writes in it.',
        'Have an owner or admin open it again.'
    ),
    (
        'silenced', '42501',
        'You may read here but not write for now.',
        'See silenced_until of your row in participants.'
    ),
    (
        'slow_mode', 'PT429',
        'Your last message here was sent too short a time ago.',
        'Wait slow_mode_seconds of the conversation after your last_sent_at.'
    ),
    (
        'rate_limited', 'PT429',
        'You have sent as many messages as the tenant allows in a minute.',
        'Try again within a minute.'
    ),
    (
        'contact_with_self', '22023',
        'A contact is another user.',
        'Give the id or username of somebody else.'
    ),
    (
        'contact_not_found', 'PT404',
        'There is no such contact or request for you.',
        'See your rows in contacts.'
    );

-- Types ----------------------------------------------------------------------------------------

create type chat.contact_state as enum ('pending', 'accepted');

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

create table chat.contacts (
    user_low_id uuid not null references chat.profiles (id) on delete cascade,
    user_high_id uuid not null references chat.profiles (id) on delete cascade,
    requested_by uuid not null,
    state chat.contact_state not null default 'pending',
    created_at timestamptz not null default chat_private.now(),
    accepted_at timestamptz,
    primary key (user_low_id, user_high_id),
    constraint contacts_pair_check check (user_low_id < user_high_id),
    constraint contacts_requested_by_check check (requested_by in (user_low_id, user_high_id)),
    constraint contacts_accepted_at_check check ((state = 'accepted') = (accepted_at is not null))
);
comment on table chat.contacts is
    'Who is whose contact: one row a pair. Written by functions, read by the two.';
comment on column chat.contacts.requested_by is
    'Which of the two asked; while the state is pending, the other one accepts or declines.';
alter table chat.contacts enable row level security;
grant select on chat.contacts to authenticated, service_role;

create table chat_private.send_windows (
    tenant_id uuid not null,
    user_id uuid not null,
    started_at timestamptz not null,
    sends integer not null,
    primary key (tenant_id, user_id),
    constraint send_windows_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id) on delete cascade
)
with (fillfactor = 50);
comment on table chat_private.send_windows is
    'How many messages a user has sent in their current minute: one row each, written only where '
    'the tenant sets sends_per_minute.';
alter table chat_private.send_windows enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: who blocked this user, in user_ids_blocked_with; the foreign key.
create index blocks_blocked_id_idx on chat.blocks (blocked_id, blocker_id);

-- Serves: the contacts of a user, in the policies; the foreign key.
create index contacts_user_high_id_idx on chat.contacts (user_high_id, user_low_id);

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

-- Security definer: nobody may read who blocked them. For policies, which do not tell the caller
-- which of the two it was. A set, so that a policy asks once a statement.
create function chat_private.user_ids_blocked_with()
returns setof uuid
language plpgsql
stable
parallel safe
security definer
rows 5
set search_path = ''
as $$
begin
    return query
    select k.blocked_id
    from chat.blocks as k
    where k.blocker_id = auth.uid()
    union
    select k.blocker_id
    from chat.blocks as k
    where k.blocked_id = auth.uid();
end;
$$;
revoke execute on function chat_private.user_ids_blocked_with() from public, anon;
grant execute on function chat_private.user_ids_blocked_with() to authenticated;

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

create function chat_private.is_tenant_shared_between(a uuid, b uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return exists (
        select
        from chat.tenant_members as m
        inner join chat.tenant_members as n on m.tenant_id = n.tenant_id
        where
            m.user_id = is_tenant_shared_between.a
            and n.user_id = is_tenant_shared_between.b
            and m.removed_at is null
            and n.removed_at is null
    );
end;
$$;
revoke execute on function chat_private.is_tenant_shared_between(uuid, uuid)
from public, anon, authenticated;

-- Tells the two of a contact, on the devices of each, about the other.
create function chat_private.broadcast_contact(event text, contact chat.contacts)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_payload constant jsonb := jsonb_build_object(
        'state', contact.state,
        'requested_by', contact.requested_by
    );
begin
    perform chat_private.broadcast(
        broadcast_contact.event,
        array['user:' || contact.user_low_id, 'user:' || contact.user_high_id],
        array[
            v_payload || jsonb_build_object('user_id', contact.user_high_id),
            v_payload || jsonb_build_object('user_id', contact.user_low_id)
        ]
    );
end;
$$;
revoke execute on function chat_private.broadcast_contact(text, chat.contacts)
from public, anon, authenticated;

-- Security definer: makes a row its caller may only read, and finds people the caller cannot
-- list. Checks that the two share a tenant and that neither has blocked the other.
create function chat_private.request_contact(user_id uuid, username text)
returns chat.contacts
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_other_id uuid;
    v_contact chat.contacts;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    if num_nonnulls(request_contact.user_id, request_contact.username) <> 1 then
        perform chat_private.raise_error('user_required');
    end if;
    select p.id into v_other_id
    from chat.profiles as p
    where
        (p.id = request_contact.user_id or lower(p.username) = lower(request_contact.username))
        and chat_private.is_tenant_shared_between(v_user_id, p.id);
    if v_other_id is null then
        perform chat_private.raise_error('user_not_found');
    end if;
    if v_other_id = v_user_id then
        perform chat_private.raise_error('contact_with_self');
    end if;
    perform chat_private.lock_pair(v_user_id, v_other_id);
    if chat_private.is_blocked_between(v_user_id, v_other_id) then
        perform chat_private.raise_error('blocked');
    end if;

    select k.* into v_contact
    from chat.contacts as k
    where
        k.user_low_id = least(v_user_id, v_other_id)
        and k.user_high_id = greatest(v_user_id, v_other_id);
    if not found then
        insert into chat.contacts as k (user_low_id, user_high_id, requested_by)
        values (least(v_user_id, v_other_id), greatest(v_user_id, v_other_id), v_user_id)
        returning k.* into v_contact;
        perform chat_private.broadcast_contact('contact_requested', v_contact);
    elsif v_contact.state = 'pending' and v_contact.requested_by = v_other_id then
        -- Both have asked: that is an agreement.
        return chat_private.accept_contact(v_other_id);
    end if;
    return v_contact;
end;
$$;
revoke execute on function chat_private.request_contact(uuid, text) from public, anon;
grant execute on function chat_private.request_contact(uuid, text) to authenticated;

create function chat.request_contact(user_id uuid default null, username text default null)
returns chat.contacts
language sql
set search_path = ''
begin atomic
select chat_private.request_contact(user_id, username);
end;
comment on function chat.request_contact(uuid, text) is
    'Asks somebody of one''s tenants to be a contact; accepts when they have asked already. Asking '
    'again changes nothing. Give user_id or username.';
revoke execute on function chat.request_contact(uuid, text) from public, anon;
grant execute on function chat.request_contact(uuid, text) to authenticated;

-- Security definer: changes a row its caller may only read. Checks that the request is the other
-- user's, to the caller. A block needs no look: it takes the row away.
create function chat_private.accept_contact(user_id uuid)
returns chat.contacts
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_contact chat.contacts;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    perform chat_private.lock_pair(v_user_id, accept_contact.user_id);
    select k.* into v_contact
    from chat.contacts as k
    where
        k.user_low_id = least(v_user_id, accept_contact.user_id)
        and k.user_high_id = greatest(v_user_id, accept_contact.user_id);
    if not found or (v_contact.state = 'pending' and v_contact.requested_by = v_user_id) then
        perform chat_private.raise_error('contact_not_found');
    end if;
    if v_contact.state = 'accepted' then
        return v_contact;
    end if;
    update chat.contacts as k
    set state = 'accepted',
        accepted_at = chat_private.now()
    where k.user_low_id = v_contact.user_low_id and k.user_high_id = v_contact.user_high_id
    returning k.* into v_contact;
    perform chat_private.broadcast_contact('contact_accepted', v_contact);
    return v_contact;
end;
$$;
revoke execute on function chat_private.accept_contact(uuid) from public, anon;
grant execute on function chat_private.accept_contact(uuid) to authenticated;

create function chat.accept_contact(user_id uuid)
returns chat.contacts
language sql
set search_path = ''
begin atomic
select chat_private.accept_contact(user_id);
end;
comment on function chat.accept_contact(uuid) is
    'Accepts the request of a user. Accepting again changes nothing.';
revoke execute on function chat.accept_contact(uuid) from public, anon;
grant execute on function chat.accept_contact(uuid) to authenticated;

-- Takes the contact of two users away and tells them. Returns whether there was one.
create function chat_private.drop_contact(a uuid, b uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
    v_contact chat.contacts;
begin
    delete from chat.contacts as k
    where
        k.user_low_id = least(drop_contact.a, drop_contact.b)
        and k.user_high_id = greatest(drop_contact.a, drop_contact.b)
    returning k.* into v_contact;
    if not found then
        return false;
    end if;
    perform chat_private.broadcast_contact('contact_removed', v_contact);
    return true;
end;
$$;
revoke execute on function chat_private.drop_contact(uuid, uuid) from public, anon, authenticated;

-- Security definer: removes a row its caller may only read. Checks that it is a request to the
-- caller that waits for an answer.
create function chat_private.decline_contact(user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    perform chat_private.lock_pair(v_user_id, decline_contact.user_id);
    perform
    from chat.contacts as k
    where
        k.user_low_id = least(v_user_id, decline_contact.user_id)
        and k.user_high_id = greatest(v_user_id, decline_contact.user_id)
        and k.state = 'pending'
        and k.requested_by <> v_user_id;
    if not found then
        perform chat_private.raise_error('contact_not_found');
    end if;
    perform chat_private.drop_contact(v_user_id, decline_contact.user_id);
end;
$$;
revoke execute on function chat_private.decline_contact(uuid) from public, anon;
grant execute on function chat_private.decline_contact(uuid) to authenticated;

create function chat.decline_contact(user_id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.decline_contact(user_id);
end;
comment on function chat.decline_contact(uuid) is 'Turns the request of a user down.';
revoke execute on function chat.decline_contact(uuid) from public, anon;
grant execute on function chat.decline_contact(uuid) to authenticated;

-- Security definer: removes a row its caller may only read. Checks that the caller is one of the
-- two.
create function chat_private.remove_contact(user_id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    perform chat_private.lock_pair(v_user_id, remove_contact.user_id);
    if not chat_private.drop_contact(v_user_id, remove_contact.user_id) then
        perform chat_private.raise_error('contact_not_found');
    end if;
end;
$$;
revoke execute on function chat_private.remove_contact(uuid) from public, anon;
grant execute on function chat_private.remove_contact(uuid) to authenticated;

create function chat.remove_contact(user_id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.remove_contact(user_id);
end;
comment on function chat.remove_contact(uuid) is
    'Ends being contacts with a user, or takes a request to or from them back.';
revoke execute on function chat.remove_contact(uuid) from public, anon;
grant execute on function chat.remove_contact(uuid) to authenticated;

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
    perform chat_private.drop_contact(new.blocker_id, new.blocked_id);
    update chat.conversations as c
    set epoch = c.epoch + 1
    where c.id = any (
        array(
            select d.id
            from chat_private.lock_direct_conversations(new.blocker_id, new.blocked_id) as d
        )
    );
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

-- Contacts need a tenant in common: whoever leaves the last one they share is no contact more.
-- Security definer: whoever removes a member may write no contacts.
create function chat_private.drop_tenant_contacts()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.drop_contact(k.user_low_id, k.user_high_id)
    from chat.contacts as k
    where
        (k.user_low_id = old.user_id or k.user_high_id = old.user_id)
        and not chat_private.is_tenant_shared_between(k.user_low_id, k.user_high_id);
    return null;
end;
$$;
revoke execute on function chat_private.drop_tenant_contacts() from public, anon, authenticated;

-- Whether a participant may change what the others of a conversation see: send, edit, react, vote,
-- pin. Asked under the conversation's lock, and looks again at the participant: what a moderator
-- committed meanwhile counts. Raises conversation_not_found, banned, conversation_closed, blocked,
-- silenced; returns the participant as they are now.
create function chat_private.check_may_write(
    conversation chat.conversations,
    participant chat.participants
)
returns chat.participants
language plpgsql
set search_path = ''
as $$
declare
    v_participant chat.participants;
begin
    if exists (
        select
        from chat.bans as b
        where
            b.tenant_id = conversation.tenant_id
            and b.user_id = participant.user_id
            and b.lifted_at is null
            and (b.expires_at is null or b.expires_at > chat_private.now())
    ) then
        perform chat_private.raise_error('banned');
    end if;
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = conversation.id
        and p.user_id = participant.user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;
    if conversation.status = 'closed' then
        perform chat_private.raise_error('conversation_closed');
    end if;
    if conversation.kind = 'direct'
        and chat_private.is_blocked_between(conversation.user_low_id, conversation.user_high_id)
    then
        perform chat_private.raise_error('blocked');
    end if;
    if v_participant.silenced_until > chat_private.now() then
        perform chat_private.raise_error('silenced');
    end if;
    return v_participant;
end;
$$;
revoke execute on function
chat_private.check_may_write(chat.conversations, chat.participants)
from public, anon, authenticated;

-- Whether a participant may send a message now: as above, and not too soon after the last one. Of
-- owners and admins slow mode asks nothing. Counts the send against the tenant's limit, if it has
-- one; so it is not asked for a retry. Raises slow_mode, rate_limited too.
create function chat_private.check_may_send(
    conversation chat.conversations,
    participant chat.participants
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.check_may_write(conversation, participant);
    v_now constant timestamptz := chat_private.now();
    v_limit constant integer :=
        (chat_private.settings_for(conversation.tenant_id)).sends_per_minute;
    v_sends integer;
begin
    if conversation.slow_mode_seconds > 0
        and v_participant.role = 'member'
        and v_participant.last_sent_at + make_interval(secs => conversation.slow_mode_seconds)
        > v_now
    then
        perform chat_private.raise_error('slow_mode');
    end if;
    if v_limit is null then
        return;
    end if;
    insert into chat_private.send_windows as w (tenant_id, user_id, started_at, sends)
    values (v_participant.tenant_id, v_participant.user_id, v_now, 1)
    on conflict on constraint send_windows_pkey do update
    set started_at = case
            when w.started_at <= v_now - interval '1 minute' then v_now
            else w.started_at
        end,
        sends = case
            when w.started_at <= v_now - interval '1 minute' then 1
            else w.sends + 1
        end
    returning w.sends into v_sends;
    if v_sends > v_limit then
        -- Takes the count back too, with the whole call.
        perform chat_private.raise_error('rate_limited');
    end if;
end;
$$;
revoke execute on function
chat_private.check_may_send(chat.conversations, chat.participants)
from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger blocks_apply_block
after insert on chat.blocks
for each row execute function chat_private.apply_block();

create trigger blocks_lift_block
after delete on chat.blocks
for each row execute function chat_private.lift_block();

create trigger tenant_members_drop_tenant_contacts
after update of removed_at on chat.tenant_members
for each row
when (old.removed_at is null and new.removed_at is not null)
execute function chat_private.drop_tenant_contacts();

create trigger tenant_members_drop_tenant_contacts_of_deleted
after delete on chat.tenant_members
for each row
when (old.removed_at is null)
execute function chat_private.drop_tenant_contacts();

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

create policy "users can read their contacts and requests"
on chat.contacts for select
to authenticated
using (user_low_id = (select auth.uid()) or user_high_id = (select auth.uid()));

-- Whoever is asked to be a contact sees who asks. The policies on chat.participants and
-- chat.contacts narrow the inner queries to the caller's own.
alter policy "users can read their own profile and those they talk to"
on chat.profiles
using (
    id = (select auth.uid())
    or exists (select from chat.participants as p where p.user_id = profiles.id)
    or id in (select k.user_low_id from chat.contacts as k)
    or id in (select k.user_high_id from chat.contacts as k)
);
