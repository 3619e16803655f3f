-- Purpose: what is meant for one user.
-- Objects: enum chat.notification_type; table chat.notifications; view chat.notification_feed;
--          functions chat.mark_notifications_read, chat.count_unread_notifications; triggers on chat.participants, chat.thread_reads.
-- Locks:   share row exclusive on chat.participants and chat.thread_reads, for as long as it takes
--          to add triggers.
-- Breaking: no.
--
-- A message writes at most 52 rows here, whatever the number of participants: for the 50 it can
-- mention, for whom it answers and for whose thread it is in. What everybody hears of is in the
-- inbox, which counts it without a row for each.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'notifications_required', '22023',
        'Exactly one of ids, at most 1000, and up_to_id is needed.',
        'Give one of them.'
    );

-- Types ----------------------------------------------------------------------------------------

create type chat.notification_type as enum (
    'mention', 'reply', 'reaction', 'added_to_conversation', 'contact_request', 'contact_accepted',
    'report_closed', 'custom'
);

-- Tables ---------------------------------------------------------------------------------------

create table chat.notifications (
    id bigint generated always as identity primary key,
    user_id uuid not null references chat.profiles (id) on delete cascade,
    type chat.notification_type not null,
    actor_id uuid references chat.profiles (id) on delete set null,
    conversation_id uuid,
    message_seq bigint,
    title text,
    body text,
    metadata jsonb not null default '{}',
    key text,
    created_at timestamptz not null default chat_private.now(),
    read_at timestamptz,
    -- Whatever is edited or done again, a user hears of a message once.
    constraint notifications_message_seq_user_id_key unique (conversation_id, message_seq, user_id),
    constraint notifications_user_id_key_key unique (user_id, key),
    constraint notifications_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint notifications_user_id_participants_fkey foreign key (conversation_id, user_id)
    references chat.participants (conversation_id, user_id) on delete cascade,
    constraint notifications_message_check check (
        (type in ('mention', 'reply', 'reaction')) = (message_seq is not null)
        and (type = 'added_to_conversation' or message_seq is not null)
        = (conversation_id is not null)
    ),
    -- Nothing is copied from a message: it may be edited, deleted, hidden or expire, and whoever
    -- was told of it may be removed.
    constraint notifications_text_check check (
        (type = 'custom') = (title is not null)
        and (type = 'custom' or (body is null and key is null))
        and (type in ('report_closed', 'custom') or metadata = '{}')
        and length(title) between 1 and 200
        and length(body) between 1 and 2000
        and length(key) between 1 and 200
    ),
    constraint notifications_metadata_check check (
        jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 16384
    )
);
comment on table chat.notifications is
    'What is meant for one user. Written by the database; shown by chat.notification_feed.';
comment on column chat.notifications.title is
    'Of a custom one alone, like body: the feed has the others'' from what they are about.';
comment on column chat.notifications.key is
    'Chosen by who sends a custom one: of those with the same key a user gets one.';
alter table chat.notifications enable row level security;
grant select, delete on chat.notifications to authenticated;
grant select on chat.notifications to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serve: the feed, newest first; how many are unread; the foreign key to profiles.
create index notifications_user_id_id_idx on chat.notifications (user_id, id);
create index notifications_unread_idx on chat.notifications (user_id, id) where read_at is null;

-- Serves: what reading a conversation reads; the foreign key to participants.
create index notifications_conversation_id_user_id_idx
on chat.notifications (conversation_id, user_id, message_seq);

-- Serves: what an actor takes back; the foreign key to profiles.
create index notifications_actor_id_idx on chat.notifications (actor_id, user_id);

-- Functions ------------------------------------------------------------------------------------

-- Marks these of a user as read, and tells their devices which. Returns how many were unread. Rows
-- are locked in one order: two devices of one user cannot deadlock.
create function chat_private.read_notifications(user_id uuid, ids bigint [], which jsonb)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_count bigint;
begin
    update chat.notifications as n
    set read_at = chat_private.now()
    where n.id = any (
        array(
            select u.id
            from chat.notifications as u
            where
                u.user_id = read_notifications.user_id
                and u.id = any (read_notifications.ids)
                and u.read_at is null
            order by u.id
            for no key update
        )
    );
    get diagnostics v_count = row_count;
    if v_count = 0 then
        return 0;
    end if;
    perform chat_private.broadcast(
        'notifications_read',
        array['user:' || read_notifications.user_id],
        array[read_notifications.which]
    );
    return v_count;
end;
$$;
revoke execute on function chat_private.read_notifications(uuid, bigint [], jsonb)
from public, anon, authenticated;

-- Security definer: read_at is the clock's, not the user's. Touches the caller's own rows alone.
create function chat_private.mark_notifications_read(ids bigint [], up_to_id bigint)
returns bigint
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
    if num_nonnulls(mark_notifications_read.ids, mark_notifications_read.up_to_id) <> 1
        or cardinality(mark_notifications_read.ids) > 1000
    then
        perform chat_private.raise_error('notifications_required');
    end if;
    return chat_private.read_notifications(
        v_user_id,
        array(
            select n.id
            from chat.notifications as n
            where
                n.user_id = v_user_id
                and n.read_at is null
                and (
                    n.id = any (mark_notifications_read.ids)
                    or n.id <= mark_notifications_read.up_to_id
                )
        ),
        jsonb_strip_nulls(
            jsonb_build_object(
                'ids', mark_notifications_read.ids,
                'up_to_id', mark_notifications_read.up_to_id
            )
        )
    );
