-- Purpose: proof that the counters are what the messages say.
-- Objects: function chat.check_counters.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Security definer: reads everything; for the service role alone.
create function chat_private.check_counters(for_conversation_id uuid)
returns table (conversation_id uuid, user_id uuid, counter text, counted bigint, actual bigint)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query
    with conversations as (
        select c.*
        from chat.conversations as c
        where check_counters.for_conversation_id is null
            or c.id = check_counters.for_conversation_id
    ),

    checks as (
        select
            p.conversation_id,
            p.user_id,
            'unread_count' as counter,
            c.message_count - p.read_count as counted,
            c.message_count - chat_private.read_count_at(c, p.user_id, p.last_read_seq) as actual
        from conversations as c
        inner join chat.participants as p on c.id = p.conversation_id
        union all
        select
            s.conversation_id,
            s.user_id,
            'unread_adjustment',
            s.unread_adjustment,
            chat_private.unread_adjustment(s)
        from conversations as c
        inner join chat.participant_settings as s on c.id = s.conversation_id
        union all
        select
            c.id,
            null,
            'participant_count',
            c.participant_count,
            (
                select count(*)
                from chat.participants as p
                where p.conversation_id = c.id and p.left_at is null
            )
        from conversations as c
        union all
        -- It may be past the newest message, once that is purged, but never before it.
        select
            c.id,
            null,
            'last_seq',
            c.last_seq,
            greatest(
                c.last_seq,
                (select max(m.seq) from chat.messages as m where m.conversation_id = c.id)
            )
        from conversations as c
        union all
        -- It may be past the newest mention, once that is taken back, but never before it.
        select
            c.id,
            null,
            'last_mention_seq',
            c.last_mention_seq,
            greatest(
                c.last_mention_seq,
                (select max(n.message_seq) from chat.mentions as n where n.conversation_id = c.id)
            )
        from conversations as c
        union all
        select
            m.conversation_id,
            null,
            'thread_count of ' || m.seq,
            m.thread_count,
            (
                select count(*)
                from chat.messages as t
                where
                    t.conversation_id = m.conversation_id
                    and t.thread_root_seq = m.seq
                    and t.deleted_at is null
            )
        from conversations as c
        inner join chat.messages as m on c.id = m.conversation_id
        where m.thread_count > 0 or exists (
            select
            from chat.messages as t
            where t.conversation_id = m.conversation_id and t.thread_root_seq = m.seq
        )
    )

    select
        k.conversation_id,
        k.user_id,
        k.counter,
        k.counted,
        k.actual
    from checks as k
    where k.counted is distinct from k.actual;
end;
$$;
revoke execute on function chat_private.check_counters(uuid) from public, anon, authenticated;
grant execute on function chat_private.check_counters(uuid) to service_role;

create function chat.check_counters(for_conversation_id uuid default null)
returns table (conversation_id uuid, user_id uuid, counter text, counted bigint, actual bigint)
language sql
stable
set search_path = ''
begin atomic
select * from chat_private.check_counters(for_conversation_id);
end;
comment on function chat.check_counters(uuid) is
    'Recomputes every counter of one conversation, or of all, from the messages and returns those '
    'that differ: none, unless something is wrong. For the service role.';
revoke execute on function chat.check_counters(uuid) from public, anon, authenticated;
grant execute on function chat.check_counters(uuid) to service_role;
