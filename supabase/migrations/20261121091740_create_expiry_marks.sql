-- Purpose: what has expired becomes a tombstone that can be restored, and counts no more.
-- Objects: functions chat_private.remove_messages, chat_private.mark_expired; index on chat_private.deleted_messages.
-- Locks:   share on chat_private.deleted_messages while its index is built.
-- Breaking: no.

set lock_timeout = '5s';

-- Indexes --------------------------------------------------------------------------------------

-- Serves: the sweep, in the order in which things fall due.
-- squawk-ignore require-concurrent-index-creation
create index deleted_messages_due_at_idx
on chat_private.deleted_messages (due_at, conversation_id, message_seq);

-- Functions ------------------------------------------------------------------------------------

-- Makes tombstones of messages that are there, at once, and puts their text aside. Who is told of it,
-- and how, is the caller's business, and when the next expires; except that a thread which is still
-- there has fewer messages. The caller has locked the conversations.
create function chat_private.remove_messages(
    conversation_ids uuid [],
    seqs bigint [],
    is_expired boolean
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_thread record;
    v_root chat.messages;
    v_conversation chat.conversations;
begin
    insert into chat_private.deleted_messages (
        conversation_id, message_seq, body, metadata, is_expired, removed_at, due_at
    )
    select
        m.conversation_id,
        m.seq,
        m.body,
        m.metadata,
        remove_messages.is_expired,
        v_now,
        v_now + (
            -- Not a join, for which few may read all conversations.
            select s.restore_window
            from chat.conversations as c
            inner join chat.settings as s on c.tenant_id = s.tenant_id
            where c.id = m.conversation_id
        )
    from unnest(remove_messages.conversation_ids, remove_messages.seqs) as p (conversation_id, seq)
    inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq;
    update chat.messages as m
    set body = null,
        metadata = '{}',
        deleted_at = v_now
    from unnest(remove_messages.conversation_ids, remove_messages.seqs) as p (conversation_id, seq)
    where m.conversation_id = p.conversation_id and m.seq = p.seq;

    -- As count_gone does, for all at once.
    update chat.participants as p
    set read_count = p.read_count + g.number
    from (
        select
            u.conversation_id,
            u.user_id,
            count(*) as number
        from unnest(remove_messages.conversation_ids, remove_messages.seqs)
            as d (conversation_id, seq)
        inner join chat.messages as m on d.conversation_id = m.conversation_id and d.seq = m.seq
        inner join chat.participants as u
            on
                m.conversation_id = u.conversation_id
                and m.seq > u.last_read_seq
                and m.sender_id is distinct from u.user_id
        where m.kind <> 'system'
        group by u.conversation_id, u.user_id
    ) as g
    where p.conversation_id = g.conversation_id and p.user_id = g.user_id;
    update chat.participant_settings as s
    set unread_from_seq = s.unread_from_seq
    from (
        select
            u.conversation_id,
            u.user_id
        from (select distinct unnest(remove_messages.conversation_ids) as id) as c
        inner join chat.participant_settings as u on c.id = u.conversation_id
        where u.unread_from_seq is not null
        union
        select
            h.conversation_id,
            h.user_id
        from unnest(remove_messages.conversation_ids, remove_messages.seqs)
            as d (conversation_id, seq)
        inner join chat.hidden_messages as h
            on d.conversation_id = h.conversation_id and d.seq = h.message_seq
    ) as g
    where
        s.conversation_id = g.conversation_id
        and s.user_id = g.user_id
        and s.unread_adjustment <> chat_private.unread_adjustment(s);

    for v_thread in
        select
            m.conversation_id,
            m.thread_root_seq as seq,
            count(*) as number
        from unnest(remove_messages.conversation_ids, remove_messages.seqs)
            as d (conversation_id, seq)
        inner join chat.messages as m on d.conversation_id = m.conversation_id and d.seq = m.seq
        where m.thread_root_seq is not null
        group by m.conversation_id, m.thread_root_seq
        order by m.conversation_id, m.thread_root_seq
    loop
        update chat.messages as m
        set thread_count = m.thread_count - v_thread.number
        where m.conversation_id = v_thread.conversation_id and m.seq = v_thread.seq
        returning m.* into v_root;
        if v_root.expires_at is null or v_root.expires_at > v_now then
            v_conversation := chat_private.touch_message(v_root.conversation_id, v_root.seq);
            v_root.rev := v_conversation.rev;
            v_root.is_changed := true;
            perform chat_private.broadcast_change(
                v_conversation,
                'message_updated',
                jsonb_build_object('seq', v_root.seq, 'message', to_jsonb(v_root))
            );
        end if;
    end loop;
end;
$$;
revoke execute on function chat_private.remove_messages(uuid [], bigint [], boolean)
from public, anon, authenticated;

-- Marks as removed what of the given messages has expired, and says how many. Nobody can read them
-- since they expired, so this is no change that anybody observes. What is held stays as it is. The
-- caller has locked the conversations.
create function chat_private.mark_expired(conversation_ids uuid [], seqs bigint [])
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_conversation_ids uuid [];
    v_seqs bigint [];
begin
    -- Judged again by the policy of today: what is written may be of before it changed.
    perform chat_private.rewrite_expiries(mark_expired.conversation_ids, mark_expired.seqs);
    -- And another sweep may have marked them before this one had the lock.
    select
        array_agg(m.conversation_id),
        array_agg(m.seq)
    into v_conversation_ids, v_seqs
    from unnest(mark_expired.conversation_ids, mark_expired.seqs) as p (conversation_id, seq)
    inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq
    where m.deleted_at is null and m.expires_at <= v_now;
    if v_seqs is not null then
        perform chat_private.remove_messages(v_conversation_ids, v_seqs, is_expired => true);
    end if;
    return coalesce(cardinality(v_seqs), 0);
end;
$$;
revoke execute on function chat_private.mark_expired(uuid [], bigint [])
from public, anon, authenticated;
