-- Purpose: how many unread messages can no longer be read.
-- Objects: functions chat_private.count_expired_unread, chat_private.expired_unread.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- How many of somebody's unread messages can no longer be read: what their counters still count. Asked
-- only when something of the conversation has expired. `by_watermark` leaves out what only they know.
create function chat_private.count_expired_unread(
    conversation_id uuid,
    user_id uuid,
    by_watermark boolean default false
)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
    return (
        select count(*)
        from chat.participants as p
        inner join chat.messages as m on p.conversation_id = m.conversation_id
        left join chat.participant_settings as s
            on
                p.conversation_id = s.conversation_id
                and p.user_id = s.user_id
                and not count_expired_unread.by_watermark
        where
            p.conversation_id = count_expired_unread.conversation_id
            and p.user_id = count_expired_unread.user_id
            and m.seq > coalesce(s.unread_from_seq - 1, p.last_read_seq)
            and m.expires_at <= chat_private.now()
            and m.kind <> 'system'
            and m.sender_id is distinct from p.user_id
            and m.deleted_at is null
            and (
                count_expired_unread.by_watermark
                or not exists (
                    select
                    from chat.hidden_messages as h
                    where
                        h.conversation_id = m.conversation_id
                        and h.message_seq = m.seq
                        and h.user_id = p.user_id
                )
            )
    );
end;
$$;
revoke execute on function chat_private.count_expired_unread(uuid, uuid, boolean)
from public, anon, authenticated;

-- Security definer: the policy of messages hides what has expired, from counting too. Tells a
-- participant how many unread messages can no longer be read: of their own; or, given a user_id, of
-- somebody's by their watermark, which is all that others know.
create function chat_private.expired_unread(conversation_id uuid, user_id uuid default null)
returns bigint
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    perform chat_private.require_participant(expired_unread.conversation_id);
    return chat_private.count_expired_unread(
        expired_unread.conversation_id,
        coalesce(expired_unread.user_id, auth.uid()),
        by_watermark => expired_unread.user_id is not null
    );
end;
$$;
revoke execute on function chat_private.expired_unread(uuid, uuid) from public, anon;
grant execute on function chat_private.expired_unread(uuid, uuid) to authenticated;
