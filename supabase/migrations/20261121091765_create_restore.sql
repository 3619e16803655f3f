-- Purpose: what was removed comes back, while it can be.
-- Objects: function chat.restore_messages.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: writes what its caller may not even read. Checks that the caller is the service
-- role, or owner or admin of the conversation's tenant; what comes back is recorded.
create function chat_private.restore_messages(
    conversation_id uuid,
    seqs bigint [],
    kept_until timestamptz
)
returns bigint
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_conversation chat.conversations;
    v_kept_until timestamptz := restore_messages.kept_until;
    v_message chat.messages;
    v_restored bigint [] := '{}'::bigint [];
    v_seq bigint;
begin
    select c.* into v_conversation
    from chat.conversations as c
    where
        c.id = restore_messages.conversation_id
        and (
            auth.role() = 'service_role'
            or c.tenant_id = any (array(select chat_private.tenant_ids_for_admin()))
        );
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;
    v_conversation := chat_private.lock_conversation(v_conversation.id);
    v_kept_until := coalesce(
        v_kept_until,
        v_now + (chat_private.settings_for(v_conversation.tenant_id)).restore_window
    );
    for v_seq in
        select d.message_seq
        from chat_private.deleted_messages as d
        where
            d.conversation_id = v_conversation.id
            and d.message_seq = any (restore_messages.seqs)
            and d.purged_at is null
        order by d.message_seq
    loop
        if exists (
            select
            from chat.messages as m
            where
                m.conversation_id = v_conversation.id
                and m.seq = v_seq
                and m.expires_at <= v_now
        ) then
            -- By the policy its time is over: kept for some time whatever that says.
            insert into chat_private.restored_messages as r (
                conversation_id, message_seq, kept_until
            )
            values (v_conversation.id, v_seq, v_kept_until)
            on conflict on constraint restored_messages_pkey do update
            set kept_until = excluded.kept_until;
            perform chat_private.rewrite_expiries(
                array[v_conversation.id], array[v_seq]
            );
        end if;
        perform chat_private.unbury_message(v_conversation.id, v_seq);
        v_conversation := chat_private.touch_message(v_conversation.id, v_seq);
        select m.* into strict v_message
        from chat.messages as m
        where m.conversation_id = v_conversation.id and m.seq = v_seq;
        perform chat_private.broadcast_change(
            v_conversation,
            'message_updated',
            jsonb_build_object('seq', v_seq, 'message', to_jsonb(v_message))
        );
        if v_message.thread_root_seq is not null then
            update chat.messages as m
            set rev = v_message.rev,
                is_changed = true
            where m.conversation_id = v_conversation.id and m.seq = v_message.thread_root_seq;
        end if;
        v_restored := v_restored || v_seq;
    end loop;
    perform chat_private.keep_expires_from(array[v_conversation.id]);
    if cardinality(v_restored) > 0 then
        perform chat_private.record_audit(
            v_conversation.tenant_id,
            'messages_restored',
            null,
            v_conversation.id,
            jsonb_build_object('seqs', v_restored, 'kept_until', v_kept_until)
        );
    end if;
    return cardinality(v_restored)::bigint;
end;
$$;
revoke execute on function chat_private.restore_messages(uuid, bigint [], timestamptz)
from public, anon;
grant execute on function chat_private.restore_messages(uuid, bigint [], timestamptz)
to authenticated, service_role;

create function chat.restore_messages(
    conversation_id uuid,
    seqs bigint [],
    kept_until timestamptz default null
)
returns bigint
language sql
set search_path = ''
begin atomic
select chat_private.restore_messages(conversation_id, seqs, kept_until);
end;
comment on function chat.restore_messages(uuid, bigint [], timestamptz) is
    'Brings back messages that were deleted for everyone or have expired, until they are purged, and '
    'returns how many. What has expired is kept until kept_until, without it for the tenant''s '
    'restore_window. For the service role and for owners and admins of the tenant.';
revoke execute on function chat.restore_messages(uuid, bigint [], timestamptz) from public, anon;
grant execute on function chat.restore_messages(uuid, bigint [], timestamptz)
to authenticated, service_role;
