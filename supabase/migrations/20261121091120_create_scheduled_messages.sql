-- Purpose: messages to be sent later.
-- Objects: table chat.scheduled_messages; functions chat.schedule_message,
--          chat.update_scheduled_message, chat.cancel_scheduled_message,
--          chat_private.send_due_messages; a job of pg_cron, where that is installed.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'send_at_out_of_range', '22023',
        'A message is scheduled for a time from now to a year ahead.',
        'Check send_at and its time zone; to send now, use send_message.'
    ),
    (
        'too_many_scheduled', 'PT409',
        'At most 100 messages can wait in one conversation.',
        'Cancel one first.'
    ),
    (
        'scheduled_message_not_found', 'PT404',
        'You have no such scheduled message.',
        'Check the id; it may have been sent, in which case a message has that id.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.scheduled_messages (
    id uuid primary key default gen_random_uuid(),
    conversation_id uuid not null,
    user_id uuid not null,
    send_at timestamptz not null,
    kind chat.message_kind not null default 'text',
    body text,
    metadata jsonb not null default '{}',
    reply_to_seq bigint,
    thread_root_seq bigint,
    mentions uuid [] not null default '{}',
    created_at timestamptz not null default chat_private.now(),
    retry_at timestamptz,
    failed_at timestamptz,
    error_code text,
    constraint scheduled_messages_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint scheduled_messages_body_check check (
        length(body) <= 10000 and (kind <> 'text' or (body is not null and body ~ '\S'))
    ),
    constraint scheduled_messages_kind_check check (kind <> 'system'),
    constraint scheduled_messages_metadata_check check (
        jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 16384
    ),
    constraint scheduled_messages_metadata_kind_check check (
        chat_private.is_valid_metadata(kind::text, metadata)
    ),
    constraint scheduled_messages_mentions_check check (cardinality(mentions) <= 50),
    constraint scheduled_messages_failed_check check ((failed_at is null) = (error_code is null))
);
comment on table chat.scheduled_messages is
    'What somebody wants sent later, for nobody else to see. Sent, it becomes the message with its '
    'id and is gone from here; refused at that time, it stays with the reason.';
comment on column chat.scheduled_messages.retry_at is
    'Refused for the moment (slow mode, a rate limit, a busy database): tried again then.';
comment on column chat.scheduled_messages.error_code is
    'Why it was not sent: a code of docs/reference/errors.md, else an SQLSTATE.';
alter table chat.scheduled_messages enable row level security;
grant select on chat.scheduled_messages to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the foreign key; one's own, by conversation.
create index scheduled_messages_user_id_conversation_id_idx
on chat.scheduled_messages (user_id, conversation_id, send_at);

-- Serves: what is due.
create index scheduled_messages_due_idx
on chat.scheduled_messages (coalesce(retry_at, send_at), id)
where failed_at is null;

-- Functions ------------------------------------------------------------------------------------

create function chat_private.check_send_at(send_at timestamptz)
returns void
language plpgsql
stable
set search_path = ''
as $$
begin
    if send_at is null
        or send_at <= chat_private.now()
        or send_at > chat_private.now() + interval '1 year'
    then
        perform chat_private.raise_error('send_at_out_of_range');
    end if;
end;
$$;
revoke execute on function chat_private.check_send_at(timestamptz)
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read, in their own name. Checks that the
-- caller takes part; whether they may send is asked when it is sent.
create function chat_private.schedule_message(
    conversation_id uuid,
    send_at timestamptz,
    body text,
    id uuid,
    kind text,
    metadata jsonb,
    reply_to_seq bigint,
    thread_root_seq bigint,
    mentions uuid []
)
returns chat.scheduled_messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(schedule_message.conversation_id);
    v_scheduled chat.scheduled_messages;
begin
    select s.* into v_scheduled
    from chat.scheduled_messages as s
    where s.id = schedule_message.id;
    if found then
        if (v_scheduled.conversation_id, v_scheduled.user_id)
            <> (v_participant.conversation_id, v_participant.user_id)
        then
            perform chat_private.raise_error('message_id_taken');
        end if;
        return v_scheduled;
    end if;
    if exists (select from chat.messages as m where m.id = schedule_message.id) then
        perform chat_private.raise_error('message_id_taken');
    end if;
    perform chat_private.check_send_at(schedule_message.send_at);
    if schedule_message.kind = 'system' then
        perform chat_private.raise_error('system_message');
    end if;
    if length(schedule_message.body)
        > (chat_private.settings_for(v_participant.tenant_id)).message_max_length
    then
        perform chat_private.raise_error('message_too_long');
    end if;
    if cardinality(schedule_message.mentions) > 50 then
        perform chat_private.raise_error('too_many_mentions');
    end if;
    if schedule_message.reply_to_seq is not null then
        perform chat_private.require_message(v_participant, schedule_message.reply_to_seq);
    end if;
    if schedule_message.thread_root_seq is not null then
        perform chat_private.require_message(v_participant, schedule_message.thread_root_seq);
    end if;
    if 100 <= (
        select count(*)
        from chat.scheduled_messages as s
        where
            s.user_id = v_participant.user_id
            and s.conversation_id = v_participant.conversation_id
    ) then
        perform chat_private.raise_error('too_many_scheduled');
    end if;
    insert into chat.scheduled_messages as s (
        id, conversation_id, user_id, send_at, kind, body, metadata, reply_to_seq,
        thread_root_seq, mentions
    )
    values (
        coalesce(schedule_message.id, gen_random_uuid()),
        v_participant.conversation_id,
        v_participant.user_id,
        schedule_message.send_at,
        schedule_message.kind::chat.message_kind,
        schedule_message.body,
        coalesce(schedule_message.metadata, '{}'),
        schedule_message.reply_to_seq,
        schedule_message.thread_root_seq,
        coalesce(schedule_message.mentions, '{}')
    )
    returning s.* into v_scheduled;
    perform chat_private.touch_private(v_scheduled.conversation_id, v_scheduled.user_id);
    return v_scheduled;
