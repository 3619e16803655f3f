-- Puts batches into Parley's tables. Each function is a transaction of the driver's, and does
-- nothing that is done already.

-- Tenants, people who are not here, memberships, contacts.
create function parley_import.prepare()
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform set_config('chat.importing', 'on', true);
    insert into chat.tenants (id, slug, name)
    select t.tenant_id, s.slug, s.name
    from parley_import.made_tenants as t
    inner join parley_import.tenants as s on t.external_id = s.external_id
    where t.is_new
    on conflict do nothing;
    -- The Auth server reads tokens that are null as an error.
    insert into auth.users (
        id, instance_id, aud, role, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
        confirmation_token, recovery_token, email_change_token_new, email_change
    )
    select
        u.user_id,
        '00000000-0000-0000-0000-000000000000',
        'authenticated',
        'authenticated',
        jsonb_build_object('imported_from', r.label),
        jsonb_build_object('display_name', coalesce(p.display_name, p.username, 'Former member')),
        now(),
        now(),
        '',
        '',
        '',
        ''
    from parley_import.users as u
    cross join parley_import.run as r
    left join parley_import.people as p on u.external_id = p.external_id
    where u.is_ghost
    on conflict do nothing;
    with made as (
        insert into chat.tenant_members as e (tenant_id, user_id, role, tier)
        select
            n.tenant_id,
            n.user_id,
            coalesce(min(n.role), 'member')::chat.tenant_role,
            coalesce(min(i.name), 'free')
        from (
            select distinct t.tenant_id, m.user_id, null as role, null as tier
            from parley_import.members as m
            inner join parley_import.targets as t on m.conversation_id = t.conversation_id
            union all
            select t.tenant_id, u.user_id, m.role, m.tier
            from parley_import.memberships as m
            inner join parley_import.made_tenants as t on m.tenant = t.external_id
            inner join parley_import.users as u on m.person = u.external_id
            where u.user_id is not null
        ) as n
        left join chat.tiers as i on n.tier = i.name
        group by n.tenant_id, n.user_id
        on conflict do nothing
        returning e.tenant_id, e.user_id
    )

    insert into parley_import.made_members (tenant_id, user_id)
    select m.tenant_id, m.user_id
    from made as m
    on conflict do nothing;
    perform parley_import.load_contacts();
end;
$$;

create function parley_import.load_contacts()
returns void
language plpgsql
set search_path = ''
as $$
begin
    with made as (
        insert into chat.contacts as k (
            user_low_id, user_high_id, requested_by, state, created_at, accepted_at
        )
        select distinct on (least(u.user_id, o.user_id), greatest(u.user_id, o.user_id))
            least(u.user_id, o.user_id),
            greatest(u.user_id, o.user_id),
            u.user_id,
            c.state::chat.contact_state,
            coalesce(c.created_at, now()),
            case c.state when 'accepted' then coalesce(c.created_at, now()) end
        from parley_import.contacts as c
        inner join parley_import.users as u on c.person = u.external_id
        inner join parley_import.users as o on c.other = o.external_id
        where
            c.state in ('pending', 'accepted')
            and u.user_id <> o.user_id
            and not exists (
                select
                from parley_import.contacts as b
                where
                    b.state = 'blocked'
                    and (b.person, b.other) in ((c.person, c.other), (c.other, c.person))
            )
        order by
            least(u.user_id, o.user_id),
            greatest(u.user_id, o.user_id),
            c.state,
            c.created_at,
            u.user_id
        on conflict do nothing
        returning k.user_low_id, k.user_high_id
    )

    insert into parley_import.made_contacts (user_low_id, user_high_id)
    select m.user_low_id, m.user_high_id
    from made as m;
    with made as (
        insert into chat.blocks as b (blocker_id, blocked_id, created_at)
        select distinct on (u.user_id, o.user_id)
            u.user_id,
            o.user_id,
            coalesce(c.created_at, now())
        from parley_import.contacts as c
        inner join parley_import.users as u on c.person = u.external_id
        inner join parley_import.users as o on c.other = o.external_id
        where c.state = 'blocked' and u.user_id <> o.user_id
        order by u.user_id, o.user_id, c.created_at
        on conflict do nothing
        returning b.blocker_id, b.blocked_id
    )

    insert into parley_import.made_blocks (blocker_id, blocked_id)
    select m.blocker_id, m.blocked_id
    from made as m;
end;
$$;

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

-- What hangs on messages, once all messages of these conversations are there.
create function parley_import.settle(ids uuid [])
returns void
language plpgsql
set search_path = ''
as $$
begin
    perform set_config('chat.importing', 'on', true);
    perform parley_import.open_conversations(settle.ids);
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
            and not exists (
                select
                from chat.receipts as x
                where
                    x.conversation_id = v.conversation_id
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
        where p.conversation_id = l.conversation_id and p.user_id = l.user_id
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

create function parley_import.load_batch(batch integer)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_ids uuid [];
begin
    perform from parley_import.batches as b
    where b.batch = load_batch.batch and not b.is_done
    for update;
    if not found then
        return 0;
    end if;
    perform set_config('chat.importing', 'on', true);
    v_ids := array(
        select distinct l.conversation_id
        from parley_import.load as l
        where l.batch = load_batch.batch
    );
    perform parley_import.open_conversations(v_ids);
    -- Somebody wrote here since the numbers were given: a new run gives new ones.
    if exists (
        select
        from (
            select
                l.conversation_id,
                min(l.seq) as seq
            from parley_import.load as l
            where l.batch = load_batch.batch
            group by l.conversation_id
        ) as f
        inner join chat.conversations as c on f.conversation_id = c.id
        where f.seq <> c.last_seq + 1
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
        case when l.deleted_at is null then l.body end,
        case when l.deleted_at is null then l.metadata else '{}' end,
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
        l.body,
        l.metadata,
        l.deleted_at,
        l.deleted_at + g.restore_window
    from parley_import.load as l
    inner join parley_import.targets as t on l.conversation_id = t.conversation_id
    inner join chat.settings as g on t.tenant_id = g.tenant_id
    where l.batch = load_batch.batch and l.deleted_at is not null;
    update chat.conversations as c
    set last_seq = n.last_seq,
        message_count = c.message_count + n.number,
        rev = n.rev,
        last_activity_at = greatest(c.last_activity_at, n.last_at)
    from (
        select
            l.conversation_id,
            max(l.seq) as last_seq,
            max(l.rev) as rev,
            max(l.created_at) as last_at,
            count(*) filter (where l.kind <> 'system') as number
        from parley_import.load as l
        where l.batch = load_batch.batch
        group by l.conversation_id
    ) as n
    where c.id = n.conversation_id;
    perform parley_import.recount(v_ids);
    perform parley_import.settle(
        array(
            select t.conversation_id
            from parley_import.targets as t
            inner join chat.conversations as c on t.conversation_id = c.id
            where t.conversation_id = any (v_ids) and t.max_seq <= c.last_seq
        )
    );
    update parley_import.batches as b
    set is_done = true
    where b.batch = load_batch.batch;
    return (select b.messages from parley_import.batches as b where b.batch = load_batch.batch);
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
    perform parley_import.settle(v_ids);
    return cardinality(v_ids);
end;
$$;
