-- Purpose: the list of conversations as a client shows it.
-- Objects: view chat.inbox.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Views ----------------------------------------------------------------------------------------

-- The last message and the counterpart are scalar subqueries on purpose: with a limit, PostgreSQL
-- computes them after sorting, for the rows of the page alone.
create view chat.inbox
with (security_invoker = true)
as
select
    c.id as conversation_id,
    c.tenant_id,
    c.kind,
    c.title,
    c.participant_count,
    c.last_activity_at,
    c.last_seq,
    c.rev,
    c.epoch,
    p.role,
    p.joined_at,
    p.last_read_seq,
    c.message_count - p.read_count as unread_count,
    coalesce(s.muted_until > (select chat_private.now()), false) as is_muted,
    coalesce(s.is_pinned, false) as is_pinned,
    coalesce(s.is_archived, false) as is_archived,
    (
        select
            jsonb_build_object(
                'id', f.id,
                'username', f.username,
                'display_name', f.display_name,
                'avatar_url', f.avatar_url
            )
        from chat.profiles as f
        where
            f.id = case
                when c.user_low_id = p.user_id then c.user_high_id
                when c.user_high_id = p.user_id then c.user_low_id
            end
    ) as counterpart,
    (
        select to_jsonb(m)
        from chat.messages as m
        where m.conversation_id = c.id
        order by m.seq desc
        limit 1
    ) as last_message
from chat.participants as p
inner join chat.conversations as c on p.conversation_id = c.id
left join chat.participant_settings as s
    on p.conversation_id = s.conversation_id and p.user_id = s.user_id
where p.user_id = (select auth.uid()) and p.left_at is null;
comment on view chat.inbox is
    'The caller''s conversations with their counterpart, newest readable message and exact unread '
    'count. Page by (last_activity_at, conversation_id), newest first.';
grant select on chat.inbox to authenticated;
