-- What became, since they were loaded, of messages that the old application still wrote to.

create function parley_import.refresh()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_count bigint;
begin
    perform set_config('chat.importing', 'on', true);
    -- Reactions that were brought here; those that were made here are not the source's to take back.
    create temporary table taken_back on commit drop as
    select f.conversation_id, f.seq, f.user_id, f.emoji
    from parley_import.found_reactions as f
    inner join parley_import.load as l
        on f.conversation_id = l.conversation_id and f.seq = l.seq
    inner join parley_import.messages as m on l.external_id = m.external_id
    where not exists (
        select
        from parley_import.reactions as r
        inner join parley_import.users as u on r.person = u.external_id
        where
            r.message = l.external_id
            and r.emoji = f.emoji
            and u.user_id = f.user_id
    );
    create temporary table changed on commit drop as
    select
        l.conversation_id,
        l.seq,
        l.id,
        m.external_id is null as is_gone,
        case
            when m.deleted_at is null and length(m.body) > 10000
                then substr(m.body, 1 + 10000 * (l.part - 1), 10000)
            else m.body
        end as body,
        m.edited_at,
        case when m.external_id is null then chat_private.now() else m.deleted_at end as deleted_at
    from parley_import.load as l
    inner join parley_import.batches as b on l.batch = b.batch and b.is_done
    inner join chat.messages as c on l.conversation_id = c.conversation_id and l.seq = c.seq
    left join parley_import.messages as m on l.external_id = m.external_id
    left join chat_private.deleted_messages as d
        on c.conversation_id = d.conversation_id and c.seq = d.message_seq
    where
        case
            when m.external_id is null
                then c.deleted_at is null and parley_import.choice('vanished') = 'delete'
            else c.deleted_at is distinct from m.deleted_at
                or c.edited_at is distinct from m.edited_at
                or (
                    l.part = 1
                    and left(coalesce(c.body, d.body, ''), 10000)
                    is distinct from left(coalesce(m.body, ''), 10000)
                )
                or exists (
                    select
                    from taken_back as t
                    where t.conversation_id = l.conversation_id and t.seq = l.seq
                )
        end;
    -- Conversations first, in one order, as every writer.
    perform
    from chat.conversations as c
    where c.id in (select h.conversation_id from changed as h)
    order by c.id
    for no key update;
    delete from chat.reactions as r
    using taken_back as t
    where
        r.conversation_id = t.conversation_id
        and r.message_seq = t.seq
        and r.user_id = t.user_id
        and r.emoji = t.emoji;
    insert into chat_private.deleted_messages (
        conversation_id, message_seq, body, metadata, removed_at, due_at
    )
    select
        h.conversation_id,
        h.seq,
        case when h.is_gone then c.body else h.body end,
        c.metadata,
        h.deleted_at,
        h.deleted_at + s.restore_window
    from changed as h
    inner join chat.messages as c on h.conversation_id = c.conversation_id and h.seq = c.seq
    inner join parley_import.targets as t on h.conversation_id = t.conversation_id
    inner join chat.settings as s on t.tenant_id = s.tenant_id
    where h.deleted_at is not null and c.deleted_at is null
    on conflict do nothing;
    update chat.messages as m
    set body = case when h.deleted_at is null then h.body end,
        metadata = case
            when h.deleted_at is not null then '{}'
            when m.deleted_at is not null then coalesce(d.metadata, '{}')
            else m.metadata
        end,
        edited_at = h.edited_at,
        deleted_at = h.deleted_at,
        is_changed = true,
        rev = h.rev
    from (
        select
            g.*,
            c.rev + row_number() over (partition by g.conversation_id order by g.seq) as rev
        from changed as g
        inner join chat.conversations as c on g.conversation_id = c.id
    ) as h
    left join chat_private.deleted_messages as d
        on h.conversation_id = d.conversation_id and h.seq = d.message_seq
    where m.conversation_id = h.conversation_id and m.seq = h.seq;
    delete from chat_private.deleted_messages as d
    using changed as h
    where
        d.conversation_id = h.conversation_id
        and d.message_seq = h.seq
        and h.deleted_at is null;
    update chat.conversations as c
    set rev = c.rev + n.number
    from (
        select
            h.conversation_id,
            count(*) as number
        from changed as h
        group by h.conversation_id
    ) as n
    where c.id = n.conversation_id;
    -- Who left since.
    update chat.participants as p
    set left_at = m.left_at
    from parley_import.members as m
    inner join parley_import.targets as t on m.conversation_id = t.conversation_id and t.is_new
    where
        p.conversation_id = m.conversation_id
        and p.user_id = m.user_id
        and p.left_at is null
        and m.left_at is not null;
    select count(*) into v_count
    from changed;
    drop table changed;
    drop table taken_back;
    return v_count;
end;
$$;