end;
$$;
revoke execute on function chat_private.mark_notifications_read(bigint [], bigint)
from public, anon;
grant execute on function chat_private.mark_notifications_read(bigint [], bigint)
to authenticated;

create function chat.mark_notifications_read(
    ids bigint [] default null,
    up_to_id bigint default null
)
returns bigint
language sql
set search_path = ''
begin atomic
select chat_private.mark_notifications_read(ids, up_to_id);
end;
comment on function chat.mark_notifications_read(bigint [], bigint) is
    'Marks the caller''s notifications as read, those given or all up to one; returns how many '
    'were unread. Reading a conversation or a thread marks those of its messages by itself.';
revoke execute on function chat.mark_notifications_read(bigint [], bigint) from public, anon;
grant execute on function chat.mark_notifications_read(bigint [], bigint) to authenticated;

create function chat.count_unread_notifications()
returns bigint
language sql
stable
set search_path = ''
begin atomic
select count(*)
from chat.notifications as n
where n.user_id = (select auth.uid()) and n.read_at is null;
end;
comment on function chat.count_unread_notifications() is
    'How many notifications the caller can see and has not read; exact.';
revoke execute on function chat.count_unread_notifications() from public, anon;
grant execute on function chat.count_unread_notifications() to authenticated;

-- Whoever has read a conversation has read what told of its messages, and that they are in it.
-- Security definer: whoever moves a watermark may not write notifications.
create function chat_private.read_conversation_notifications()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.read_notifications(
        new.user_id,
        array(
            select n.id
            from chat.notifications as n
            where
                n.conversation_id = new.conversation_id
                and n.user_id = new.user_id
                and n.read_at is null
                and (
                    n.type = 'added_to_conversation'
                    -- A reaction is news of a message that its author has read long ago.
                    or (n.type <> 'reaction' and n.message_seq <= new.last_read_seq)
                )
        ),
        jsonb_build_object(
            'conversation_id', new.conversation_id, 'up_to_seq', new.last_read_seq
        )
    );
    return null;
end;
$$;
revoke execute on function chat_private.read_conversation_notifications()
from public, anon, authenticated;

-- As above, of a thread.
-- Security definer: as above.
create function chat_private.read_thread_notifications()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    perform chat_private.read_notifications(
        new.user_id,
        array(
            select n.id
            from chat.notifications as n
            inner join chat.messages as m
                on n.conversation_id = m.conversation_id and n.message_seq = m.seq
            where
                n.conversation_id = new.conversation_id
                and n.user_id = new.user_id
                and n.read_at is null
                and n.type <> 'reaction'
                and m.thread_root_seq = new.thread_root_seq
                and m.seq <= new.last_read_seq
        ),
        jsonb_build_object(
            'conversation_id', new.conversation_id,
            'thread_root_seq', new.thread_root_seq,
            'up_to_seq', new.last_read_seq
        )
    );
    return null;
end;
$$;
revoke execute on function chat_private.read_thread_notifications()
from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

create trigger participants_read_conversation_notifications
after update of last_read_seq on chat.participants
for each row
when (new.last_read_seq > old.last_read_seq and old.left_at is null)
execute function chat_private.read_conversation_notifications();

create trigger thread_reads_read_thread_notifications
after insert or update of last_read_seq on chat.thread_reads
for each row execute function chat_private.read_thread_notifications();

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner query to what the caller can read.
create policy "users can read what they are told of and can still know"
on chat.notifications for select
to authenticated
using (
    user_id = (select auth.uid())
    and (
        conversation_id is null
        or conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    )
    and (
        message_seq is null
        or exists (
            select
            from chat.messages as m
            where
                m.conversation_id = notifications.conversation_id
                and m.seq = notifications.message_seq
                and m.deleted_at is null
        )
    )
    -- Of whom they blocked they hear nothing; who blocked them is not for them to know.
    and (
        actor_id is null
        or actor_id <> all (
            array(
                select b.blocked_id from chat.blocks as b where b.blocker_id = (select auth.uid())
            )
        )
    )
);

create policy "users can drop their notifications"
on chat.notifications for delete
to authenticated
using (user_id = (select auth.uid()));

-- Views ----------------------------------------------------------------------------------------

-- What is shown of a message or a conversation is read there, when it is shown.
create view chat.notification_feed
with (security_invoker = true)
as
select
    n.id,
    n.type,
    n.actor_id,
    n.conversation_id,
    n.message_seq,
    coalesce(
        n.title,
        (
            select coalesce(p.display_name, p.username)
            from chat.profiles as p
            where p.id = n.actor_id
        )
    ) as title,
    case n.type
        when 'custom' then n.body
        when 'added_to_conversation'
            then (select c.title from chat.conversations as c where c.id = n.conversation_id)
        else (
            select left(m.body, 200)
            from chat.messages as m
            where m.conversation_id = n.conversation_id and m.seq = n.message_seq
        )
    end as body,
    n.metadata,
    n.created_at,
    n.read_at
from chat.notifications as n
where n.user_id = (select auth.uid());
comment on view chat.notification_feed is
    'The caller''s notifications with what to show: who, and the message as it is now. Page by id, '
    'newest first.';
grant select on chat.notification_feed to authenticated;
