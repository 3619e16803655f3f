-- Purpose: how long messages of one conversation live, where the tenant lets its admins say.
-- Objects: function chat.set_retention.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'not_allowed_to_set_retention', '42501',
        'You cannot decide how long messages live here.',
        'The tenant must allow it with may_set_retention; then owners and admins of the '
        'conversation can.'
    );

-- Functions ------------------------------------------------------------------------------------

-- Security definer: updates what its caller may only read. Checks that the tenant allows it and that
-- the caller is an owner or admin of the conversation, or moderates the tenant as a participant.
create function chat_private.set_retention(conversation_id uuid, retention interval)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.lock_as_participant(set_retention.conversation_id);
    v_conversation chat.conversations :=
        chat_private.lock_conversation(set_retention.conversation_id);
    v_before interval;
begin
    if not (chat_private.settings_for(v_conversation.tenant_id)).may_set_retention
        or (
            (v_participant.role = 'member' or v_conversation.kind = 'direct')
            and v_conversation.tenant_id
            <> all (array(select chat_private.tenant_ids_for_admin()))
        )
    then
        perform chat_private.raise_error('not_allowed_to_set_retention');
    end if;
    if v_conversation.retention is not distinct from set_retention.retention then
        return v_conversation;
    end if;
    v_before := v_conversation.retention;
    v_conversation := chat_private.next_rev(v_conversation.id);
    -- Before the update, whose trigger has news of its own.
    perform chat_private.broadcast_change(
        v_conversation,
        'conversation_updated',
        jsonb_build_object(
            'title', v_conversation.title,
            'status', v_conversation.status,
            'retention', set_retention.retention
        )
    );
    update chat.conversations as c
    set retention = set_retention.retention
    where c.id = v_conversation.id;
    select c.* into strict v_conversation
    from chat.conversations as c
    where c.id = v_conversation.id;
    perform chat_private.record_audit(
        v_conversation.tenant_id,
        'retention_changed',
        null,
        v_conversation.id,
        jsonb_build_object(
            'retention', jsonb_build_object('from', v_before, 'to', v_conversation.retention)
        )
    );
    return v_conversation;
end;
$$;
revoke execute on function chat_private.set_retention(uuid, interval) from public, anon;
grant execute on function chat_private.set_retention(uuid, interval) to authenticated;

create function chat.set_retention(conversation_id uuid, retention interval default null)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.set_retention(conversation_id, retention);
end;
comment on function chat.set_retention(uuid, interval) is
    'Sets how long messages of a conversation live, those already sent too; without retention as the '
    'tenant''s settings say. For its owners and admins, where the tenant''s settings allow it.';
revoke execute on function chat.set_retention(uuid, interval) from public, anon;
grant execute on function chat.set_retention(uuid, interval) to authenticated;
