-- Purpose: silencing one participant, and slow mode for all of a conversation.
-- Objects: functions chat.silence_participant, chat.set_slow_mode.
-- Locks:   none.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- The locked conversation, for an owner or admin of it or a moderator of its tenant, who need not
-- take part. Raises sign_in_required, conversation_not_found, not_an_admin.
create function chat_private.require_conversation_moderator(conversation_id uuid)
returns chat.conversations
language plpgsql
set search_path = ''
as $$
declare
    v_conversation chat.conversations;
    v_participant chat.participants;
begin
    -- Before the lock: nobody waits for a stranger, nor learns from waiting that there is something.
    if not exists (
        select
        from chat.conversations as c
        where
            c.id = require_conversation_moderator.conversation_id
            and c.tenant_id = any (array(select chat_private.tenant_ids_for_moderator()))
    ) then
        perform chat_private.require_participant(require_conversation_moderator.conversation_id);
    end if;
    v_conversation := chat_private.lock_conversation(
        require_conversation_moderator.conversation_id
    );
    if auth.uid() is not null and v_conversation.tenant_id
        = any (array(select chat_private.tenant_ids_for_moderator()))
    then
        return v_conversation;
    end if;
    v_participant := chat_private.require_participant(
        require_conversation_moderator.conversation_id
    );
    if v_participant.role = 'member' then
        perform chat_private.raise_error('not_an_admin');
    end if;
    return v_conversation;
end;
$$;
revoke execute on function chat_private.require_conversation_moderator(uuid)
from public, anon, authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller administers the
-- conversation or moderates its tenant, and that the user's role there is lower.
create function chat_private.silence_participant(
    conversation_id uuid,
    user_id uuid,
    until timestamptz
)
returns chat.participants
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations :=
        chat_private.require_conversation_moderator(silence_participant.conversation_id);
    v_participant chat.participants;
begin
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = v_conversation.id
        and p.user_id = silence_participant.user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('participant_not_found');
    end if;
    if not exists (
        select
        from chat.participants as c
        where
            c.conversation_id = v_conversation.id
            and c.user_id = auth.uid()
            and c.left_at is null
            and c.role < v_participant.role
    ) and not exists (
        select
        from chat.tenant_members as c
        inner join chat.tenant_members as m on c.tenant_id = m.tenant_id
        where
            c.tenant_id = v_conversation.tenant_id
            and c.user_id = auth.uid()
            and m.user_id = v_participant.user_id
            and c.removed_at is null
            and c.role < m.role
    ) then
        perform chat_private.raise_error('outranked');
    end if;
    if v_participant.silenced_until is not distinct from silence_participant.until then
        return v_participant;
    end if;
    v_conversation := chat_private.next_rev(v_conversation.id);
    update chat.participants as p
    set silenced_until = silence_participant.until,
        rev = v_conversation.rev
    where p.conversation_id = v_conversation.id and p.user_id = v_participant.user_id
    returning p.* into v_participant;
    perform chat_private.broadcast_change(
        v_conversation,
        'participant_updated',
        jsonb_build_object(
            'user_id', v_participant.user_id,
            'silenced_until', v_participant.silenced_until
        )
    );
    return v_participant;
end;
$$;
revoke execute on function chat_private.silence_participant(uuid, uuid, timestamptz)
from public, anon;
grant execute on function chat_private.silence_participant(uuid, uuid, timestamptz)
to authenticated;

create function chat.silence_participant(
    conversation_id uuid,
    user_id uuid,
    until timestamptz default null
)
returns chat.participants
language sql
set search_path = ''
begin atomic
select chat_private.silence_participant(conversation_id, user_id, until);
end;
comment on function chat.silence_participant(uuid, uuid, timestamptz) is
    'Lets somebody of a lower role read but not write until then, for owners and admins of the '
    'conversation and moderators; ''infinity'' for good, null to let them write again.';
revoke execute on function chat.silence_participant(uuid, uuid, timestamptz) from public, anon;
grant execute on function chat.silence_participant(uuid, uuid, timestamptz) to authenticated;

-- Security definer: writes what its caller may only read. Checks that the caller administers the
-- conversation or moderates its tenant.
create function chat_private.set_slow_mode(conversation_id uuid, seconds integer)
returns chat.conversations
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_conversation chat.conversations :=
        chat_private.require_conversation_moderator(set_slow_mode.conversation_id);
begin
    if v_conversation.slow_mode_seconds = set_slow_mode.seconds then
        return v_conversation;
    end if;
    update chat.conversations as c
    set slow_mode_seconds = set_slow_mode.seconds,
        rev = c.rev + 1
    where c.id = v_conversation.id
    returning c.* into v_conversation;
    perform chat_private.broadcast_change(
        v_conversation,
        'conversation_updated',
        jsonb_build_object('slow_mode_seconds', v_conversation.slow_mode_seconds)
    );
    return v_conversation;
end;
$$;
revoke execute on function chat_private.set_slow_mode(uuid, integer) from public, anon;
grant execute on function chat_private.set_slow_mode(uuid, integer) to authenticated;

create function chat.set_slow_mode(conversation_id uuid, seconds integer)
returns chat.conversations
language sql
set search_path = ''
begin atomic
select chat_private.set_slow_mode(conversation_id, seconds);
end;
comment on function chat.set_slow_mode(uuid, integer) is
    'How long a member waits between two messages, up to 3600 seconds; 0: no wait. For owners and '
    'admins of the conversation and moderators.';
revoke execute on function chat.set_slow_mode(uuid, integer) from public, anon;
grant execute on function chat.set_slow_mode(uuid, integer) to authenticated;
