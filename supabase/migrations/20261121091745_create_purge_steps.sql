-- Purpose: the steps of a purge: what hangs on messages goes, then tombstones, then receipts.
-- Objects: functions chat_private.empty_messages, chat_private.drop_tombstones,
--          chat_private.drop_receipts.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Everything that says anything and hangs on messages, counted by tenant and gone. Attachments leave
-- their files in the queue of orphaned objects, by a trigger. Who hid a message still has hidden its
-- tombstone. One statement, for each would read the conditions of triggers and be planned by itself.
create function chat_private.empty_messages(conversation_ids uuid [], seqs bigint [])
returns table (tenant_id uuid, counts jsonb)
language plpgsql
set search_path = ''
as $$
begin
    return query
    with emptied as materialized (
        select
            p.conversation_id,
            p.seq
        from unnest(empty_messages.conversation_ids, empty_messages.seqs)
            as p (conversation_id, seq)
    ),

    message_revisions as (
        delete from chat.message_revisions as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    reactions as (
        delete from chat.reactions as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    poll_votes as (
        delete from chat.poll_votes as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    mentions as (
        delete from chat.mentions as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    pins as (
        delete from chat.pins as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    saved_messages as (
        delete from chat.saved_messages as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    attachments as (
        delete from chat.attachments as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    notifications as (
        delete from chat.notifications as t
        using emptied as e
        where t.conversation_id = e.conversation_id and t.message_seq = e.seq
        returning t.conversation_id
    ),

    gone (name, conversation_id) as (
        select 'message_revisions', t.conversation_id from message_revisions as t
        union all
        select 'reactions', t.conversation_id from reactions as t
        union all
        select 'poll_votes', t.conversation_id from poll_votes as t
        union all
        select 'mentions', t.conversation_id from mentions as t
        union all
        select 'pins', t.conversation_id from pins as t
        union all
        select 'saved_messages', t.conversation_id from saved_messages as t
        union all
        select 'attachments', t.conversation_id from attachments as t
        union all
        select 'notifications', t.conversation_id from notifications as t
    ),

    numbers as (
        select
            -- Not a join, for which few may read all conversations; as below.
            (select c.tenant_id from chat.conversations as c where c.id = g.conversation_id)
                as tenant_id,
            g.name,
            count(*) as number
        from gone as g
        group by 1, g.name
    )

    select
        n.tenant_id,
        jsonb_object_agg(n.name, n.number)
    from numbers as n
    group by n.tenant_id;
end;
$$;
revoke execute on function chat_private.empty_messages(uuid [], bigint [])
from public, anon, authenticated;

-- Of tombstones that have nothing left to restore, those go that nobody can read and nothing refers
-- to. The others stay until then, without what they said: a reply keeps what it answers, and a thread
-- its beginning. Says how many went, by tenant.
create function chat_private.drop_tombstones(conversation_ids uuid [], seqs bigint [])
returns table (tenant_id uuid, dropped bigint)
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    -- Those to look at, and those that went.
    v_conversation_ids uuid [] := drop_tombstones.conversation_ids;
    v_seqs bigint [] := drop_tombstones.seqs;
    v_dropped_ids uuid [] := '{}'::uuid [];
    v_step_ids uuid [];
begin
    loop
        select
            array_agg(m.conversation_id),
            array_agg(m.seq)
        into v_conversation_ids, v_seqs
        from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
        inner join chat.messages as m on p.conversation_id = m.conversation_id and p.seq = m.seq
        where
            m.expires_at <= v_now
            and not exists (
                select
                from chat.messages as r
                where r.conversation_id = m.conversation_id and r.reply_to_seq = m.seq
            )
            and not exists (
                select
                from chat.messages as r
                where r.conversation_id = m.conversation_id and r.thread_root_seq = m.seq
            );
        exit when v_seqs is null;
        -- What somebody has of it alone goes too, of which their devices learn.
        perform chat_private.touch_private(t.conversation_id, t.user_id)
        from (
            select
                h.conversation_id,
                h.user_id
            from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
            inner join chat.hidden_messages as h
                on p.conversation_id = h.conversation_id and p.seq = h.message_seq
            union
            select
                d.conversation_id,
                d.user_id
            from unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
            inner join chat.drafts as d
                on
                    p.conversation_id = d.conversation_id
                    and p.seq in (d.reply_to_seq, d.thread_root_seq)
        ) as t;
        -- And again while that sets free what the dropped ones referred to.
        with dropped as (
            delete from chat.messages as m
            using unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
            where m.conversation_id = p.conversation_id and m.seq = p.seq
            returning
                m.conversation_id,
                m.reply_to_seq,
                m.thread_root_seq
        ),

        referred as (
            select
                d.conversation_id,
                d.reply_to_seq as seq
            from dropped as d
            union
            select
                d.conversation_id,
                d.thread_root_seq
            from dropped as d
        ),

        freed as (
            select
                r.conversation_id,
                r.seq
            from referred as r
            intersect
            select
                p.conversation_id,
                p.seq
            from unnest(drop_tombstones.conversation_ids, drop_tombstones.seqs)
                as p (conversation_id, seq)
        )

        select
            (select array_agg(d.conversation_id) from dropped as d),
            array_agg(f.conversation_id),
            array_agg(f.seq)
        into v_step_ids, v_conversation_ids, v_seqs
        from freed as f;
        v_dropped_ids := v_dropped_ids || v_step_ids;
    end loop;
    -- Of what stays: when to look again. Those that refer to it are themselves dropped a window
    -- after they expire, or later.
    update chat_private.deleted_messages as d
    set body = null,
        metadata = '{}',
        deleted_by = null,
        purged_at = coalesce(d.purged_at, v_now),
        due_at = greatest(
            v_now + interval '1 hour',
            coalesce(m.expires_at, 'infinity'),
            (
                select max(coalesce(r.expires_at, 'infinity'))
                from chat.messages as r
                where
                    r.conversation_id = m.conversation_id
                    and m.seq in (r.reply_to_seq, r.thread_root_seq)
            )
        )
    from chat.messages as m
    inner join unnest(drop_tombstones.conversation_ids, drop_tombstones.seqs)
        as p (conversation_id, seq)
        on m.conversation_id = p.conversation_id and m.seq = p.seq
    where d.conversation_id = m.conversation_id and d.message_seq = m.seq;
    return query
    select
        (select c.tenant_id from chat.conversations as c where c.id = d.id),
        count(*)
    from unnest(v_dropped_ids) as d (id)
    group by 1;
end;
$$;
revoke execute on function chat_private.drop_tombstones(uuid [], bigint [])
from public, anon, authenticated;

-- Moves of watermarks that say nothing of a message that is there: all that ended before the first.
-- Says how many went, by tenant.
create function chat_private.drop_receipts(conversation_ids uuid [])
returns table (tenant_id uuid, dropped bigint)
language plpgsql
set search_path = ''
as $$
begin
    return query
    with dropped as (
        delete from chat.receipts as r
        using
            (
                select
                    c.id,
                    coalesce(
                        (select min(m.seq) from chat.messages as m where m.conversation_id = c.id),
                        c.last_seq + 1
                    ) as first_seq
                from (select distinct unnest(drop_receipts.conversation_ids) as id) as u
                inner join chat.conversations as c on u.id = c.id
            ) as f
        -- By participant: of theirs alone, and by an index.
        inner join chat.participants as p on f.id = p.conversation_id
        where
            r.conversation_id = p.conversation_id
            and r.user_id = p.user_id
            and r.last_delivered_seq < f.first_seq
        returning p.tenant_id
    )

    select
        d.tenant_id,
        count(*)
    from dropped as d
    group by d.tenant_id;
end;
$$;
revoke execute on function chat_private.drop_receipts(uuid []) from public, anon, authenticated;
