-- Puts batches into Parley's tables. Each function is a transaction of the driver's, and does
-- nothing that is done already.

-- Conversations and who takes part, before their first message. What was there is kept aside.
create function parley_import.open_conversations(ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    insert into chat.conversations (
        id, tenant_id, kind, status, title, subject_type, subject_id, user_low_id, user_high_id,
        created_by, created_at, last_activity_at, rev
    )
    select
        t.conversation_id,
        t.tenant_id,
        t.kind,
        case when t.is_closed then 'closed' else 'open' end::chat.conversation_status,
        t.title,
        t.subject_type,
        t.subject_id,
        t.user_low_id,
        t.user_high_id,
        t.created_by,
        t.created_at,
        t.created_at,
        0
    from parley_import.targets as t
    where t.conversation_id = any (open_conversations.ids) and t.is_new
    order by t.conversation_id
    on conflict (id) do nothing;
    perform
    from chat.conversations as c
    where c.id = any (open_conversations.ids)
    order by c.id
    for no key update;

    insert into parley_import.kept_conversations
    select c.*
    from chat.conversations as c
    inner join parley_import.targets as t on c.id = t.conversation_id
    where
        c.id = any (open_conversations.ids)
        and not t.is_new
        and not exists (select from parley_import.kept_conversations as k where k.id = c.id);
    insert into parley_import.kept_participants
    select p.*
    from chat.participants as p
    inner join parley_import.targets as t on p.conversation_id = t.conversation_id
    where
        p.conversation_id = any (open_conversations.ids)
        and not t.is_new
        and not exists (
            select
            from parley_import.kept_participants as k
            where k.conversation_id = p.conversation_id and k.user_id = p.user_id
        );
    insert into chat.participants (
        conversation_id, user_id, tenant_id, role, party, joined_at, left_at, rev
    )
    select
        m.conversation_id,
        m.user_id,
        t.tenant_id,
        m.role,
        m.party,
        m.joined_at,
        m.left_at,
        1
    from parley_import.members as m
    inner join parley_import.targets as t on m.conversation_id = t.conversation_id
    where m.conversation_id = any (open_conversations.ids)
    on conflict do nothing;
end;
$$;

create function parley_import.load_batch(batch integer)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_ids uuid [];
    v_part uuid [];
    v_begun uuid [];
begin
    perform from parley_import.batches as b
    where b.batch = load_batch.batch and not b.is_done
    for update;
    if not found then
        return 0;
    end if;
    perform set_config('chat.importing', 'on', true);
    v_ids := array(
        select s.conversation_id
        from parley_import.stretches as s
        where s.batch = load_batch.batch
    );
    perform parley_import.open_conversations(v_ids);
    -- Somebody wrote here since the numbers were given: a new run gives new ones.
    if exists (
        select
        from parley_import.stretches as s
        inner join chat.conversations as c on s.conversation_id = c.id
        where s.batch = load_batch.batch and s.first_seq <> c.last_seq + 1
    ) then
        raise exception 'A conversation was written in meanwhile.'
            using errcode = '40001', hint = 'Run apply again.';
    end if;

    insert into chat.messages (
        conversation_id, id, sender_id, seq, rev, created_at, expires_at, kind, body, metadata,
        reply_to_seq, thread_root_seq, edited_at, deleted_at, is_changed, search_language
    )
    with senders as materialized (
        select
            s.conversation_id,
            s.sender_id,
            chat_private.lifetimes_for(s.conversation_id, s.sender_id) as lifetimes
        from (
            select distinct l.conversation_id, l.sender_id
            from parley_import.load as l
            where l.batch = load_batch.batch
        ) as s
    )

    select
        l.conversation_id,
        l.id,
        l.sender_id,
        l.seq,
        l.rev,
        l.created_at,
        chat_private.expiry(l.created_at, s.lifetimes),
        l.kind,
        case
            when l.deleted_at is null
                then (
                    select
                        case
                            when length(m.body) > 10000
                                then substr(m.body, 1 + 10000 * (l.part - 1), 10000)
                            else m.body
                        end
                    from parley_import.messages as m
                    where m.ctid = l.source and m.external_id = l.external_id
                )
        end,
        case when l.deleted_at is null then coalesce(l.metadata, '{}') else '{}' end,
        l.reply_to_seq,
        l.thread_root_seq,
        l.edited_at,
        l.deleted_at,
        false,
        nullif(g.search_language, 'simple')
    from parley_import.load as l
    inner join parley_import.targets as t on l.conversation_id = t.conversation_id
    inner join chat.settings as g on t.tenant_id = g.tenant_id
    inner join senders as s
        on l.conversation_id = s.conversation_id and l.sender_id is not distinct from s.sender_id
    where l.batch = load_batch.batch
    order by l.conversation_id, l.seq;
    insert into chat_private.deleted_messages (
        conversation_id, message_seq, body, metadata, removed_at, due_at
    )
    select
        l.conversation_id,
        l.seq,
        (
            select m.body
            from parley_import.messages as m
            where m.ctid = l.source and m.external_id = l.external_id
        ),
        coalesce(l.metadata, '{}'),
        l.deleted_at,
        l.deleted_at + g.restore_window
    from parley_import.load as l
    inner join parley_import.targets as t on l.conversation_id = t.conversation_id
    inner join chat.settings as g on t.tenant_id = g.tenant_id
    where l.batch = load_batch.batch and l.deleted_at is not null;
    update chat.conversations as c
    set last_seq = s.last_seq,
        message_count = c.message_count + s.messages - s.system_messages,
        rev = s.last_rev,
        last_activity_at = greatest(c.last_activity_at, s.last_at)
    from parley_import.stretches as s
    where s.batch = load_batch.batch and c.id = any (v_ids) and c.id = s.conversation_id;
    v_part := array(
        select t.conversation_id
        from parley_import.targets as t
        inner join chat.conversations as c on t.conversation_id = c.id
        where t.conversation_id = any (v_ids) and c.id = any (v_ids) and t.max_seq > c.last_seq
    );
    -- Of these the counters are right as well after each batch: counted once, and then on.
    v_begun := array(
        select s.conversation_id
        from parley_import.stretches as s
        where
            s.batch = load_batch.batch and s.conversation_id = any (v_part) and s.is_first
    );
    perform parley_import.recount(v_begun);
    perform parley_import.count_on(
        load_batch.batch, array(select unnest(v_part) except select unnest(v_begun))
    );
    perform parley_import.settle(array(select unnest(v_ids) except select unnest(v_part)));
    update parley_import.batches as b
    set is_done = true
    where b.batch = load_batch.batch;
    return (select b.messages from parley_import.batches as b where b.batch = load_batch.batch);
end;
$$;
