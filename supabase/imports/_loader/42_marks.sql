-- What hangs on messages, once these have their numbers: reads, reactions, what somebody deleted for
-- themselves, files.

create function parley_import.number_marks(shard integer, shards integer)
returns void
language plpgsql
set search_path = ''
as $$
begin
    create temporary table reads on commit drop as
    select
        l.conversation_id,
        u.user_id,
        l.seq,
        r.read_at,
        coalesce(r.delivered_at, r.read_at) as delivered_at,
        r.delivered_at is distinct from r.read_at as has_delivery
    from parley_import.receipts as r
    inner join parley_import.load as l on r.message = l.external_id
    inner join parley_import.users as u on r.person = u.external_id
    where
        u.user_id is not null
        and coalesce(r.delivered_at, r.read_at) is not null
        and parley_import.is_of_shard(l.conversation_id, number_marks.shard, number_marks.shards);
    analyze reads;

    update parley_import.members as m
    set last_read_seq = greatest(r.seq, p.seq, 0),
        last_delivered_seq = greatest(r.seq, r.delivered_seq, p.seq, 0),
        read_at_seq = case when p.seq > coalesce(r.seq, 0) then p.seq end
    from parley_import.members as n
    left join (
        select
            d.conversation_id,
            d.user_id,
            max(d.seq) filter (where d.read_at is not null) as seq,
            max(d.seq) as delivered_seq
        from reads as d
        group by d.conversation_id, d.user_id
    ) as r on n.conversation_id = r.conversation_id and n.user_id = r.user_id
    left join lateral (
        select l.seq
        from parley_import.load as l
        where
            n.read_at is not null
            and l.conversation_id = n.conversation_id
            and l.created_at <= n.read_at
        order by l.seq desc
        limit 1
    ) as p on true
    where
        m.conversation_id = n.conversation_id
        and m.user_id = n.user_id
        and parley_import.is_of_shard(n.conversation_id, number_marks.shard, number_marks.shards);

    -- A move of the watermark a message read; of those read at the same time, one. Of a message that
    -- somebody read twice, the first time.
    insert into parley_import.moves (
        conversation_id, user_id, last_read_seq, last_delivered_seq, moved_at
    )
    select
        d.conversation_id,
        d.user_id,
        d.seq,
        greatest(m.last_delivered_seq, d.seq),
        d.read_at
    from (
        select
            f.*,
            lead(f.read_at) over (
                partition by f.conversation_id, f.user_id
                order by f.seq
            ) as next_at
        from (
            select
                r.*,
                lag(r.seq) over (
                    partition by r.conversation_id, r.user_id
                    order by r.seq, r.read_at
                ) as seq_before
            from reads as r
            where r.read_at is not null
        ) as f
        where f.seq_before is distinct from f.seq
    ) as d
    inner join parley_import.members as m
        on d.conversation_id = m.conversation_id and d.user_id = m.user_id
    where d.next_at is distinct from d.read_at
    union all
    select
        m.conversation_id,
        m.user_id,
        m.read_at_seq,
        m.last_delivered_seq,
        m.read_at
    from parley_import.members as m
    where
        m.read_at_seq is not null
        and parley_import.is_of_shard(m.conversation_id, number_marks.shard, number_marks.shards);
    if exists (select from reads as r where r.has_delivery) then
        insert into parley_import.moves (
            conversation_id, user_id, last_read_seq, last_delivered_seq, moved_at
        )
        select
            d.conversation_id,
            d.user_id,
            0,
            d.seq,
            d.delivered_at
        from (
            select
                r.conversation_id,
                r.user_id,
                r.seq,
                min(r.delivered_at) as delivered_at,
                lead(min(r.delivered_at)) over (
                    partition by r.conversation_id, r.user_id
                    order by r.seq
                ) as next_at
            from reads as r
            group by r.conversation_id, r.user_id, r.seq
            having bool_or(r.has_delivery)
        ) as d
        where d.next_at is distinct from d.delivered_at;
    end if;
    drop table reads;

    -- At once with their successors: a run that is killed forgets none that was brought here.
    delete from parley_import.found_reactions as f
    where parley_import.is_of_shard(f.conversation_id, number_marks.shard, number_marks.shards);
    insert into parley_import.found_reactions (conversation_id, seq, user_id, emoji, created_at)
    select distinct on (l.conversation_id, l.seq, u.user_id, r.emoji)
        l.conversation_id,
        l.seq,
        u.user_id,
        r.emoji,
        coalesce(r.created_at, l.created_at)
    from parley_import.reactions as r
    inner join parley_import.load as l on r.message = l.external_id and l.part = 1
    inner join parley_import.users as u on r.person = u.external_id
    where
        u.user_id is not null
        and parley_import.is_of_shard(l.conversation_id, number_marks.shard, number_marks.shards)
    order by l.conversation_id, l.seq, u.user_id, r.emoji, r.created_at;
    insert into parley_import.found_hidden (conversation_id, seq, user_id, hidden_at)
    select
        l.conversation_id,
        l.seq,
        u.user_id,
        min(coalesce(h.hidden_at, l.created_at))
    from parley_import.hidden as h
    inner join parley_import.load as l on h.message = l.external_id
    inner join parley_import.users as u on h.person = u.external_id
    where
        u.user_id is not null
        and parley_import.is_of_shard(l.conversation_id, number_marks.shard, number_marks.shards)
    group by l.conversation_id, l.seq, u.user_id;
    -- Whoever reacted or deleted for themselves took part, if the source does not say so.
    insert into parley_import.members (
        conversation_id, user_id, role, joined_at, left_at, is_pinned, is_archived
    )
    select
        f.conversation_id,
        f.user_id,
        'member',
        min(f.at),
        max(f.at),
        false,
        false
    from (
        select r.conversation_id, r.user_id, r.created_at as at
        from parley_import.found_reactions as r
        union all
        select h.conversation_id, h.user_id, h.hidden_at from parley_import.found_hidden as h
        union all
        select m.conversation_id, m.user_id, m.moved_at from parley_import.moves as m
    ) as f
    where parley_import.is_of_shard(f.conversation_id, number_marks.shard, number_marks.shards)
    group by f.conversation_id, f.user_id
    on conflict do nothing;

    insert into parley_import.found_files (
        external_id, conversation_id, seq, number, address, path, name, mime_type, size_bytes,
        width, height
    )
    select
        f.external_id,
        l.conversation_id,
        l.seq,
        row_number() over (partition by f.message order by f.position, f.external_id),
        f.address,
        concat_ws(
            '/',
            t.tenant_id,
            l.conversation_id,
            parley_import.make_id('file', f.external_id),
            regexp_replace(f.name, '[^A-Za-z0-9._-]', '_', 'g')
        ),
        f.name,
        f.mime_type,
        f.size_bytes,
        f.width,
        f.height
    from parley_import.files as f
    inner join parley_import.load as l on f.message = l.external_id and l.part = 1
    inner join parley_import.targets as t on l.conversation_id = t.conversation_id
    where
        parley_import.choice('files') = 'upload'
        and parley_import.is_of_shard(l.conversation_id, number_marks.shard, number_marks.shards)
        and not exists (
            select
            from parley_import.conflicts as c
            where c.kind = 'bad_file' and c.external_id = f.external_id
        )
    on conflict do nothing;
end;
$$;
