-- Puts a conversation right whose messages are all there: counters, reads, and what hangs on messages.

-- Counters, from what is there. Of each conversation's messages one pass for every place at which a
-- watermark stands, and of each person's own messages after theirs one: not one a participant.
create function parley_import.recount(ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    update chat.conversations as c
    set participant_count = (
            select count(*)
            from chat.participants as p
            where p.conversation_id = c.id and p.left_at is null
        ),
        expires_from = (
            select min(m.expires_at)
            from chat.messages as m
            where m.conversation_id = c.id and m.deleted_at is null
        )
    where c.id = any (recount.ids);
    update chat.participants as p
    set read_count = c.message_count - a.number + (
            select count(*)
            from chat.messages as m
            where
                m.conversation_id = p.conversation_id
                and m.sender_id = p.user_id
                and m.seq > p.last_read_seq
                and m.kind <> 'system'
                and m.deleted_at is null
        )
    from chat.conversations as c
    cross join lateral (
        select
            w.last_read_seq,
            (
                select count(*)
                from chat.messages as m
                where
                    m.conversation_id = c.id
                    and m.seq > w.last_read_seq
                    and m.kind <> 'system'
                    and m.deleted_at is null
            ) as number
        from (
            select distinct q.last_read_seq
            from chat.participants as q
            where q.conversation_id = c.id
        ) as w
    ) as a
    where
        c.id = any (recount.ids)
        and p.conversation_id = c.id
        and p.last_read_seq = a.last_read_seq;
end;
$$;

-- Counters, by what a batch added. A conversation of a million messages is not counted anew for each
-- batch of it.
create function parley_import.count_on(batch integer, ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    create temporary table added on commit drop as
    select
        m.conversation_id,
        m.sender_id,
        m.deleted_at is not null as is_deleted,
        count(*) filter (where m.kind <> 'system') as number,
        min(m.expires_at) filter (where m.deleted_at is null) as expires_at
    from parley_import.stretches as s
    inner join chat.messages as m
        on
            s.conversation_id = m.conversation_id
            and m.seq between s.first_seq and s.last_seq
    where s.batch = count_on.batch and s.conversation_id = any (count_on.ids)
    group by m.conversation_id, m.sender_id, m.deleted_at is not null;
    update chat.conversations as c
    set expires_from = least(c.expires_from, a.expires_at)
    from (
        select
            d.conversation_id,
            min(d.expires_at) as expires_at
        from added as d
        group by d.conversation_id
    ) as a
    where c.id = a.conversation_id;
    -- Not unread: one's own, and for everybody those that are deleted.
    update chat.participants as p
    set read_count = p.read_count + a.number
    from (
        select
            q.conversation_id,
            q.user_id,
            sum(d.number) as number
        from added as d
        inner join chat.participants as q
            on
                d.conversation_id = q.conversation_id
                and (d.is_deleted or d.sender_id = q.user_id)
        group by q.conversation_id, q.user_id
    ) as a
    where p.conversation_id = a.conversation_id and p.user_id = a.user_id;
    drop table added;
end;
$$;

-- What hangs on messages, once all messages of these conversations, which are open, are there. The
-- ids are asked of each table, not left to a join: tables grow while they are filled, and a plan by
-- what they were would read all of one for each batch.
create function parley_import.settle(ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform set_config('chat.importing', 'on', true);
    update chat.messages as m
    set thread_count = n.number
    from (
        select
            r.conversation_id,
            r.thread_root_seq as seq,
            count(*) filter (where r.deleted_at is null) as number
        from chat.messages as r
        where r.conversation_id = any (settle.ids) and r.thread_root_seq is not null
        group by r.conversation_id, r.thread_root_seq
    ) as n
    where
        m.conversation_id = n.conversation_id and m.seq = n.seq and m.thread_count <> n.number;
    insert into chat.reactions (conversation_id, message_seq, user_id, emoji, created_at)
    select f.conversation_id, f.seq, f.user_id, f.emoji, f.created_at
    from parley_import.found_reactions as f
    where f.conversation_id = any (settle.ids)
    on conflict do nothing;
    insert into chat.hidden_messages (conversation_id, message_seq, user_id, hidden_at)
    select f.conversation_id, f.seq, f.user_id, f.hidden_at
    from parley_import.found_hidden as f
    where f.conversation_id = any (settle.ids)
    on conflict do nothing;

    -- Reads: where the watermarks stand, and each of their moves.
    update chat.participants as p
    set last_read_seq = greatest(p.last_read_seq, m.last_read_seq),
        last_delivered_seq = greatest(p.last_delivered_seq, m.last_delivered_seq)
    from parley_import.members as m
    where
        m.conversation_id = any (settle.ids)
        and p.conversation_id = any (settle.ids)
        and p.conversation_id = m.conversation_id
        and p.user_id = m.user_id
        and (p.last_read_seq < m.last_read_seq or p.last_delivered_seq < m.last_delivered_seq);
    with moved as (
        insert into chat.receipts as r (
            conversation_id, user_id, rev, last_read_seq, last_delivered_seq, moved_at
        )
        select
            v.conversation_id,
            v.user_id,
            greatest(c.rev, 1) + row_number() over (
                partition by v.conversation_id
                order by v.moved_at, v.last_delivered_seq, v.last_read_seq, v.user_id
            ),
            v.last_read_seq,
            v.last_delivered_seq,
            v.moved_at
        from parley_import.moves as v
        inner join chat.conversations as c on v.conversation_id = c.id
        where
            v.conversation_id = any (settle.ids)
            and c.id = any (settle.ids)
            and not exists (
                select
                from chat.receipts as x
                where
                    x.conversation_id = any (settle.ids)
                    and x.conversation_id = v.conversation_id
                    and x.user_id = v.user_id
                    and x.last_read_seq = v.last_read_seq
                    and x.last_delivered_seq = v.last_delivered_seq
                    and x.moved_at = v.moved_at
            )
        returning r.conversation_id, r.user_id, r.rev
    ),

    last_moves as (
        update chat.participants as p
        set rev = l.rev
        from (
            select
                m.conversation_id,
                m.user_id,
                max(m.rev) as rev
            from moved as m
            group by m.conversation_id, m.user_id
        ) as l
        where
            p.conversation_id = any (settle.ids)
            and p.conversation_id = l.conversation_id
            and p.user_id = l.user_id
        returning p.conversation_id, p.rev
    )

    update chat.conversations as c
    set rev = l.rev
    from (
        select
            m.conversation_id,
            max(m.rev) as rev
        from last_moves as m
        group by m.conversation_id
    ) as l
    where c.id = l.conversation_id;
    update chat.conversations as c
    set rev = 1
    where c.id = any (settle.ids) and c.rev = 0;
    perform parley_import.recount(settle.ids);

    -- What only they know. A row is made once: each change of it would count.
    insert into chat.participant_settings (
        conversation_id, user_id, muted_until, is_pinned, is_archived
    )
    select
        m.conversation_id,
        m.user_id,
        m.muted_until,
        m.is_pinned,
        m.is_archived
    from parley_import.members as m
    where
        m.conversation_id = any (settle.ids)
        and (
            m.muted_until is not null
            or m.is_pinned
            or m.is_archived
            or exists (
                select
                from parley_import.found_hidden as f
                where f.conversation_id = m.conversation_id and f.user_id = m.user_id
            )
        )
    on conflict do nothing;
    update chat.participant_settings as s
    set unread_from_seq = s.unread_from_seq
    where
        s.conversation_id = any (settle.ids)
        and s.unread_adjustment <> chat_private.unread_adjustment(s);
    -- Whoever wrote in a thread follows it.
    insert into chat.thread_reads (
        conversation_id, thread_root_seq, user_id, last_read_seq, is_following
    )
    select
        w.conversation_id,
        w.thread_root_seq,
        w.user_id,
        greatest(w.last_seq, w.thread_root_seq, p.last_read_seq),
        true
    from (
        select
            m.conversation_id,
            m.thread_root_seq,
            u.user_id,
            max(m.seq) filter (where m.sender_id = u.user_id) as last_seq
        from chat.messages as m
        inner join chat.messages as r
            on m.conversation_id = r.conversation_id and m.thread_root_seq = r.seq
        cross join lateral (values (m.sender_id), (r.sender_id)) as u (user_id)
        where m.conversation_id = any (settle.ids) and u.user_id is not null
        group by m.conversation_id, m.thread_root_seq, u.user_id
    ) as w
    inner join chat.participants as p
        on w.conversation_id = p.conversation_id and w.user_id = p.user_id and p.left_at is null
    on conflict do nothing;
    update parley_import.targets as t
    set is_settled = true
    where t.conversation_id = any (settle.ids);
end;
$$;

-- The conversations that no message was left for: empty ones, and those where only reads, reactions
-- or people changed.
create function parley_import.settle_some(number integer)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_ids constant uuid [] := array(
        select t.conversation_id
        from parley_import.targets as t
        where not t.is_settled
        order by t.conversation_id
        limit settle_some.number
    );
begin
    perform set_config('chat.importing', 'on', true);
    perform parley_import.open_conversations(v_ids);
    perform parley_import.settle(v_ids);
    return cardinality(v_ids);
end;
$$;
