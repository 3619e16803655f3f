-- Purpose: one public profile for each user of the project.
-- Objects: enum chat.profile_status; table chat.profiles; function chat.set_status; trigger on
--          auth.users.
-- Locks:   share row exclusive on auth.users, for as long as it takes to add a trigger.
-- Breaking: no. Users that exist already get a profile.

set lock_timeout = '5s';

-- Types ----------------------------------------------------------------------------------------

create type chat.profile_status as enum ('online', 'offline', 'away');

-- Tables ---------------------------------------------------------------------------------------

create table chat.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    username text not null,
    display_name text,
    avatar_url text,
    status chat.profile_status not null default 'offline',
    last_seen_at timestamptz,
    created_at timestamptz not null default chat_private.now(),
    updated_at timestamptz not null default chat_private.now(),
    constraint profiles_username_check check (username ~ '^[A-Za-z0-9_]{3,50}$'),
    constraint profiles_display_name_check check (length(display_name) between 1 and 100),
    constraint profiles_avatar_url_check check (
        length(avatar_url) <= 2000 and avatar_url ~ '^https?://'
    )
);
comment on table chat.profiles is 'How a user appears to others. Made and removed with the user.';
comment on column chat.profiles.username is
    'Letters, digits and underscores, 3 to 50; unique whatever the case.';
comment on column chat.profiles.last_seen_at is
    'Set by set_status, at most once a minute while the status stays the same.';
alter table chat.profiles enable row level security;
grant select on chat.profiles to authenticated;
grant update (username, display_name, avatar_url) on chat.profiles to authenticated;
grant select, update (username, display_name, avatar_url) on chat.profiles to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the rule that a username is taken once, and finding a user by it.
create unique index profiles_username_key on chat.profiles (lower(username));

-- Functions ------------------------------------------------------------------------------------

-- Security definer: runs in the session of the Auth server, which has no rights on chat.
-- A username asked for at sign-up (`data.username`) is taken when it is valid and free. Otherwise
-- the user gets a neutral one: a sign-up must not fail, nor tell who exists, because of a name.
create function chat_private.create_profile()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_wanted text := new.raw_user_meta_data ->> 'username';
    v_display_name text := left(nullif(new.raw_user_meta_data ->> 'display_name', ''), 100);
begin
    if v_wanted ~ '^[A-Za-z0-9_]{3,50}$' then
        insert into chat.profiles as p (id, username, display_name)
        values (new.id, v_wanted, v_display_name)
        on conflict do nothing;
        if found then
            return null;
        end if;
    end if;
    insert into chat.profiles as p (id, username, display_name)
    values (new.id, 'user_' || replace(new.id::text, '-', ''), v_display_name)
    on conflict (id) do nothing;
    return null;
end;
$$;
revoke execute on function chat_private.create_profile() from public, anon, authenticated;

-- Security definer: last_seen_at is not the user's to choose. Touches the caller's own row alone,
-- and not more than once a minute for the same status, however often a client reports it.
create function chat_private.set_status(status chat.profile_status)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
    if auth.uid() is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    update chat.profiles as p
    set status = set_status.status,
        last_seen_at = chat_private.now()
    where
        p.id = auth.uid()
        and (
            p.status <> set_status.status
            or p.last_seen_at is null
            or p.last_seen_at < chat_private.now() - interval '1 minute'
        );
end;
$$;
revoke execute on function chat_private.set_status(chat.profile_status) from public, anon;
grant execute on function chat_private.set_status(chat.profile_status) to authenticated;

create function chat.set_status(status chat.profile_status)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.set_status(status);
end;
comment on function chat.set_status(chat.profile_status) is
    'Says whether the caller is online, away or offline, and that they were seen just now.';
revoke execute on function chat.set_status(chat.profile_status) from public, anon;
grant execute on function chat.set_status(chat.profile_status) to authenticated;

-- Triggers -------------------------------------------------------------------------------------

-- Named to fire first of ours: membership of tenants (parley_200_...) needs the profile.
create trigger parley_100_create_profile
after insert on auth.users
for each row execute function chat_private.create_profile();

create trigger profiles_set_updated_at
before update on chat.profiles
for each row execute function chat_private.set_updated_at();

insert into chat.profiles (id, username)
select
    u.id,
    'user_' || replace(u.id::text, '-', '')
from auth.users as u;

-- Policies on chat.profiles come with chat.participants, which they depend on.
