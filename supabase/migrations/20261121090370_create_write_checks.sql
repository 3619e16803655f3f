-- Purpose: whether somebody may write in a conversation now.
-- Objects: table chat_private.send_windows; functions chat_private.check_may_write,
--          chat_private.check_may_send.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

insert into chat_private.errors (code, state, message, hint)
values
    (
        'blocked', '42501',
        'One of you has blocked the other.',
        'If it was you, delete your row in blocks; otherwise respect it.'
    ),
    (
        'banned', '42501',
        'This user is banned from the tenant.',
        'Wait until the ban ends, or have a moderator lift it.'
    ),
    (
        'conversation_closed', '42501',
        'The conversation is closed: nobody writes in it.',
        'Have an owner or admin open it again.'
    ),
    (
        'silenced', '42501',
        'You may read here but not write for now.',
        'See silenced_until of your row in participants.'
    ),
    (
        'slow_mode', 'PT429',
        'Your last message here was sent too short a time ago.',
        'Wait slow_mode_seconds of the conversation after your last_sent_at.'
    ),
    (
        'rate_limited', 'PT429',
        'You have sent as many messages as the tenant allows in a minute.',
        'Try again within a minute.'
    );

-- Tables ---------------------------------------------------------------------------------------

create table chat_private.send_windows (
    tenant_id uuid not null,
    user_id uuid not null,
    started_at timestamptz not null,
    sends integer not null,
    primary key (tenant_id, user_id),
    constraint send_windows_user_id_fkey foreign key (tenant_id, user_id)
    references chat.tenant_members (tenant_id, user_id) on delete cascade
)
with (fillfactor = 50);
comment on table chat_private.send_windows is
    'How many messages a user has sent in their current minute: one row each, written only where '
    'the tenant sets sends_per_minute.';
alter table chat_private.send_windows enable row level security;

-- Functions ------------------------------------------------------------------------------------

-- Whether a participant may change what the others of a conversation see: send, edit, react, vote,
-- pin. Asked under the conversation's lock, and looks again at the participant: what a moderator
-- committed meanwhile counts. Raises conversation_not_found, banned, conversation_closed, blocked,
-- silenced; returns the participant as they are now.
create function chat_private.check_may_write(
    conversation chat.conversations,
    participant chat.participants
)
returns chat.participants
language plpgsql
set search_path = ''
as $$
declare
    v_participant chat.participants;
begin
    if exists (
        select
        from chat.bans as b
        where
            b.tenant_id = conversation.tenant_id
            and b.user_id = participant.user_id
            and b.lifted_at is null
            and (b.expires_at is null or b.expires_at > chat_private.now())
    ) then
        perform chat_private.raise_error('banned');
    end if;
    select p.* into v_participant
    from chat.participants as p
    where
        p.conversation_id = conversation.id
        and p.user_id = participant.user_id
        and p.left_at is null;
    if not found then
        perform chat_private.raise_error('conversation_not_found');
    end if;
    if conversation.status = 'closed' then
        perform chat_private.raise_error('conversation_closed');
    end if;
    if conversation.kind = 'direct'
        and chat_private.is_blocked_between(conversation.user_low_id, conversation.user_high_id)
    then
        perform chat_private.raise_error('blocked');
    end if;
    if v_participant.silenced_until > chat_private.now() then
        perform chat_private.raise_error('silenced');
    end if;
    return v_participant;
end;
$$;
revoke execute on function
chat_private.check_may_write(chat.conversations, chat.participants)
from public, anon, authenticated;

-- Whether a participant may send a message now: as above, and not too soon after the last one. Of
-- owners and admins slow mode asks nothing. Counts the send against the tenant's limit, if it has
-- one; so it is not asked for a retry. Raises slow_mode, rate_limited too.
create function chat_private.check_may_send(
    conversation chat.conversations,
    participant chat.participants
)
returns void
language plpgsql
set search_path = ''
as $$
declare
    v_participant constant chat.participants :=
        chat_private.check_may_write(conversation, participant);
    v_now constant timestamptz := chat_private.now();
    v_limit constant integer :=
        (chat_private.settings_for(conversation.tenant_id)).sends_per_minute;
    v_sends integer;
begin
    if conversation.slow_mode_seconds > 0
        and v_participant.role = 'member'
        and v_participant.last_sent_at + make_interval(secs => conversation.slow_mode_seconds)
        > v_now
    then
        perform chat_private.raise_error('slow_mode');
    end if;
    if v_limit is null then
        return;
    end if;
    insert into chat_private.send_windows as w (tenant_id, user_id, started_at, sends)
    values (v_participant.tenant_id, v_participant.user_id, v_now, 1)
    on conflict on constraint send_windows_pkey do update
    set started_at = case
            when w.started_at <= v_now - interval '1 minute' then v_now
            else w.started_at
        end,
        sends = case
            when w.started_at <= v_now - interval '1 minute' then 1
            else w.sends + 1
        end
    returning w.sends into v_sends;
    if v_sends > v_limit then
        -- Takes the count back too, with the whole call.
        perform chat_private.raise_error('rate_limited');
    end if;
end;
$$;
revoke execute on function
chat_private.check_may_send(chat.conversations, chat.participants)
from public, anon, authenticated;
