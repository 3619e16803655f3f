-- Purpose: mentions, pins, saved messages and drafts.
-- Objects: tables chat.mentions, chat.pins, chat.saved_messages, chat.drafts; functions
--          chat.pin_message, chat.unpin_message; triggers on chat.messages.
-- Locks:   share row exclusive on chat.messages, for as long as it takes to add triggers.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'too_many_mentions', '22023',
        'A message mentions at most 50 people.',
        'Mention fewer; owners and admins can mention everybody with mention_all.'
    ),
    (
        'not_allowed_to_mention_all', '42501',
        'Only an owner or admin of the conversation can mention everybody.',
        'Mention people one by one.'
    ),
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

create table chat.mentions (
    conversation_id uuid not null,
    message_seq bigint not null,
    user_id uuid,
    constraint mentions_message_seq_user_id_key
    unique nulls not distinct (conversation_id, message_seq, user_id),
    constraint mentions_message_seq_fkey foreign key (conversation_id, message_seq)
    references chat.messages (conversation_id, seq) on delete cascade,
    constraint mentions_user_id_fkey foreign key (user_id, conversation_id)
    references chat.participants (user_id, conversation_id) on delete cascade
);
comment on table chat.mentions is
    'Whom a message mentions. Written by send_message and edit_message. Not those who do not take '
    'part, nor the sender, nor anybody blocked with them.';
comment on column chat.mentions.user_id is
    'Null: everybody. One row for that, not one for each; made by mention_all in the metadata.';
alter table chat.mentions enable row level security;
grant select on chat.mentions to authenticated, service_role;

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

-- Serves: unread mentions of one user in a conversation, those of everybody (user_id null)
-- included; the foreign key.
create index mentions_user_id_conversation_id_message_seq_idx
on chat.mentions (user_id, conversation_id, message_seq);

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

