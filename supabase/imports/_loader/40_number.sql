-- Numbers what is to be loaded, in the order of the source's times, after what is loaded already.
-- Each conversation is of one shard, and each function that takes one touches only what is of it: a
-- session a shard does this, at the same time as the others.

create function parley_import.is_of_shard(conversation_id uuid, shard integer, shards integer)
returns boolean
language sql
immutable
return abs(uuid_hash(is_of_shard.conversation_id) % is_of_shard.shards) = is_of_shard.shard;

-- Forgets what a run before numbered and did not load; the number of the first batch of this one.
create function parley_import.begin_numbers()
returns integer
language plpgsql
set search_path = ''
as $$
begin
    drop index if exists parley_import.load_batch_idx, parley_import.load_seq_idx,
    parley_import.moves_conversation_id_idx;
    delete from parley_import.load as l
    where not exists (
        select from parley_import.batches as b where b.batch = l.batch and b.is_done
    );
    delete from parley_import.stretches as s
    where not exists (
        select from parley_import.batches as b where b.batch = s.batch and b.is_done
    );
    delete from parley_import.batches as b where not b.is_done;
    truncate parley_import.moves, parley_import.found_hidden;
    return coalesce((select max(b.batch) + 1 from parley_import.batches as b), 0);
end;
$$;

