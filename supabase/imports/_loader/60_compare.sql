-- Compares what the source says with what is there, conversation by conversation. It asks Parley's
-- tables and the rows just filled from the source; of what the loader noted, only which messages it
-- made, to know those that the source has no more.

create function parley_import.compare()
returns table (conversation text, problem text, number bigint, examples text)
language plpgsql
set search_path = ''
as $$
begin
    create temporary table expected on commit drop as
    select
        m.conversation,
        r.conversation_id,
        m.external_id,
        p.part,
        parley_import.make_id(
            'message', m.external_id || case when p.part > 1 then '#' || p.part else '' end
        ) as id,
        u.user_id as sender_id,
        m.created_at,
        m.position,
        case
            when m.deleted_at is null and length(m.body) > 10000
                then substr(m.body, 1 + 10000 * (p.part - 1), 10000)
            else m.body
        end as body,
        m.edited_at,
        m.deleted_at,
        case when p.part = 1 then m.reply_to end as reply_to,
        m.thread_root
    from parley_import.messages as m
    inner join parley_import.rooms as r on m.conversation = r.external_id
    left join parley_import.users as u on m.sender = u.external_id
    cross join lateral generate_series(
        1,
        case
            when m.deleted_at is null then greatest(1, ceil(length(m.body) / 10000.0)::integer)
            else 1
        end
    ) as p (part)
    where not exists (select from parley_import.left_out as x where x.external_id = m.external_id);
    create temporary table found on commit drop as
    select
        m.conversation_id,
        m.id,
        m.seq,
        m.sender_id,
        m.created_at,
        coalesce(m.body, d.body) as body,
        m.edited_at,
        m.deleted_at,
        m.reply_to_seq,
        m.thread_root_seq
    from chat.messages as m
    left join chat_private.deleted_messages as d
        on m.conversation_id = d.conversation_id and m.seq = d.message_seq
    where m.conversation_id in (select r.conversation_id from parley_import.rooms as r)
    or m.conversation_id in (select t.conversation_id from parley_import.targets as t);
    create unique index on expected (id);
    create unique index on found (id);
    analyze expected, found;

    return query
    with pairs as (
        select
            e.*,
            f.id is null as is_missing,
            f.conversation_id as found_in,
            f.seq,
            f.sender_id as found_sender_id,
            f.created_at as found_created_at,
            f.body as found_body,
            f.edited_at as found_edited_at,
            f.deleted_at as found_deleted_at
        from expected as e
        left join found as f on e.id = f.id
    ),

    problems as (
        select p.conversation, v.problem, p.external_id as example
        from pairs as p
        cross join lateral (
            values
            ('messages are missing', p.is_missing),
            ('messages are in another conversation', p.found_in <> p.conversation_id),
            (
                'messages have another author',
                not p.is_missing and p.found_sender_id is distinct from p.sender_id
            ),
            ('messages have another time', p.found_created_at <> p.created_at),
            (
                'messages have another text',
                not p.is_missing
                and md5(coalesce(p.found_body, '')) <> md5(coalesce(p.body, ''))
            ),
            (
                'messages are deleted, or not, unlike in the source',
                not p.is_missing and p.found_deleted_at is distinct from p.deleted_at
            ),
            (
                'messages were edited at another time',
                not p.is_missing and p.found_edited_at is distinct from p.edited_at
            )
        ) as v (problem, is_so)
        where v.is_so
        union all
        select
            coalesce(
                (
                    select min(r.external_id)
                    from parley_import.rooms as r
                    where r.conversation_id = f.conversation_id
                ),
                f.conversation_id::text
            ),
            'messages are no longer in the source',
            l.external_id
        from found as f
        inner join parley_import.load as l on f.id = l.id
        where
            not exists (select from expected as e where e.id = f.id)
            and not (
                f.deleted_at is not null
                and parley_import.choice('vanished') is not distinct from 'delete'
            )
        union all
        -- Each message against the one before; what a later run brought comes after.
        select o.conversation, 'messages are not in the order of the source', o.external_id
        from (
            select
                p.conversation,
                p.external_id,
                b.run,
                lag(b.run) over w as run_before,
                (p.created_at, p.position, p.external_id, p.part)
                < lag(row(p.created_at, p.position, p.external_id, p.part)) over w as is_before
            from pairs as p
            inner join parley_import.load as l
                on p.conversation_id = l.conversation_id and p.seq = l.seq
            inner join parley_import.batches as b on l.batch = b.batch
            window w as (partition by p.conversation_id order by p.seq)
        ) as o
        where o.is_before and o.run = o.run_before
        union all
        select p.conversation, v.problem, p.external_id
        from pairs as p
        inner join found as f on p.id = f.id
        left join expected as er on p.reply_to = er.external_id and er.part = 1
        left join found as r on er.id = r.id and r.conversation_id = f.conversation_id
        left join expected as et on p.thread_root = et.external_id and et.part = 1
        left join found as t on et.id = t.id and t.conversation_id = f.conversation_id
        cross join lateral (
            values
            (
                'replies answer another message',
                r.seq < f.seq and f.reply_to_seq is distinct from r.seq
            ),
            (
                'messages are in another thread',
                t.seq < f.seq and f.thread_root_seq is distinct from t.seq
            )
        ) as v (problem, is_so)
        where (p.reply_to is not null or p.thread_root is not null) and v.is_so
        union all
        select e.conversation, 'reads are missing', e.external_id || ' by ' || r.person
        from parley_import.receipts as r
        inner join expected as e on r.message = e.external_id and e.part = 1
        inner join found as f on e.id = f.id
        inner join parley_import.users as u on r.person = u.external_id and u.user_id is not null
        left join chat.participants as p
            on f.conversation_id = p.conversation_id and u.user_id = p.user_id
        where r.read_at is not null and coalesce(p.last_read_seq < f.seq, true)
        union all
        select e.conversation, 'reads have another time', e.external_id || ' by ' || r.person
        from parley_import.receipts as r
        inner join expected as e on r.message = e.external_id and e.part = 1
        inner join found as f on e.id = f.id
        inner join parley_import.users as u on r.person = u.external_id and u.user_id is not null
        where
            r.read_at is not null
            and r.read_at is distinct from (
                select x.moved_at
                from chat.receipts as x
                where
                    x.conversation_id = f.conversation_id
                    and x.user_id = u.user_id
                    and x.last_read_seq >= f.seq
                order by x.last_read_seq, x.moved_at
                limit 1
            )
        union all
        select r.external_id, 'reads are missing', 'by ' || m.user_id
        from parley_import.members as m
        inner join parley_import.rooms as r on m.conversation_id = r.conversation_id
        left join chat.participants as p
            on m.conversation_id = p.conversation_id and m.user_id = p.user_id
        where
            m.read_at is not null
            and exists (
                select
                from found as f
                inner join expected as e on f.id = e.id
                where
                    f.conversation_id = m.conversation_id
                    and f.seq > coalesce(p.last_read_seq, 0)
                    and f.created_at <= m.read_at
            )
        union all
        select r.external_id, 'participants are missing', m.user_id::text
        from parley_import.members as m
        inner join parley_import.rooms as r on m.conversation_id = r.conversation_id
        left join chat.participants as p
            on m.conversation_id = p.conversation_id and m.user_id = p.user_id
        where p.user_id is null or (m.left_at is null and p.left_at is not null)
        union all
        select e.conversation, 'reactions are missing', e.external_id || ' ' || r.emoji
        from parley_import.reactions as r
        inner join expected as e on r.message = e.external_id and e.part = 1
        inner join found as f on e.id = f.id
        inner join parley_import.users as u on r.person = u.external_id and u.user_id is not null
        where not exists (
            select
            from chat.reactions as x
            where
                x.conversation_id = f.conversation_id
                and x.message_seq = f.seq
                and x.user_id = u.user_id
                and x.emoji = r.emoji
        )
        union all
        select e.conversation, 'messages are shown to who deleted them', e.external_id
        from parley_import.hidden as h
        inner join expected as e on h.message = e.external_id
        inner join found as f on e.id = f.id
        inner join parley_import.users as u on h.person = u.external_id and u.user_id is not null
        where not exists (
            select
            from chat.hidden_messages as x
            where
                x.conversation_id = f.conversation_id
                and x.message_seq = f.seq
                and x.user_id = u.user_id
        )
        union all
        select e.conversation, 'files are missing', i.external_id || ' ' || i.address
        from parley_import.files as i
        inner join expected as e on i.message = e.external_id and e.part = 1
        inner join found as f on e.id = f.id
        where
            not exists (
                select
                from chat.attachments as a
                inner join parley_import.uploads as p on a.path = p.path
                inner join storage.objects as o
                    on a.path = o.name and o.bucket_id = 'chat-attachments'
                where
                    a.conversation_id = f.conversation_id
                    and a.message_seq = f.seq
                    and p.external_id = i.external_id
            )
            and not exists (
                select
                from chat.messages as m
                left join chat_private.deleted_messages as d
                    on m.conversation_id = d.conversation_id and m.seq = d.message_seq
                where
                    m.id = f.id
                    and coalesce(d.metadata, m.metadata) -> 'files'
                    @> jsonb_build_array(jsonb_build_object('url', i.address))
                    and (
                        parley_import.choice('files') = 'link'
                        or exists (
                            select
                            from parley_import.conflicts as c
                            where c.kind = 'bad_file' and c.external_id = i.external_id
                        )
                    )
            )
        union all
        select r.external_id, 'counters are wrong', k.counter
        from chat.check_counters() as k
        inner join parley_import.rooms as r on k.conversation_id = r.conversation_id
    )

    select
        p.conversation,
        p.problem,
        count(*),
        string_agg(p.example, ', ') filter (where p.place <= 3)
    from (
        select
            q.*,
            row_number() over (partition by q.conversation, q.problem order by q.example) as place
        from problems as q
    ) as p
    group by p.conversation, p.problem
    order by p.conversation, p.problem;
    drop table expected;
    drop table found;
end;
$$;
