-- Purpose: the list of conversations as a client shows it.
-- Objects: functions chat_private.own_participations, chat_private.counterpart; views chat.inbox,
--          chat.unread_totals, chat.unread_by_party.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: under their policies the planner takes these for a row or two, and may then ask
-- for each of them anew which conversations are the caller's. Gives rows of the caller alone.
create function chat_private.own_participations()
returns table (
    conversation_id uuid,
    user_id uuid,
    role chat.participant_role,
    party text,
    joined_at timestamptz,
    last_read_seq bigint,
    read_count bigint,
    unread_adjustment bigint,
    unread_from_seq bigint,
    muted_until timestamptz,
    is_pinned boolean,
    is_archived boolean
)
language plpgsql
stable
parallel safe
security definer
rows 200
set search_path = ''
as $$
begin
    return query
    select
        p.conversation_id,
        p.user_id,
        p.role,
        p.party,
        p.joined_at,
        p.last_read_seq,
        p.read_count,
        coalesce(s.unread_adjustment, 0),
        s.unread_from_seq,
        s.muted_until,
        coalesce(s.is_pinned, false),
        coalesce(s.is_archived, false)
    from chat.participants as p
    left join chat.participant_settings as s
        on p.conversation_id = s.conversation_id and p.user_id = s.user_id
    where p.user_id = auth.uid() and p.left_at is null;
end;
$$;
comment on function chat_private.own_participations() is
    'Where the caller takes part, with their own settings.';
revoke execute on function chat_private.own_participations() from public, anon;
grant execute on function chat_private.own_participations() to authenticated;

-- Security definer: the policy of profiles reads who is in any of the caller's conversations before it
-- shows one. Shows whom the caller shares this conversation with, as the policy does.
create function chat_private.counterpart(conversation_id uuid, user_id uuid)
returns jsonb
language plpgsql
stable
parallel safe
security definer
set search_path = ''
as $$
begin
    return (
        select
            jsonb_build_object(
                'id', f.id,
                'username', f.username,
                'display_name', f.display_name,
                'avatar_url', f.avatar_url
            )
        from chat.participants as mine
        inner join chat.participants as p on mine.conversation_id = p.conversation_id
        inner join chat.profiles as f on p.user_id = f.id
        where
            mine.conversation_id = counterpart.conversation_id
            and mine.user_id = auth.uid()
            and mine.left_at is null
            and p.user_id = counterpart.user_id
    );
end;
$$;
comment on function chat_private.counterpart(uuid, uuid) is
    'Somebody in a conversation of the caller''s, for its title and picture.';
revoke execute on function chat_private.counterpart(uuid, uuid) from public, anon;
grant execute on function chat_private.counterpart(uuid, uuid) to authenticated;

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
    c.status,
    c.title,
    c.subject_type,
    c.subject_id,
    c.slow_mode_seconds,
    c.participant_count,
    c.last_activity_at,
    c.last_seq,
    c.rev,
    c.epoch,
    p.role,
    p.party,
    p.joined_at,
    p.last_read_seq,
    c.message_count - p.read_count + p.unread_adjustment - case
        when c.expires_from <= (select chat_private.now()) then chat_private.expired_unread(c.id)
        else 0
    end as unread_count,
    case
        when c.last_mention_seq > coalesce(p.unread_from_seq - 1, p.last_read_seq)
            then coalesce((select n.number from chat_private.unread_mentions(array[c.id]) as n), 0)
        else 0
    end as unread_mention_count,
    coalesce(p.muted_until > (select chat_private.now()), false) as is_muted,
    p.is_pinned,
    p.is_archived,
    case
        when c.user_low_id = p.user_id then chat_private.counterpart(c.id, c.user_high_id)
        when c.user_high_id = p.user_id then chat_private.counterpart(c.id, c.user_low_id)
    end as counterpart,
    (
        select to_jsonb(m)
        from chat.messages as m
        where m.conversation_id = c.id
        order by m.seq desc
        limit 1
    ) as last_message
from chat_private.own_participations() as p
inner join chat.conversations as c on p.conversation_id = c.id;
comment on view chat.inbox is
    'The caller''s conversations with their counterpart, newest readable message and exact unread '
    'counts. Page by (last_activity_at, conversation_id), newest first.';
grant select on chat.inbox to authenticated;

-- Not from the inbox, which has no column that says where to look for mentions: everywhere would be half
-- of the work.
create view chat.unread_totals
with (security_invoker = true)
as
select
    c.tenant_id,
    count(*) filter (where u.number > 0) as conversation_count,
    sum(u.number)::bigint as unread_count,
    coalesce(
        sum(u.number) filter (where p.muted_until is null or p.muted_until <= (select chat_private.now())),
        0
    )::bigint as unmuted_unread_count,
    -- At once, which costs a third of one by one.
    coalesce(
        (
            select n.number
            from chat_private.unread_mentions(
                array_agg(c.id) filter (
                    where c.last_mention_seq > coalesce(p.unread_from_seq - 1, p.last_read_seq)
                )
            ) as n
        ),
        0
    ) as unread_mention_count
from chat_private.own_participations() as p
inner join chat.conversations as c on p.conversation_id = c.id
cross join lateral (
    select
        c.message_count - p.read_count + p.unread_adjustment - case
            when c.expires_from <= (select chat_private.now()) then chat_private.expired_unread(c.id)
            else 0
        end as number
) as u
group by c.tenant_id;
comment on view chat.unread_totals is
    'The caller''s unread messages and mentions in total, a row for each tenant; exact.';
grant select on chat.unread_totals to authenticated;

create view chat.unread_by_party
with (security_invoker = true)
as
select
    p.conversation_id,
    p.party,
    min(
        c.message_count - p.read_count - case
            when c.expires_from <= (select chat_private.now())
                then chat_private.expired_unread(c.id, p.user_id)
            else 0
        end
    ) as unread_count
from chat.participants as p
inner join chat.conversations as c on p.conversation_id = c.id
where p.left_at is null and p.party is not null
group by p.conversation_id, p.party;
comment on view chat.unread_by_party is
    'How many messages nobody of a party has read yet: the count of whoever of it has read most.';
grant select on chat.unread_by_party to authenticated;
