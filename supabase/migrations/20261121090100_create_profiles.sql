-- Purpose: one public profile for each user of the project.
-- Objects: table chat.profiles; trigger on auth.users.
-- Locks:   share row exclusive on auth.users, for as long as it takes to add a trigger.
-- Breaking: no. Users that exist already get a profile.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.profiles (
    id uuid primary key references auth.users (id) on delete cascade,
    username text not null,
    display_name text,
    avatar_url text,
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
