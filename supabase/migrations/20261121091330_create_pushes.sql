-- Purpose: whom to push to, and what, asked at the moment of pushing.
-- Objects: functions chat.list_message_pushes, chat.list_notification_pushes.
-- Locks:   none on existing tables.
-- Breaking: no.
--
-- Nothing is queued here: a message writes no row for each device, and no copy of its text waits
-- somewhere while it is deleted, read, hidden or while its reader is removed or muted.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: reads tokens, which nobody can; for the service role alone. Asks for each
-- participant what they could read and want to be told at this moment.
create function chat_private.list_message_pushes(conversation_id uuid, seq bigint)
returns table (
    user_id uuid,
    device_id uuid,
    provider text,
    token text,
    reason text,
    title text,
    body text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
begin
    return query
    with receivers as (
        select
            p.user_id,
            case
                when 'mention' <> all (coalesce(f.types_off, '{}')) and exists (
                    select
                    from chat.mentions as n
                    where
                        n.conversation_id = m.conversation_id
                        and n.message_seq = m.seq
                        and (n.user_id = p.user_id or n.user_id is null)
                ) then 'mention'
                when 'reply' <> all (coalesce(f.types_off, '{}')) and exists (
                    select
                    from chat.messages as r
                    where
                        r.conversation_id = m.conversation_id
                        and r.seq in (m.reply_to_seq, m.thread_root_seq)
                        and r.sender_id = p.user_id
                ) then 'reply'
                else 'message'
            end as reason,
            c.kind,
            coalesce(f.push, 'all') as push,
            coalesce(a.display_name, a.username) as sender,
            coalesce(c.title, a.display_name, a.username) as title,
            left(m.body, 200) as body
        from chat.messages as m
        inner join chat.conversations as c on m.conversation_id = c.id
        inner join chat.participants as p on m.conversation_id = p.conversation_id
        left join chat.profiles as a on m.sender_id = a.id
        left join chat.participant_settings as s
            on p.conversation_id = s.conversation_id and p.user_id = s.user_id
        left join chat.notification_preferences as f on p.user_id = f.user_id
        where
            m.conversation_id = list_message_pushes.conversation_id
            and m.seq = list_message_pushes.seq
            and m.kind <> 'system'
            and m.deleted_at is null
            and (m.expires_at is null or m.expires_at > v_now)
            and p.left_at is null
            and p.user_id is distinct from m.sender_id
            and p.visible_from_seq <= m.seq
            and p.last_read_seq < m.seq
            and (s.muted_until is null or s.muted_until <= v_now)
            and exists (select from chat_private.push_tokens as t where t.user_id = p.user_id)
            and not exists (
                select
                from chat.hidden_messages as h
                where
                    h.conversation_id = m.conversation_id
                    and h.message_seq = m.seq
                    and h.user_id = p.user_id
            )
            and not chat_private.is_blocked_between(p.user_id, m.sender_id)
            and (f.user_id is null or not chat_private.is_quiet(f, v_now))
    )

    select
        r.user_id,
        t.device_id,
        t.provider,
        t.token,
        r.reason,
        r.title,
        case when r.kind = 'direct' or r.body is null then r.body else r.sender || ': ' || r.body end
    from receivers as r
    inner join chat_private.push_tokens as t on r.user_id = t.user_id
    where
        r.push = 'all'
        or (r.push = 'mentions' and (r.reason <> 'message' or r.kind = 'direct'));
end;
$$;
revoke execute on function chat_private.list_message_pushes(uuid, bigint)
from public, anon, authenticated;
grant execute on function chat_private.list_message_pushes(uuid, bigint) to service_role;

create function chat.list_message_pushes(conversation_id uuid, seq bigint)
returns table (
    user_id uuid,
    device_id uuid,
    provider text,
    token text,
    reason text,
    title text,
    body text
)
language sql
stable
set search_path = ''
begin atomic
select l.* from chat_private.list_message_pushes(conversation_id, seq) as l;
end;
comment on function chat.list_message_pushes(uuid, bigint) is
    'The devices to push a message to at this moment, and what to show; for the service role. '
    'Mentions and replies are among them. Nobody who has read it, muted the conversation, has '
    'quiet hours or could not read it now.';
revoke execute on function chat.list_message_pushes(uuid, bigint)
from public, anon, authenticated;
grant execute on function chat.list_message_pushes(uuid, bigint) to service_role;

-- Security definer: as above.
create function chat_private.list_notification_pushes(notification_id bigint)
returns table (
    user_id uuid,
    device_id uuid,
    provider text,
    token text,
    reason text,
    title text,
    body text
)
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
begin
    return query
    select
        n.user_id,
        t.device_id,
        t.provider,
        t.token,
        n.type::text,
        coalesce(n.title, a.display_name, a.username),
        case when n.type = 'added_to_conversation' then c.title else n.body end
    from chat.notifications as n
    inner join chat_private.push_tokens as t on n.user_id = t.user_id
    left join chat.profiles as a on n.actor_id = a.id
    left join chat.conversations as c on n.conversation_id = c.id
    left join chat.notification_preferences as f on n.user_id = f.user_id
    where
        n.id = list_notification_pushes.notification_id
        and n.read_at is null
        -- These come with their message.
        and n.type not in ('mention', 'reply')
        and coalesce(f.push, 'all') = 'all'
        and (f.user_id is null or not chat_private.is_quiet(f, v_now))
        and chat_private.wants_notification(n.user_id, n.type, n.conversation_id)
        and not chat_private.is_blocked_between(n.user_id, n.actor_id)
        and (
            n.conversation_id is null
            or exists (
                select
                from chat.participants as p
                where
                    p.conversation_id = n.conversation_id
                    and p.user_id = n.user_id
                    and p.left_at is null
                    and (n.message_seq >= p.visible_from_seq) is not false
            )
        )
        and (
            n.message_seq is null
            or exists (
                select
                from chat.messages as m
                where
                    m.conversation_id = n.conversation_id
                    and m.seq = n.message_seq
                    and m.deleted_at is null
                    and (m.expires_at is null or m.expires_at > v_now)
                    and not exists (
                        select
                        from chat.hidden_messages as h
                        where
                            h.conversation_id = m.conversation_id
                            and h.message_seq = m.seq
                            and h.user_id = n.user_id
                    )
            )
        );
end;
$$;
revoke execute on function chat_private.list_notification_pushes(bigint)
from public, anon, authenticated;
grant execute on function chat_private.list_notification_pushes(bigint) to service_role;

create function chat.list_notification_pushes(notification_id bigint)
returns table (
    user_id uuid,
    device_id uuid,
    provider text,
    token text,
    reason text,
    title text,
    body text
)
language sql
stable
set search_path = ''
begin atomic
select l.* from chat_private.list_notification_pushes(notification_id) as l;
end;
comment on function chat.list_notification_pushes(bigint) is
    'The devices to push a notification to at this moment, and what to show; for the service role. '
    'None for a mention or reply: those come with their message.';
revoke execute on function chat.list_notification_pushes(bigint)
from public, anon, authenticated;
grant execute on function chat.list_notification_pushes(bigint) to service_role;
