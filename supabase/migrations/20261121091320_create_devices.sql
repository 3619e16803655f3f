-- Purpose: where a user is signed in, and where to push.
-- Objects: tables chat.devices, chat_private.push_tokens; functions chat.register_device,
--          chat.revoke_device.
-- Locks:   share row exclusive on auth.sessions, for as long as it takes to add a foreign key.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'token_and_provider_required', '22023',
        'A push token comes with its provider.',
        'Give both, or neither.'
    ),
    (
        'device_not_found', 'PT404',
        'You have no such device.',
        'See your rows in devices; its session may have ended.'
    ),
    (
        'session_ended', '42501',
        'This session has ended.',
        'Sign in again.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.devices (
    user_id uuid not null references chat.profiles (id) on delete cascade,
    id uuid not null,
    name text,
    session_id uuid,
    created_at timestamptz not null default chat_private.now(),
    last_seen_at timestamptz not null default chat_private.now(),
    -- An installation that several people use is a device of each: its id tells none of the others.
    primary key (user_id, id),
    -- Signed out, by whomever and however, it is gone, and its token with it.
    constraint devices_session_id_fkey foreign key (session_id)
    references auth.sessions (id) on delete cascade,
    constraint devices_name_check check (length(name) between 1 and 100)
);
comment on table chat.devices is
    'Where a user is signed in, for them alone. Made with chat.register_device; deleted, nothing '
    'is pushed there any more; chat.revoke_device also ends its session.';
comment on column chat.devices.session_id is
    'The session of the Auth server it registered in, with which it goes.';
alter table chat.devices enable row level security;
grant select, delete on chat.devices to authenticated;
grant update (name) on chat.devices to authenticated;
grant select on chat.devices to service_role;

-- Apart, so that no API shows it: who has a token can push to the device.
create table chat_private.push_tokens (
    user_id uuid not null,
    device_id uuid not null,
    provider text not null,
    token text not null,
    primary key (user_id, device_id),
    constraint push_tokens_token_key unique (token),
    constraint push_tokens_device_id_fkey foreign key (user_id, device_id)
    references chat.devices (user_id, id) on delete cascade,
    constraint push_tokens_provider_check check (provider in ('apns', 'fcm', 'webpush')),
    -- Of the web it is the browser's subscription, which says where to post.
    constraint push_tokens_token_check check (
        octet_length(token) between 1 and 2000
        and case
            when provider = 'webpush'
                then coalesce(token::jsonb ->> 'endpoint' ~ '^https://', false)
            else true
        end
    )
);
comment on table chat_private.push_tokens is
    'What a push service calls an installation; that of one user at a time.';
alter table chat_private.push_tokens enable row level security;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the foreign key, when somebody signs out.
create index devices_session_id_idx on chat.devices (session_id) where session_id is not null;

-- Functions ------------------------------------------------------------------------------------

-- Security definer: takes a token from whoever had it, and reads sessions. Writes the caller's own
-- device; checks that their session goes on, for a token of access outlives it.
create function chat_private.register_device(id uuid, provider text, token text, name text)
returns chat.devices
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_session_id constant uuid := nullif(auth.jwt() ->> 'session_id', '')::uuid;
    v_device chat.devices;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    if v_session_id is not null and not exists (
        select
        from auth.sessions as s
        where s.id = v_session_id and s.user_id = v_user_id
    ) then
        perform chat_private.raise_error('session_ended');
    end if;
    if (register_device.provider is null) <> (register_device.token is null) then
        perform chat_private.raise_error('token_and_provider_required');
    end if;
    -- One at a time for a user: two starts of the app at once count their devices alike.
    perform pg_advisory_xact_lock(hashtextextended('parley:devices:' || v_user_id, 0));
    insert into chat.devices as d (user_id, id, name, session_id)
    values (v_user_id, register_device.id, register_device.name, v_session_id)
    on conflict on constraint devices_pkey do update
    set name = coalesce(excluded.name, d.name),
        session_id = excluded.session_id,
        last_seen_at = excluded.last_seen_at
    returning d.* into v_device;
    delete from chat_private.push_tokens as t
    where
        t.user_id = v_user_id
        and t.device_id = v_device.id
        and t.token is distinct from register_device.token;
    if register_device.token is not null then
        insert into chat_private.push_tokens as t (user_id, device_id, provider, token)
        values (v_user_id, v_device.id, register_device.provider, register_device.token)
        on conflict on constraint push_tokens_token_key do update
        set user_id = excluded.user_id,
            device_id = excluded.device_id,
            provider = excluded.provider;
    end if;
    -- The longest unseen give way: a push goes to as many devices as people have, not as they had.
    delete from chat.devices as d
    where
        d.user_id = v_user_id
        and d.id in (
            select o.id
            from chat.devices as o
            where o.user_id = v_user_id
            order by o.last_seen_at desc, o.id = v_device.id desc, o.id
            offset 20
        );
    return v_device;
end;
$$;
revoke execute on function chat_private.register_device(uuid, text, text, text)
from public, anon;
grant execute on function chat_private.register_device(uuid, text, text, text) to authenticated;

create function chat.register_device(
    id uuid,
    provider text default null,
    token text default null,
    name text default null
)
returns chat.devices
language sql
set search_path = ''
begin atomic
select chat_private.register_device(id, provider, token, name);
end;
comment on function chat.register_device(uuid, text, text, text) is
    'Says that the caller uses this installation of the app, and where to push: a token of apns, '
    'fcm or webpush, or nowhere. Call it at each start, with the same id. A token that somebody '
    'else had is theirs no more; of more than 20 devices the longest unseen go.';
revoke execute on function chat.register_device(uuid, text, text, text) from public, anon;
grant execute on function chat.register_device(uuid, text, text, text) to authenticated;

-- Security definer: ends a session, which is the Auth server's. Checks that it is the caller's.
create function chat_private.revoke_device(id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_session_id uuid;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    select d.session_id into v_session_id
    from chat.devices as d
    where d.user_id = v_user_id and d.id = revoke_device.id;
    if not found then
        perform chat_private.raise_error('device_not_found');
    end if;
    delete from auth.sessions as s
    where s.id = v_session_id and s.user_id = v_user_id;
    -- One that was registered without a session.
    delete from chat.devices as d
    where d.user_id = v_user_id and d.id = revoke_device.id;
end;
$$;
revoke execute on function chat_private.revoke_device(uuid) from public, anon;
grant execute on function chat_private.revoke_device(uuid) to authenticated;

create function chat.revoke_device(id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.revoke_device(id);
end;
comment on function chat.revoke_device(uuid) is
    'Signs one of the caller''s devices out: nothing is pushed there any more, and its session '
    'cannot be refreshed. Its access token works until it expires.';
revoke execute on function chat.revoke_device(uuid) from public, anon;
grant execute on function chat.revoke_device(uuid) to authenticated;

-- Policies -------------------------------------------------------------------------------------

create policy "users can see their devices"
on chat.devices for select
to authenticated
using (user_id = (select auth.uid()));

create policy "users can name their devices"
on chat.devices for update
to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));

create policy "users can drop their devices"
on chat.devices for delete
to authenticated
using (user_id = (select auth.uid()));