end;
$$;
revoke execute on function
chat_private.schedule_message(
    uuid, timestamptz, text, uuid, text, jsonb, bigint, bigint, uuid []
)
from public, anon;
grant execute on function
chat_private.schedule_message(
    uuid, timestamptz, text, uuid, text, jsonb, bigint, bigint, uuid []
)
to authenticated;

create function chat.schedule_message(
    conversation_id uuid,
    send_at timestamptz,
    body text default null,
    id uuid default null,
    kind text default 'text',
    metadata jsonb default '{}',
    reply_to_seq bigint default null,
    thread_root_seq bigint default null,
    mentions uuid [] default '{}'
)
returns chat.scheduled_messages
language sql
set search_path = ''
begin atomic
select
    chat_private.schedule_message(
        conversation_id,
        send_at,
        body,
        id,
        kind,
        metadata,
        reply_to_seq,
        thread_root_seq,
        mentions
    );
end;
comment on function
chat.schedule_message(uuid, timestamptz, text, uuid, text, jsonb, bigint, bigint, uuid []) is
    'Has a message sent later, with this id. With the id of one the caller has scheduled here it '
    'returns that one and changes nothing. Whether they may send is asked at that time.';
revoke execute on function
chat.schedule_message(uuid, timestamptz, text, uuid, text, jsonb, bigint, bigint, uuid [])
from public, anon;
grant execute on function
chat.schedule_message(uuid, timestamptz, text, uuid, text, jsonb, bigint, bigint, uuid [])
to authenticated;

-- A scheduled message of the caller's, locked. Its own lock comes before the conversation's, as in
-- send_due_messages, so that neither waits for the other in turn. Raises sign_in_required,
-- scheduled_message_not_found.
create function chat_private.require_scheduled_message(id uuid)
returns chat.scheduled_messages
language plpgsql
set search_path = ''
as $$
declare
    v_scheduled chat.scheduled_messages;
begin
    if auth.uid() is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    select s.* into v_scheduled
    from chat.scheduled_messages as s
    where s.id = require_scheduled_message.id and s.user_id = auth.uid()
    for update;
    if not found then
        perform chat_private.raise_error('scheduled_message_not_found');
    end if;
    return v_scheduled;
end;
$$;
revoke execute on function chat_private.require_scheduled_message(uuid)
from public, anon, authenticated;

-- Security definer: as schedule_message. Changes what is the caller's own alone.
create function chat_private.update_scheduled_message(
    id uuid,
    send_at timestamptz,
    body text,
    metadata jsonb
)
returns chat.scheduled_messages
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_scheduled chat.scheduled_messages :=
        chat_private.require_scheduled_message(update_scheduled_message.id);
    v_participant constant chat.participants :=
        chat_private.require_participant(v_scheduled.conversation_id);
begin
    if update_scheduled_message.send_at is not null or v_scheduled.failed_at is not null then
        perform chat_private.check_send_at(update_scheduled_message.send_at);
    end if;
    if length(update_scheduled_message.body)
        > (chat_private.settings_for(v_participant.tenant_id)).message_max_length
    then
        perform chat_private.raise_error('message_too_long');
    end if;
    update chat.scheduled_messages as s
    set send_at = coalesce(update_scheduled_message.send_at, s.send_at),
        body = coalesce(update_scheduled_message.body, s.body),
        metadata = coalesce(update_scheduled_message.metadata, s.metadata),
        retry_at = null,
        failed_at = null,
        error_code = null
    where s.id = v_scheduled.id
    returning s.* into v_scheduled;
    perform chat_private.touch_private(v_scheduled.conversation_id, v_scheduled.user_id);
    return v_scheduled;
end;
$$;
revoke execute on function
chat_private.update_scheduled_message(uuid, timestamptz, text, jsonb)
from public, anon;
grant execute on function
chat_private.update_scheduled_message(uuid, timestamptz, text, jsonb)
to authenticated;

create function chat.update_scheduled_message(
    id uuid,
    send_at timestamptz default null,
    body text default null,
    metadata jsonb default null
)
returns chat.scheduled_messages
language sql
set search_path = ''
begin atomic
select chat_private.update_scheduled_message(id, send_at, body, metadata);
end;
comment on function chat.update_scheduled_message(uuid, timestamptz, text, jsonb) is
    'Changes one''s own scheduled message; null leaves things as they are. One that was refused '
    'needs a new send_at and waits again.';
