-- Purpose: how far each participant has read.
-- Objects: function chat.mark_read.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Of a conversation's messages by people, those that are not unread for this participant when
-- they have read up to this seq. Counts what is left unread: nothing, in the usual case.
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

-- Security definer: moves a counter of the conversation, and a watermark that must only move
-- this way. Touches the caller's own participation alone.
create function chat_private.mark_read(conversation_id uuid, seq bigint)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_user_id constant uuid := auth.uid();
    v_conversation chat.conversations;
    v_participant chat.participants;
    v_seq bigint;
begin
    if v_user_id is null then
        perform chat_private.raise_error('sign_in_required');
    end if;
    -- The conversation first, as in every write: two devices of one user cannot deadlock.
    select c.* into v_conversation
    from chat.conversations as c
    where c.id = mark_read.conversation_id
    for no key update;
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = mark_read.conversation_id
        and p.user_id = v_user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;

    v_seq := least(coalesce(mark_read.seq, v_conversation.last_seq), v_conversation.last_seq);
    if v_seq <= v_participant.last_read_seq then
        return v_participant;
    end if;
    update chat.conversations as c
    set rev = c.rev + 1
    where c.id = v_conversation.id
    returning c.* into v_conversation;
    update chat.participants as p
    set last_read_seq = v_seq,
        last_delivered_seq = greatest(p.last_delivered_seq, v_seq),
        read_count = chat_private.read_count_at(v_conversation, v_user_id, v_seq)
    where p.conversation_id = v_conversation.id and p.user_id = v_user_id
    returning p.* into v_participant;
    perform chat_private.broadcast_change(
        v_conversation,
        'receipt_moved',
        jsonb_build_object(
            'user_id', v_user_id,
            'last_read_seq', v_participant.last_read_seq,
            'last_delivered_seq', v_participant.last_delivered_seq
        )
    );
    return v_participant;
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
