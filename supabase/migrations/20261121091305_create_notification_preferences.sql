-- Purpose: what a user wants to be told, and when not.
-- Objects: table chat.notification_preferences; functions that ask it.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'unknown_timezone', '22023',
        'There is no such time zone.',
        'Give a name such as Europe/Berlin.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.notification_preferences (
    user_id uuid primary key default auth.uid() references chat.profiles (id) on delete cascade,
    types_off chat.notification_type [] not null default '{}',
    push text not null default 'all',
    quiet_from time,
    quiet_until time,
    timezone text not null default 'UTC',
    updated_at timestamptz not null default chat_private.now(),
    constraint notification_preferences_types_off_check check (
        cardinality(types_off) <= 100 and array_position(types_off, null) is null
    ),
    constraint notification_preferences_push_check check (push in ('all', 'mentions', 'none')),
    constraint notification_preferences_quiet_check check (
        (quiet_from is null) = (quiet_until is null) and quiet_from <> quiet_until
    )
);
comment on table chat.notification_preferences is
    'What a user wants to be told, and when not. No row means the defaults. A conversation is '
    'muted in chat.participant_settings: nothing in it notifies.';
comment on column chat.notification_preferences.types_off is
    'Of these types nothing is written.';
comment on column chat.notification_preferences.push is
    'What goes to devices: all; mentions, which is messages to them (direct ones and replies too); '
    'or none.';
comment on column chat.notification_preferences.quiet_from is
    'From this time of day until quiet_until, in the user''s time zone and over midnight if that '
    'is earlier, nothing goes to devices; the feed goes on.';
alter table chat.notification_preferences enable row level security;
grant select, delete on chat.notification_preferences to authenticated;
grant insert (user_id, types_off, push, quiet_from, quiet_until, timezone),
update (types_off, push, quiet_from, quiet_until, timezone)
on chat.notification_preferences to authenticated;
grant select on chat.notification_preferences to service_role;

-- Functions ------------------------------------------------------------------------------------

-- Whether somebody wants to hear of this: has not turned its type off, nor muted the conversation.
create function chat_private.wants_notification(
    user_id uuid,
    type chat.notification_type,
    conversation_id uuid
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
    return not exists (
        select
        from chat.notification_preferences as f
        where
            f.user_id = wants_notification.user_id
            and wants_notification.type = any (f.types_off)
    )
    and not exists (
        select
        from chat.participant_settings as s
        where
            s.conversation_id = wants_notification.conversation_id
            and s.user_id = wants_notification.user_id
            and s.muted_until > chat_private.now()
    );
end;
$$;
revoke execute on function
chat_private.wants_notification(uuid, chat.notification_type, uuid)
from public, anon, authenticated;

-- Whether a user has quiet hours at a moment. They are stretches of real time, so each begins and
-- ends once, also when the clocks change: a time of day that happens twice is its second, one that
-- is skipped is as long after midnight as it would have been.
create function chat_private.is_quiet(preferences chat.notification_preferences, at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
    v_date date;
    -- Until a time that is earlier in the day means the next day's.
    v_days constant integer := (preferences.quiet_until <= preferences.quiet_from)::integer;
begin
    if preferences.quiet_from is null then
        return false;
    end if;
    v_date := (is_quiet.at at time zone preferences.timezone)::date;
    return exists (
        select
        from unnest(array[v_date - 1, v_date]) as n (night)
        where
            is_quiet.at >= (n.night + preferences.quiet_from) at time zone preferences.timezone
            and is_quiet.at
            < (n.night + v_days + preferences.quiet_until) at time zone preferences.timezone
    );
exception
    -- A time zone that this server does not know any more: one user's, and no reason to tell
    -- nobody.
    when invalid_parameter_value then
        return false;
end;
$$;
revoke execute on function chat_private.is_quiet(chat.notification_preferences, timestamptz)
from public, anon, authenticated;

-- Not a check constraint: the time zones are the server's, and may change under a row.
-- Security definer: whoever writes their preferences cannot name what is private.
create function chat_private.check_timezone()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    -- Their names are files of the server, which take 10 ms to read: not for the default.
    if new.timezone <> 'UTC' and not exists (
        select from pg_catalog.pg_timezone_names as z where z.name = new.timezone
    ) then
        perform chat_private.raise_error('unknown_timezone');
    end if;
    return new;
end;
$$;
revoke execute on function chat_private.check_timezone() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger notification_preferences_set_updated_at
before update on chat.notification_preferences
for each row execute function chat_private.set_updated_at();

create trigger notification_preferences_check_timezone
before insert or update of timezone on chat.notification_preferences
for each row execute function chat_private.check_timezone();

-- Policies -------------------------------------------------------------------------------------

create policy "users can read their notification preferences"
on chat.notification_preferences for select
to authenticated
using (user_id = (select auth.uid()));

create policy "users can make their notification preferences"
on chat.notification_preferences for insert
to authenticated
with check (user_id = (select auth.uid()));

create policy "users can change their notification preferences"
on chat.notification_preferences for update
to authenticated
using (user_id = (select auth.uid()))
with check (user_id = (select auth.uid()));

create policy "users can drop their notification preferences"
on chat.notification_preferences for delete
to authenticated
using (user_id = (select auth.uid()));
