-- Purpose: pins, saved messages and drafts.
-- Objects: tables chat.pins, chat.saved_messages, chat.drafts; functions chat.pin_message,
--          chat.unpin_message.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'too_many_pins', 'PT409',
        'The conversation has as many pinned messages as the tenant allows.',
        'Unpin another message first.'
    ),
    (
        'not_allowed_to_pin', '42501',
        'Only an owner or admin of the conversation, or a moderator, can pin here.',
        'Ask one of them, or save the message for yourself.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat.pins (
    conversation_id uuid not null,
    message_seq bigint not null,
    pinned_by uuid,
    pinned_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq),
    constraint pins_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint pins_pinned_by_fkey foreign key (pinned_by, conversation_id)
    references chat.participants (user_id, conversation_id) on delete set null (pinned_by)
);
comment on table chat.pins is
    'Messages that everybody in a conversation should find. Written with chat.pin_message and '
    'chat.unpin_message.';
comment on column chat.pins.pinned_by is 'Null once that user''s account is gone.';
alter table chat.pins enable row level security;
grant select on chat.pins to authenticated, service_role;

create table chat.saved_messages (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid not null default auth.uid(),
    note text,
    saved_at timestamptz not null default chat_private.now(),
    primary key (conversation_id, message_seq, user_id),
    constraint saved_messages_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint saved_messages_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint saved_messages_note_check check (length(note) between 1 and 1000)
);
comment on table chat.saved_messages is
    'Bookmarks: what somebody keeps for themselves. Nobody else sees them.';
alter table chat.saved_messages enable row level security;
-- An upsert through PostgREST sets every column it was sent, the key's too; the policies judge
-- the row that comes of it.
grant select, delete on chat.saved_messages to authenticated;
grant insert (conversation_id, message_seq, user_id, note),
update (conversation_id, message_seq, user_id, note) on chat.saved_messages to authenticated;
grant select on chat.saved_messages to service_role;

create table chat.drafts (
    conversation_id uuid not null,
    user_id uuid not null default auth.uid(),
    thread_root_seq bigint,
    body text not null,
    metadata jsonb not null default '{}',
    reply_to_seq bigint,
    updated_at timestamptz not null default chat_private.now(),
    -- Upsert with on_conflict=conversation_id,user_id,thread_root_seq.
    constraint drafts_conversation_id_user_id_thread_root_seq_key
    unique nulls not distinct (conversation_id, user_id, thread_root_seq),
    constraint drafts_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade,
    constraint drafts_thread_root_seq_fkey foreign key (conversation_id, thread_root_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint drafts_reply_to_seq_fkey foreign key (conversation_id, reply_to_seq)
    references chat.messages (conversation_id, seq) on delete set null (reply_to_seq),
    constraint drafts_body_check check (length(body) <= 10000),
    constraint drafts_metadata_check check (
        jsonb_typeof(metadata) = 'object' and octet_length(metadata::text) <= 16384
    )
);
comment on table chat.drafts is
    'What somebody began to write, for their other devices: one for each conversation and thread.';
comment on column chat.drafts.thread_root_seq is 'Null: not in a thread.';
alter table chat.drafts enable row level security;
grant select, delete on chat.drafts to authenticated;
grant insert (conversation_id, user_id, thread_root_seq, body, metadata, reply_to_seq),
update (conversation_id, user_id, thread_root_seq, body, metadata, reply_to_seq)
on chat.drafts to authenticated;
grant select on chat.drafts to service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serve: the foreign keys.
create index pins_pinned_by_conversation_id_idx on chat.pins (pinned_by, conversation_id);
create index drafts_conversation_id_thread_root_seq_idx
on chat.drafts (conversation_id, thread_root_seq);
create index drafts_conversation_id_reply_to_seq_idx
on chat.drafts (conversation_id, reply_to_seq);

-- Serve: one's own, newest first, and the foreign keys.
create index saved_messages_user_id_conversation_id_idx
on chat.saved_messages (user_id, conversation_id, saved_at);
create index drafts_user_id_conversation_id_idx on chat.drafts (user_id, conversation_id);

-- Functions ------------------------------------------------------------------------------------

-- Whoever may pin: in a direct conversation both, else its owners and admins and moderators.
create function chat_private.check_may_pin(participant chat.participants)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_conversation constant chat.conversations :=
        chat_private.lock_conversation(participant.conversation_id);
begin
    if v_conversation.kind <> 'direct'
        and participant.role = 'member'
        and v_conversation.tenant_id <> all (array(select chat_private.tenant_ids_for_moderator()))
    then
        perform chat_private.raise_error('not_allowed_to_pin');
    end if;
    perform chat_private.check_may_respond(participant);
    return v_conversation;
end;
$$;
revoke execute on function chat_private.check_may_pin(chat.participants)
from public, anon, authenticated;

-- Security definer: writes a table its caller may only read. Checks that the caller can read the
-- message and may pin and write here.
create function chat_private.pin_message(conversation_id uuid, seq bigint)
returns chat.pins
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(pin_message.conversation_id);
    v_message constant chat.messages :=
        chat_private.require_message(v_participant, pin_message.seq);
    v_conversation chat.conversations := chat_private.check_may_pin(v_participant);
    v_pin chat.pins;
begin
    select p.* into v_pin
    from chat.pins as p
    where p.conversation_id = v_message.conversation_id and p.message_seq = v_message.seq;
    if found then
        return v_pin;
    end if;
    -- What is deleted or expired is pinned for nobody.
    if (chat_private.settings_for(v_conversation.tenant_id)).pins_per_conversation <= (
        select count(*)
        from chat.pins as p
        inner join chat.messages as m
            on p.conversation_id = m.conversation_id and p.message_seq = m.seq
        where
            p.conversation_id = v_conversation.id
            and m.deleted_at is null
            and (m.expires_at is null or m.expires_at > chat_private.now())
    ) then
        perform chat_private.raise_error('too_many_pins');
    end if;
    insert into chat.pins as p (conversation_id, message_seq, pinned_by)
    values (v_message.conversation_id, v_message.seq, v_participant.user_id)
    returning p.* into v_pin;
    v_conversation := chat_private.touch_message(v_message.conversation_id, v_message.seq);
    perform chat_private.broadcast_change(
        v_conversation,
        'message_pinned',
        jsonb_build_object(
            'seq', v_message.seq, 'user_id', v_participant.user_id, 'pinned_at', v_pin.pinned_at
        )
    );
    return v_pin;
end;
$$;
revoke execute on function chat_private.pin_message(uuid, bigint) from public, anon;
grant execute on function chat_private.pin_message(uuid, bigint) to authenticated;

create function chat.pin_message(conversation_id uuid, seq bigint)
returns chat.pins
language sql
set search_path = ''
begin atomic
select chat_private.pin_message(conversation_id, seq);
end;
comment on function chat.pin_message(uuid, bigint) is
    'Pins a message for everybody in the conversation. Pinning again changes nothing. In a direct '
    'conversation both may, else owners, admins and moderators.';
revoke execute on function chat.pin_message(uuid, bigint) from public, anon;
grant execute on function chat.pin_message(uuid, bigint) to authenticated;

-- Security definer: as pin_message.
create function chat_private.unpin_message(conversation_id uuid, seq bigint)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(unpin_message.conversation_id);
    v_message constant chat.messages :=
        chat_private.require_message(v_participant, unpin_message.seq);
begin
    perform chat_private.check_may_pin(v_participant);
    delete from chat.pins as p
    where p.conversation_id = v_message.conversation_id and p.message_seq = v_message.seq;
    if found then
        perform chat_private.broadcast_change(
            chat_private.touch_message(v_message.conversation_id, v_message.seq),
            'message_unpinned',
            jsonb_build_object('seq', v_message.seq, 'user_id', v_participant.user_id)
        );
    end if;
end;
$$;
revoke execute on function chat_private.unpin_message(uuid, bigint) from public, anon;
grant execute on function chat_private.unpin_message(uuid, bigint) to authenticated;

create function chat.unpin_message(conversation_id uuid, seq bigint)
returns void
language sql
set search_path = ''
begin atomic
select chat_private.unpin_message(conversation_id, seq);
end;
comment on function chat.unpin_message(uuid, bigint) is
    'Unpins a message. For those who may pin; unpinning again changes nothing.';
revoke execute on function chat.unpin_message(uuid, bigint) from public, anon;
grant execute on function chat.unpin_message(uuid, bigint) to authenticated;

-- For tables of what is private to one participant.
-- Security definer: counts a change where the one who makes it may not write the count.
create function chat_private.count_private_row()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if tg_op <> 'INSERT' then
        perform chat_private.touch_private(old.conversation_id, old.user_id);
    end if;
    if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.conversation_id <> old.conversation_id) then
        perform chat_private.touch_private(new.conversation_id, new.user_id);
    end if;
    return null;
