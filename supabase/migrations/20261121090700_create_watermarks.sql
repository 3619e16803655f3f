-- Purpose: how far each participant has received and read.
-- Objects: table chat.receipts; view chat.message_receipts; functions chat.mark_read,
--          chat.mark_delivered, chat.mark_unread.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Tables ---------------------------------------------------------------------------------------

create table chat.receipts (
    conversation_id uuid not null,
    user_id uuid not null,
    rev bigint not null,
    last_read_seq bigint not null,
    last_delivered_seq bigint not null,
    moved_at timestamptz not null,
    primary key (conversation_id, user_id, rev),
    constraint receipts_user_id_fkey foreign key (conversation_id, user_id)
    references chat.participants (conversation_id, user_id) on delete cascade
);
comment on table chat.receipts is
    'Each move of a watermark with its time: one row a move, not one a message.';
alter table chat.receipts enable row level security;
grant select on chat.receipts to authenticated, service_role;

-- Indexes --------------------------------------------------------------------------------------

-- Serves: when a message was read: the first move to or past it.
create index receipts_last_read_seq_idx
on chat.receipts (conversation_id, user_id, last_read_seq, moved_at);
create index receipts_last_delivered_seq_idx
on chat.receipts (conversation_id, user_id, last_delivered_seq, moved_at);

-- Functions ------------------------------------------------------------------------------------

-- Of a conversation's messages by people, those that are not unread for this participant when
-- they have read up to this seq, whatever they marked or hid. Counts what is left unread: nothing,
-- in the usual case.
create function chat_private.read_count_at(
    conversation chat.conversations,
    user_id uuid,
    last_read_seq bigint
)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
    if read_count_at.last_read_seq >= conversation.last_seq then
        return conversation.message_count;
    end if;
    return conversation.message_count - (
        select count(*)
        from chat.messages as m
        where
            m.conversation_id = conversation.id
            and m.seq > read_count_at.last_read_seq
            and m.kind <> 'system'
            and m.sender_id is distinct from read_count_at.user_id
            and m.deleted_at is null
    );
end;
$$;
revoke execute on function chat_private.read_count_at(chat.conversations, uuid, bigint)
from public, anon, authenticated;

-- Moves the caller's watermarks forward, logs the move and tells the others. `read_to` null leaves
-- the one for reading where it is.
create function chat_private.move_watermarks(
    conversation_id uuid,
    read_to bigint,
    delivered_to bigint
)
returns chat.participants
language plpgsql
set search_path = ''
as $$
declare
    v_participant chat.participants;
    v_conversation chat.conversations;
    v_read_to bigint;
    v_read_seq bigint;
    v_delivered_seq bigint;
begin
    perform chat_private.require_participant(move_watermarks.conversation_id);
    -- The conversation first, as in every write: two devices of one user cannot deadlock.
    v_conversation := chat_private.lock_conversation(move_watermarks.conversation_id);
    v_participant := chat_private.require_participant(move_watermarks.conversation_id);
    v_read_to := case
        when move_watermarks.read_to is not null
            then least(move_watermarks.read_to, v_conversation.last_seq)
    end;
    v_read_seq := greatest(v_participant.last_read_seq, v_read_to);
    v_delivered_seq := greatest(
        v_participant.last_delivered_seq,
        v_read_seq,
        case
            when move_watermarks.delivered_to is not null
                then least(move_watermarks.delivered_to, v_conversation.last_seq)
        end
    );
    if v_read_seq > v_participant.last_read_seq then
        update chat.participants as p
        set last_read_seq = v_read_seq,
            last_delivered_seq = v_delivered_seq,
            read_count = chat_private.read_count_at(
                v_conversation, v_participant.user_id, v_read_seq
            )
        where p.conversation_id = v_conversation.id and p.user_id = v_participant.user_id;
    end if;
    if v_read_to is not null then
        -- What was marked unread is read again, up to where the caller says; each update counts anew
        -- what the watermark has passed.
        update chat.participant_settings as s
        set unread_from_seq = case
            when s.unread_from_seq > v_read_to then s.unread_from_seq
            when s.unread_from_seq is not null and v_read_to < v_read_seq then v_read_to + 1
        end
        where
            s.conversation_id = v_conversation.id
            and s.user_id = v_participant.user_id
            and (s.unread_from_seq is not null or s.unread_adjustment <> 0);
    end if;
    if (v_read_seq, v_delivered_seq)
        is not distinct from (v_participant.last_read_seq, v_participant.last_delivered_seq)
    then
        return chat_private.require_participant(v_conversation.id);
    end if;

    v_conversation := chat_private.next_rev(v_conversation.id);
    update chat.participants as p
    set last_read_seq = v_read_seq,
        last_delivered_seq = v_delivered_seq,
        rev = v_conversation.rev
    where p.conversation_id = v_conversation.id and p.user_id = v_participant.user_id
    returning p.* into v_participant;
    insert into chat.receipts (
        conversation_id, user_id, rev, last_read_seq, last_delivered_seq, moved_at
    )
    values (
        v_conversation.id,
        v_participant.user_id,
        v_conversation.rev,
        v_read_seq,
        v_delivered_seq,
        chat_private.now()
    );
    perform chat_private.broadcast_change(
        v_conversation,
        'receipt_moved',
        jsonb_build_object(
            'user_id', v_participant.user_id,
            'last_read_seq', v_read_seq,
            'last_delivered_seq', v_delivered_seq
        )
    );
    return v_participant;