-- Stores whom a message mentions, instead of whom it did: of those named, who takes part, can read
-- it, is not its sender and not blocked with them. The caller has locked the conversation.
create function chat_private.set_mentions(
    conversation_id uuid,
    message_seq bigint,
    user_ids uuid []
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_user_ids uuid [] := array(
        select distinct u.id from unnest(set_mentions.user_ids) as u (id) where u.id is not null
    );
begin
    if cardinality(v_user_ids) > 50 then
        perform chat_private.raise_error('too_many_mentions');
    end if;
    v_user_ids := array(
        select p.user_id
        from chat.participants as p
        inner join chat.messages as m on p.conversation_id = m.conversation_id
        where
            m.conversation_id = set_mentions.conversation_id
            and m.seq = set_mentions.message_seq
            and p.user_id = any (v_user_ids)
            and p.left_at is null
            and p.visible_from_seq <= m.seq
            and p.user_id is distinct from m.sender_id
            and not chat_private.is_blocked_between(p.user_id, m.sender_id)
    );
    delete from chat.mentions as n
    where
        n.conversation_id = set_mentions.conversation_id
        and n.message_seq = set_mentions.message_seq
        and n.user_id <> all (v_user_ids);
    insert into chat.mentions (conversation_id, message_seq, user_id)
    select
        set_mentions.conversation_id,
        set_mentions.message_seq,
        u.id
    from unnest(v_user_ids) as u (id)
    on conflict do nothing;
end;
$$;
revoke execute on function chat_private.set_mentions(uuid, bigint, uuid [])
from public, anon, authenticated;

-- A message with mention_all mentions everybody: whether its sender may say so, and the row of it.
-- Security definer: whoever writes a message needs no rights on the mentions.
create function chat_private.set_mention_all()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    if new.metadata -> 'mention_all' is distinct from 'true'::jsonb then
        delete from chat.mentions as n
        where
            n.conversation_id = new.conversation_id
            and n.message_seq = new.seq
            and n.user_id is null;
        return null;
    end if;
    if not exists (
        select
        from chat.participants as p
        where
            p.conversation_id = new.conversation_id
            and p.user_id = new.sender_id
            and p.role in ('owner', 'admin')
    ) then
        perform chat_private.raise_error('not_allowed_to_mention_all');
    end if;
    insert into chat.mentions (conversation_id, message_seq, user_id)
    values (new.conversation_id, new.seq, null)
    on conflict do nothing;
    return null;
end;
$$;
revoke execute on function chat_private.set_mention_all() from public, anon, authenticated;

-- The conversation knows its newest mention, so that the inbox looks for none where there is none.
-- Security definer: as above.
create function chat_private.keep_last_mention()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
    update chat.conversations as c
    set last_mention_seq = n.seq
    from (
        select
            m.conversation_id,
            max(m.message_seq) as seq
        from new_mentions as m
        group by m.conversation_id
    ) as n
    where c.id = n.conversation_id and c.last_mention_seq < n.seq;
    return null;
end;
$$;
revoke execute on function chat_private.keep_last_mention() from public, anon, authenticated;

-- Security definer: under row security each message would be asked anew whether it can be read.
-- Counts, of the caller's own conversations alone, what the policies let them read.
create function chat_private.unread_mentions(conversation_ids uuid [])
returns table (tenant_id uuid, number bigint)
language plpgsql
stable
security definer
rows 1
set search_path = ''
as $$
begin
    return query
    with mine as (
        select
            p.tenant_id,
            p.conversation_id,
            p.user_id,
            p.visible_from_seq,
            coalesce(s.unread_from_seq - 1, p.last_read_seq) as read_to
        from chat.participants as p
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        where
            p.user_id = auth.uid()
            and p.conversation_id = any (unread_mentions.conversation_ids)
            and p.left_at is null
    )

    select
        i.tenant_id,
        count(*)
    from mine as i
    inner join chat.conversations as c
        on i.conversation_id = c.id and i.read_to < c.last_mention_seq
    cross join lateral (
        select n.message_seq
        from chat.mentions as n
        where
            n.user_id = i.user_id
            and n.conversation_id = i.conversation_id
            and n.message_seq > i.read_to
        union
        select n.message_seq
        from chat.mentions as n
        where
            n.user_id is null
            and n.conversation_id = i.conversation_id
            and n.message_seq > i.read_to
    ) as n
    inner join chat.messages as m
        on i.conversation_id = m.conversation_id and n.message_seq = m.seq
    where
        m.seq >= i.visible_from_seq
        and m.sender_id is distinct from i.user_id
        and m.deleted_at is null
        and (m.expires_at is null or m.expires_at > chat_private.now())
        and not exists (
            select
            from chat.hidden_messages as h
            where
                h.conversation_id = m.conversation_id
                and h.message_seq = m.seq
                and h.user_id = i.user_id
        )
    group by i.tenant_id;
end;
$$;
comment on function chat_private.unread_mentions(uuid []) is
    'How many unread messages of others in these conversations mention the caller or everybody.';
revoke execute on function chat_private.unread_mentions(uuid []) from public, anon;
grant execute on function chat_private.unread_mentions(uuid []) to authenticated;

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

create trigger messages_set_mention_all
after insert on chat.messages
for each row
when (new.metadata ? 'mention_all')
execute function chat_private.set_mention_all();

create trigger messages_reset_mention_all
after update of metadata on chat.messages
for each row
when (
    new.metadata -> 'mention_all' is distinct from old.metadata -> 'mention_all'
    and new.deleted_at is null
)
execute function chat_private.set_mention_all();

create trigger mentions_keep_last_mention
after insert on chat.mentions
referencing new table as new_mentions
for each statement execute function chat_private.keep_last_mention();

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
create policy "participants can read mentions in messages they can read"
on chat.mentions for select
to authenticated
using (
    conversation_id = any (array(select chat_private.conversation_ids_for_member()))
    and exists (
        select
        from chat.messages as m
        where
            m.conversation_id = mentions.conversation_id
            and m.seq = mentions.message_seq
            and m.deleted_at is null
    )
);

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