create function parley_import.number_messages(
    first_batch integer, batch_size integer, shard integer, shards integer
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    create temporary table shard_rooms on commit drop as
    select r.external_id, r.conversation_id
    from parley_import.rooms as r
    where
        parley_import.is_of_shard(
            r.conversation_id, number_messages.shard, number_messages.shards
        );
    analyze shard_rooms;
    -- Files that stay where they are.
    create temporary table attached on commit drop as
    select
        f.message,
        jsonb_agg(
            jsonb_strip_nulls(
                jsonb_build_object(
                    'url', f.address,
                    'name', f.name,
                    'mime_type', f.mime_type,
                    'size_bytes', f.size_bytes
                )
            )
            order by f.position
        ) filter (
            where parley_import.choice('files') is distinct from 'upload'
            or f.external_id in (
                select c.external_id from parley_import.conflicts as c where c.kind = 'bad_file'
            )
        ) as links
    from parley_import.files as f
    group by f.message;
    analyze attached;

    -- Batches follow each other, and may end within a conversation.
    insert into parley_import.load (
        conversation_id, seq, rev, id, external_id, part, sender_id, created_at, kind, metadata,
        edited_at, deleted_at, batch, source
    )
    select
        o.conversation_id,
        coalesce(c.last_seq, 0) + o.number,
        coalesce(c.rev, 0) + o.number,
        parley_import.make_id(
            'message', o.external_id || case when o.part > 1 then '#' || o.part else '' end
        ),
        o.external_id,
        o.part,
        o.sender_id,
        o.created_at,
        case
            when o.is_blank then case when f.message is null then 'custom' else 'file' end
            else o.kind
        end::chat.message_kind,
        nullif(
            case
                when o.part = 1 and f.links is not null
                    then o.metadata || jsonb_build_object('files', f.links)
                else o.metadata
            end,
            '{}'
        ),
        o.edited_at,
        o.deleted_at,
        number_messages.first_batch + number_messages.shard
        + number_messages.shards * ((o.number_of_all - 1) / number_messages.batch_size),
        o.row_id
    from (
        select
            n.*,
            row_number() over (
                partition by n.conversation_id
                order by n.created_at, n.position, n.external_id, n.part
            ) as number,
            row_number() over (
                order by n.conversation_id, n.created_at, n.position, n.external_id, n.part
            ) as number_of_all
        from (
            select
                m.conversation_id,
                m.row_id,
                m.external_id,
                m.part,
                m.position,
                m.sender_id,
                coalesce(m.kind, 'text') as kind,
                -- Of a text cut into parts, one can be blanks.
                coalesce(m.kind, 'text') = 'text'
                and m.deleted_at is null
                and coalesce(substr(m.body, 1 + 10000 * (m.part - 1), 10000), '') !~ '\S'
                as is_blank,
                case
                    when m.part > 1 then jsonb_build_object('part', m.part)
                    when m.metadata = '{}' and m.kind is not null then m.metadata
                    when octet_length(m.metadata::text) > 16000 then '{}'
                    when m.kind is null
                        then m.metadata || jsonb_build_object('type', m.source_type)
                    -- Would mention everybody here.
                    else m.metadata - 'mention_all'
                end as metadata,
                m.created_at,
                m.edited_at,
                m.deleted_at
            from (
                select
                    e.*,
                    e.ctid as row_id,
                    r.conversation_id,
                    u.user_id as sender_id,
                    generate_series(
                        1,
                        case
                            when e.deleted_at is null
                                then greatest(1, ceil(length(e.body) / 10000.0)::integer)
                            else 1
                        end
                    ) as part
                from parley_import.messages as e
                inner join shard_rooms as r on e.conversation = r.external_id
                left join parley_import.users as u on e.sender = u.external_id
                where
                    not exists (
                        select
                        from parley_import.left_out as x
                        where x.external_id = e.external_id
                    )
                    and not exists (
                        select
                        from parley_import.load as l
                        where l.external_id = e.external_id
                    )
            ) as m
            -- A fence: texts are looked at before the sort, and not sorted along.
            offset 0
        ) as n
    ) as o
    left join chat.conversations as c on o.conversation_id = c.id
    left join attached as f on o.external_id = f.message
    order by o.number_of_all;

    drop table shard_rooms;
    drop table attached;
end;
$$;

-- What needs the numbers of all messages of the conversation.
create function parley_import.number_references(
    first_batch integer, shard integer, shards integer
)
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into parley_import.stretches (
        batch, conversation_id, first_seq, last_seq, last_rev, last_at, messages, system_messages,
        is_first
    )
    select
        l.batch,
        l.conversation_id,
        min(l.seq),
        max(l.seq),
        max(l.rev),
        max(l.created_at),
        count(*),
        count(*) filter (where l.kind = 'system'),
        l.batch = min(l.batch) over (partition by l.conversation_id)
    from parley_import.load as l
    where
        l.batch >= number_references.first_batch
        and parley_import.is_of_shard(
            l.conversation_id, number_references.shard, number_references.shards
        )
    group by l.batch, l.conversation_id;
    insert into parley_import.batches (batch, run, shard, messages)
    select
        s.batch,
        number_references.first_batch,
        number_references.shard,
        sum(s.messages)
    from parley_import.stretches as s
    where
        s.batch >= number_references.first_batch
        and parley_import.is_of_shard(
            s.conversation_id, number_references.shard, number_references.shards
        )
    group by s.batch;
    if exists (select from parley_import.messages as m where m.reply_to is not null) then
        update parley_import.load as l
        set reply_to_seq = t.seq
        from parley_import.messages as m
        inner join parley_import.load as t on m.reply_to = t.external_id and t.part = 1
        where
            l.external_id = m.external_id
            and l.part = 1
            and l.batch >= number_references.first_batch
            and parley_import.is_of_shard(
                l.conversation_id, number_references.shard, number_references.shards
            )
            and l.conversation_id = t.conversation_id
            and l.seq > t.seq;
    end if;
    if exists (select from parley_import.messages as m where m.thread_root is not null) then
        update parley_import.load as l
        set thread_root_seq = t.seq
        from parley_import.messages as m
        inner join parley_import.load as t on m.thread_root = t.external_id and t.part = 1
        where
            l.external_id = m.external_id
            and l.batch >= number_references.first_batch
            and parley_import.is_of_shard(
                l.conversation_id, number_references.shard, number_references.shards
            )
            and l.conversation_id = t.conversation_id
            and l.seq > t.seq;
    end if;

    update parley_import.targets as t
    set max_seq = n.seq,
        is_settled = false
    from parley_import.targets as o
    left join (
        select
            s.conversation_id,
            max(s.last_seq) as seq
        from parley_import.stretches as s
        group by s.conversation_id
    ) as n on o.conversation_id = n.conversation_id
    where
        t.conversation_id = o.conversation_id
        and parley_import.is_of_shard(
            o.conversation_id, number_references.shard, number_references.shards
        );
end;
$$;

create function parley_import.index_numbers()
returns void
language plpgsql
set search_path = ''
as $$
begin
    create index load_batch_idx on parley_import.load (batch);
    -- For those of whom the source says only until when they have read.
    if exists (select from parley_import.members as m where m.read_at is not null) then
        create index load_seq_idx on parley_import.load (conversation_id, seq);
    end if;
    analyze parley_import.load (batch, conversation_id, external_id);
end;
$$;
