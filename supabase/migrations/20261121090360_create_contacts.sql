-- Purpose: people who know each other, and requests to.
-- Objects: enum chat.contact_state; table chat.contacts; functions chat.request_contact,
--          chat.accept_contact, chat.decline_contact, chat.remove_contact.
-- Locks:   share row exclusive on chat.tenant_members, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
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

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the contacts of a user, in the policies; the foreign key.
create index contacts_user_high_id_idx on chat.contacts (user_high_id, user_low_id);

-- Functions ------------------------------------------------------------------------------------

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

-- Triggers -------------------------------------------------------------------------------------

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