revoke execute on function chat.update_scheduled_message(uuid, timestamptz, text, jsonb)
from public, anon;
grant execute on function chat.update_scheduled_message(uuid, timestamptz, text, jsonb)
to authenticated;

-- Security definer: as schedule_message. Removes what is the caller's own alone.
create function chat_private.cancel_scheduled_message(id uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_scheduled constant chat.scheduled_messages :=
        chat_private.require_scheduled_message(cancel_scheduled_message.id);
begin
    delete from chat.scheduled_messages as s where s.id = v_scheduled.id;
    perform chat_private.touch_private(v_scheduled.conversation_id, v_scheduled.user_id);
end;
$$;
revoke execute on function chat_private.cancel_scheduled_message(uuid) from public, anon;
grant execute on function chat_private.cancel_scheduled_message(uuid) to authenticated;

create function chat.cancel_scheduled_message(id uuid)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.cancel_scheduled_message(id);
end;
comment on function chat.cancel_scheduled_message(uuid) is
    'Takes back one''s own scheduled message. Once it is sent there is none: delete the message.';
revoke execute on function chat.cancel_scheduled_message(uuid) from public, anon;
grant execute on function chat.cancel_scheduled_message(uuid) to authenticated;

-- Sends what is due, in the name of whoever scheduled it and with all the checks of send_message.
-- For the owner of the schema alone: a cron job or a script. Each message goes from here to there
-- in one transaction, so a run that is killed has done all or nothing of its batch; two runs at
-- once take different messages, and conversations in one order.
create function chat_private.send_due_messages(max_count integer default 100)
returns table (id uuid, error_code text)
language plpgsql
set search_path = ''
as $$
declare
    v_claims constant text := current_setting('request.jwt.claims', true);
    v_sub constant text := current_setting('request.jwt.claim.sub', true);
    v_due chat.scheduled_messages;
    v_state text;
begin
    for v_due in
        with due as (
            select s.*
            from chat.scheduled_messages as s
            where s.failed_at is null and coalesce(s.retry_at, s.send_at) <= chat_private.now()
            order by coalesce(s.retry_at, s.send_at), s.id
            limit send_due_messages.max_count
            for update skip locked
        )

        select d.*
        from due as d
        order by d.conversation_id, d.send_at, d.created_at, d.id
    loop
        id := v_due.id;
        error_code := null;
        begin
            perform set_config(
                'request.jwt.claims',
                jsonb_build_object('sub', v_due.user_id, 'role', 'authenticated')::text,
                true
            );
            perform set_config('request.jwt.claim.sub', v_due.user_id::text, true);
            perform chat_private.send_message(
                conversation_id => v_due.conversation_id,
                body => v_due.body,
                id => v_due.id,
                kind => v_due.kind::text,
                metadata => v_due.metadata,
                reply_to_seq => v_due.reply_to_seq,
                thread_root_seq => v_due.thread_root_seq,
                mentions => v_due.mentions
            );
            delete from chat.scheduled_messages as s where s.id = v_due.id;
            perform chat_private.touch_private(v_due.conversation_id, v_due.user_id);
        exception
            when others then
                get stacked diagnostics
                    v_state = returned_sqlstate,
                    error_code = pg_exception_detail;
                if not exists (
                    select
                    from chat_private.errors as e
                    where e.code = send_due_messages.error_code
                ) then
                    error_code := v_state;
                end if;
        end;
        if error_code is null then
            null;
        elsif error_code in ('slow_mode', 'rate_limited')
            or left(error_code, 2) in ('40', '53', '55', '57')
        then
            update chat.scheduled_messages as s
            set retry_at = chat_private.now() + interval '1 minute'
            where s.id = v_due.id;
        else
            update chat.scheduled_messages as s
            set failed_at = chat_private.now(),
                error_code = send_due_messages.error_code
            where s.id = v_due.id;
            perform chat_private.touch_private(v_due.conversation_id, v_due.user_id);
        end if;
        return next;
    end loop;
    perform set_config('request.jwt.claims', coalesce(v_claims, ''), true);
    perform set_config('request.jwt.claim.sub', coalesce(v_sub, ''), true);
end;
$$;
comment on function chat_private.send_due_messages(integer) is
    'Sends scheduled messages whose time has come, at most max_count, and returns each with its '
    'error code: null when it was sent. Run it every few seconds to a minute.';
revoke execute on function chat_private.send_due_messages(integer)
from public, anon, authenticated;

-- Policies -------------------------------------------------------------------------------------

create policy "participants can read what they have scheduled"
on chat.scheduled_messages for select
to authenticated
using (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

-- Jobs -----------------------------------------------------------------------------------------

-- Where pg_cron is. Elsewhere: docs/how-to/scheduled-messages.md.
do $$
begin
    if to_regprocedure('cron.schedule(text, text, text)') is not null then
        perform cron.schedule(
            'parley-send-due-messages', '* * * * *', 'select chat_private.send_due_messages()'
        );
    end if;
end;
$$;