end;
$$;
revoke execute on function chat_private.move_watermarks(uuid, bigint, bigint)
from public, anon, authenticated;

-- Security definer: moves a counter of the conversation, and a watermark that must only move this
-- way. Touches the caller's own participation alone.
create function chat_private.mark_read(conversation_id uuid, seq bigint)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
begin
    return chat_private.move_watermarks(
        mark_read.conversation_id,
        coalesce(mark_read.seq, 9223372036854775806),
        null
    );
end;
$$;
revoke execute on function chat_private.mark_read(uuid, bigint) from public, anon;
grant execute on function chat_private.mark_read(uuid, bigint) to authenticated;

create function chat.mark_read(conversation_id uuid, seq bigint default null)
returns chat.participants
language sql
set search_path = ''
begin atomic
select chat_private.mark_read(conversation_id, seq);
end;
comment on function chat.mark_read(uuid, bigint) is
    'Marks everything up to and including a message as read, without seq the whole conversation. '
    'Never moves backwards; returns the caller''s participation.';
revoke execute on function chat.mark_read(uuid, bigint) from public, anon;
grant execute on function chat.mark_read(uuid, bigint) to authenticated;

-- Security definer: as mark_read.
create function chat_private.mark_delivered(conversation_id uuid, seq bigint)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
begin
    return chat_private.move_watermarks(
        mark_delivered.conversation_id,
        null,
        coalesce(mark_delivered.seq, 9223372036854775806)
    );
end;
$$;
revoke execute on function chat_private.mark_delivered(uuid, bigint) from public, anon;
grant execute on function chat_private.mark_delivered(uuid, bigint) to authenticated;

create function chat.mark_delivered(conversation_id uuid, seq bigint default null)
returns chat.participants
language sql
set search_path = ''
begin atomic
select chat_private.mark_delivered(conversation_id, seq);
end;
comment on function chat.mark_delivered(uuid, bigint) is
    'Says that everything up to and including a message has reached a device of the caller.';
revoke execute on function chat.mark_delivered(uuid, bigint) from public, anon;
grant execute on function chat.mark_delivered(uuid, bigint) to authenticated;

-- Security definer: writes what its caller may only read. Touches what is the caller's own and
-- known to nobody else; their receipt stays: who has read a message has read it.
create function chat_private.mark_unread(conversation_id uuid, seq bigint)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant chat.participants;
    v_conversation chat.conversations;
begin
    perform chat_private.require_participant(mark_unread.conversation_id);
    v_conversation := chat_private.lock_conversation(mark_unread.conversation_id);
    v_participant := chat_private.require_participant(mark_unread.conversation_id);
    perform chat_private.require_message(v_participant, mark_unread.seq);
    if mark_unread.seq > v_participant.last_read_seq then
        return v_participant;
    end if;
    insert into chat.participant_settings as s (conversation_id, user_id, unread_from_seq)
    values (v_conversation.id, v_participant.user_id, mark_unread.seq)
    on conflict on constraint participant_settings_pkey do update
    set unread_from_seq = excluded.unread_from_seq;
    return v_participant;
end;
$$;
revoke execute on function chat_private.mark_unread(uuid, bigint) from public, anon;
grant execute on function chat_private.mark_unread(uuid, bigint) to authenticated;

create function chat.mark_unread(conversation_id uuid, seq bigint)
returns chat.participants
language sql
set search_path = ''
begin atomic
select chat_private.mark_unread(conversation_id, seq);
end;
comment on function chat.mark_unread(uuid, bigint) is
    'Marks a message and everything after it as unread for the caller alone.';
revoke execute on function chat.mark_unread(uuid, bigint) from public, anon;
grant execute on function chat.mark_unread(uuid, bigint) to authenticated;

-- Policies -------------------------------------------------------------------------------------

create policy "participants can read receipts"
on chat.receipts for select
to authenticated
using (conversation_id = any (array(select chat_private.conversation_ids_for_member())));

-- Views ----------------------------------------------------------------------------------------

create view chat.message_receipts
with (security_invoker = true)
as
select
    m.conversation_id,
    m.seq,
    p.user_id,
    m.created_at as sent_at,
    (
        select r.moved_at
        from chat.receipts as r
        where
            r.conversation_id = m.conversation_id
            and r.user_id = p.user_id
            and r.last_delivered_seq >= m.seq
        order by r.last_delivered_seq
        limit 1
    ) as delivered_at,
    (
        select r.moved_at
        from chat.receipts as r
        where
            r.conversation_id = m.conversation_id
            and r.user_id = p.user_id
            and r.last_read_seq >= m.seq
        order by r.last_read_seq
        limit 1
    ) as read_at
from chat.messages as m
inner join chat.participants as p
    on
        m.conversation_id = p.conversation_id
        and p.user_id is distinct from m.sender_id
        and p.visible_from_seq <= m.seq
        and (p.left_at is null or p.left_at > m.created_at);
comment on view chat.message_receipts is
    'When each message was sent, and reached and was read by each recipient. Ask with '
    'conversation_id and seq.';
grant select on chat.message_receipts to authenticated;
