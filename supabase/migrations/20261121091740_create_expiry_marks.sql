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
-- and how, is the caller's business; except that a thread which is still there has fewer messages.
-- The caller has locked the conversation.
create function chat_private.remove_messages(
    conversation chat.conversations,
    seqs bigint [],
    is_expired boolean
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_window constant interval := (chat_private.settings_for(conversation.tenant_id)).restore_window;
    v_conversation_ids constant uuid [] := array_fill(
        conversation.id, array[cardinality(remove_messages.seqs)]
    );
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
        v_now + v_window
    from unnest(v_conversation_ids, remove_messages.seqs) as d (conversation_id, seq)
    inner join chat.messages as m on d.conversation_id = m.conversation_id and d.seq = m.seq;
    update chat.messages as m
    set body = null,
        metadata = '{}',
        deleted_at = v_now
    from unnest(v_conversation_ids, remove_messages.seqs) as d (conversation_id, seq)
    where m.conversation_id = d.conversation_id and m.seq = d.seq;

    -- As count_gone does, for all at once.
    update chat.participants as p
    set read_count = p.read_count + g.number
    from (
        select
            u.user_id,
            count(*) as number
        from unnest(v_conversation_ids, remove_messages.seqs) as d (conversation_id, seq)
        inner join chat.messages as m on d.conversation_id = m.conversation_id and d.seq = m.seq
        inner join chat.participants as u
            on
                m.conversation_id = u.conversation_id
                and m.seq > u.last_read_seq
                and m.sender_id is distinct from u.user_id
        where m.kind <> 'system'
        group by u.user_id
    ) as g
    where p.conversation_id = conversation.id and p.user_id = g.user_id;
    update chat.participant_settings as s
    set unread_from_seq = s.unread_from_seq
    where
        s.conversation_id = conversation.id
        and (
            s.unread_from_seq is not null
            or exists (
                select
                from chat.hidden_messages as h
                where
                    h.conversation_id = s.conversation_id
                    and h.user_id = s.user_id
                    and h.message_seq = any (remove_messages.seqs)
            )
        )
        and s.unread_adjustment <> chat_private.unread_adjustment(s);

    for v_thread in
        select
            m.thread_root_seq as seq,
            count(*) as number
        from unnest(v_conversation_ids, remove_messages.seqs) as d (conversation_id, seq)
        inner join chat.messages as m on d.conversation_id = m.conversation_id and d.seq = m.seq
        where m.thread_root_seq is not null
        group by m.thread_root_seq
        order by m.thread_root_seq
    loop
        update chat.messages as m
        set thread_count = m.thread_count - v_thread.number
        where m.conversation_id = conversation.id and m.seq = v_thread.seq
        returning m.* into v_root;
        if v_root.expires_at is null or v_root.expires_at > v_now then
            v_conversation := chat_private.touch_message(conversation.id, v_root.seq);
            v_root.rev := v_conversation.rev;
            v_root.is_changed := true;
            perform chat_private.broadcast_change(
                v_conversation,
                'message_updated',
                jsonb_build_object('seq', v_root.seq, 'message', to_jsonb(v_root))
            );
        end if;
    end loop;
    perform chat_private.keep_expires_from(conversation.id);
end;
$$;
revoke execute on function chat_private.remove_messages(chat.conversations, bigint [], boolean)
from public, anon, authenticated;

-- Marks what has expired in a conversation as removed, at most max_count messages, and says how many.
-- Nobody can read them since they expired, so this is no change that anybody observes. What is held
-- stays as it is. The caller has locked the conversation.
create function chat_private.mark_expired(conversation chat.conversations, max_count integer)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_held_ids constant uuid [] := array(
        select h.user_id
        from chat.legal_holds as h
        where h.tenant_id = conversation.tenant_id and h.user_id is not null
    );
    v_seqs bigint [];
begin
    v_seqs := array(
        select m.seq
        from chat.messages as m
        where
            m.conversation_id = conversation.id
            and m.deleted_at is null
            and (m.expires_at at time zone 'UTC')::date <= (v_now at time zone 'UTC')::date
            and m.expires_at <= v_now
            and (m.sender_id is null or m.sender_id <> all (v_held_ids))
        order by (m.expires_at at time zone 'UTC')::date
        limit mark_expired.max_count
    );
    if cardinality(v_seqs) = 0 then
        perform chat_private.keep_expires_from(conversation.id);
        return 0;
    end if;
    -- Judged again by the policy of today: what is written may be of before it changed.
    if chat_private.rewrite_expiries(conversation.id, v_seqs) > 0 then
        v_seqs := array(
            select m.seq
            from unnest(array_fill(conversation.id, array[cardinality(v_seqs)]), v_seqs)
                as d (conversation_id, seq)
            inner join chat.messages as m
                on d.conversation_id = m.conversation_id and d.seq = m.seq
            where m.expires_at <= v_now
        );
    end if;
    perform chat_private.remove_messages(conversation, v_seqs, is_expired => true);
    return cardinality(v_seqs);
end;
$$;
revoke execute on function chat_private.mark_expired(chat.conversations, integer)
from public, anon, authenticated;