end;
$$;
revoke execute on function chat_private.count_private_row() from public, anon, authenticated;

-- Triggers -------------------------------------------------------------------------------------

-- Not for what goes along with a message or a participant (depth above 0): that is announced as
-- their going, and there may be no settings left to count it in.
create trigger saved_messages_count_private_row
after insert or update or delete on chat.saved_messages
for each row
when (pg_trigger_depth() = 0)
execute function chat_private.count_private_row();

create trigger drafts_count_private_row
after insert or update or delete on chat.drafts
for each row
when (pg_trigger_depth() = 0)
execute function chat_private.count_private_row();

create trigger drafts_set_updated_at
before update on chat.drafts
for each row execute function chat_private.set_updated_at();

-- Policies -------------------------------------------------------------------------------------

-- Policies on chat.messages narrow the inner queries to what the caller can read.
create policy "participants can read pins of messages they can read"
on chat.pins for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = pins.conversation_id
            and m.seq = pins.message_seq
            and m.deleted_at is null
    )
);

create policy "users can read what they saved and can still read"
on chat.saved_messages for select
to authenticated
using (
    user_id = (select auth.uid())
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = saved_messages.conversation_id
            and m.seq = saved_messages.message_seq
            and m.deleted_at is null
    )
);

create policy "users can save messages they can read"
on chat.saved_messages for insert
to authenticated
with check (
    user_id = (select auth.uid())
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = saved_messages.conversation_id
            and m.seq = saved_messages.message_seq
            and m.deleted_at is null
    )
);

create policy "users can change what they saved"
on chat.saved_messages for update
to authenticated
using (user_id = (select auth.uid()))
with check (
    user_id = (select auth.uid())
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = saved_messages.conversation_id
            and m.seq = saved_messages.message_seq
            and m.deleted_at is null
    )
);

create policy "users can drop what they saved"
on chat.saved_messages for delete
to authenticated
using (user_id = (select auth.uid()));

create policy "participants can read their own drafts"
on chat.drafts for select
to authenticated
using (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

create policy "participants can make their own drafts"
on chat.drafts for insert
to authenticated
with check (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

create policy "participants can change their own drafts"
on chat.drafts for update
to authenticated
using (user_id = (select auth.uid()))
with check (
    user_id = (select auth.uid())
    and conversation_id = any (array(select chat_private.conversation_ids_for_member()))
);

create policy "users can drop their own drafts"
on chat.drafts for delete
to authenticated
using (user_id = (select auth.uid()));
