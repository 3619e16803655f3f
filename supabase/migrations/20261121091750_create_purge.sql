-- Purpose: what was removed longer ago than it can be restored goes for good, and a record stays.
-- Objects: functions chat_private.purge_removed and its parts; view chat.purge_runs.
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

-- Purges of the given removed messages what no hold keeps, and writes into the audit log of each tenant
-- what went: how much of what, and a digest of which messages. Says how many. The caller has locked the
-- conversations.
create function chat_private.purge_removed(conversation_ids uuid [], seqs bigint [])
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_held_tenant_ids constant uuid [] := array(
        select distinct h.tenant_id
        from chat.legal_holds as h
    );
    v_conversation_ids uuid [];
    v_seqs bigint [];
    v_full_ids uuid [];
    v_full_seqs bigint [];
    v_records jsonb;
    v_rows jsonb;
    v_dropped jsonb;
    v_receipts jsonb;
    v_tenant_ids uuid [];
    v_tenant_id uuid;
begin
    -- Judged again by the policy of today: what lives by it comes back.
    perform chat_private.rewrite_expiries(purge_removed.conversation_ids, purge_removed.seqs);

    -- What is held is looked at again when a hold is lifted, and what has got a longer window, when
    -- that ends.
    with found as materialized (
        select
            m.conversation_id,
            m.seq,
            m.id,
            m.sender_id
        from unnest(purge_removed.conversation_ids, purge_removed.seqs) as p (conversation_id, seq)
        inner join chat.messages as m
            on p.conversation_id = m.conversation_id and p.seq = m.seq
    ),

    judged as materialized (
        select
            c.tenant_id,
            m.conversation_id,
            m.seq,
            m.id,
            m.sender_id,
            d.purged_at is null as is_full,
            coalesce(octet_length(d.body), 0) + octet_length(d.metadata::text) as bytes,
            greatest(
                d.due_at,
                case
                    when
                        c.tenant_id = any (v_held_tenant_ids)
                        and chat_private.is_held(c.tenant_id, m.conversation_id, m.sender_id)
                        then 'infinity'
                    when d.purged_at is null then d.removed_at + s.restore_window
                end
            ) as due_at
        from found as m
        inner join chat_private.deleted_messages as d
            on m.conversation_id = d.conversation_id and m.seq = d.message_seq
        inner join chat.conversations as c on m.conversation_id = c.id
        inner join chat.settings as s on c.tenant_id = s.tenant_id
    ),

    put_off as (
        update chat_private.deleted_messages as d
        set due_at = j.due_at
        from judged as j
        where
            d.conversation_id = j.conversation_id and d.message_seq = j.seq and j.due_at > v_now
    ),

    sizes as (
        select
            j.tenant_id,
            j.id,
            coalesce(t.tier, 'none') as tier,
            j.bytes,
            a.files,
            a.file_bytes
        from judged as j
        left join chat.tenant_members as t
            on j.tenant_id = t.tenant_id and j.sender_id = t.user_id
        cross join lateral (
            select
                count(*) as files,
                coalesce(sum(f.size_bytes), 0) as file_bytes
            from chat.attachments as f
            where f.conversation_id = j.conversation_id and f.message_seq = j.seq
        ) as a
        where j.is_full and j.due_at <= v_now
    ),

    tiers as (
        select
            z.tenant_id,
            z.tier,
            jsonb_build_object(
                'messages', count(*),
                'bytes', sum(z.bytes),
                'files', sum(z.files),
                'file_bytes', sum(z.file_bytes)
            ) as sums
        from sizes as z
        group by z.tenant_id, z.tier
    ),

    records as (
        select
            z.tenant_id,
            jsonb_build_object(
                'messages', count(*),
                'bytes', sum(z.bytes),
                'files', sum(z.files),
                'file_bytes', sum(z.file_bytes),
                'digest',
                encode(
                    sha256(convert_to(string_agg(z.id::text, ',' order by z.id), 'UTF8')), 'hex'
                ),
                'tiers',
                (
                    select jsonb_object_agg(t.tier, t.sums)
                    from tiers as t
                    where t.tenant_id = z.tenant_id
                )
            ) as record
        from sizes as z
        group by z.tenant_id
    )

    select
        array_agg(j.conversation_id),
        array_agg(j.seq),
        array_agg(j.conversation_id) filter (where j.is_full),
        array_agg(j.seq) filter (where j.is_full),
        array_agg(distinct j.tenant_id order by j.tenant_id),
        (select jsonb_object_agg(r.tenant_id, r.record) from records as r)
    into v_conversation_ids, v_seqs, v_full_ids, v_full_seqs, v_tenant_ids, v_records
    from judged as j
    where j.due_at <= v_now;
    if v_seqs is null then
        return 0;
    end if;
    select jsonb_object_agg(e.tenant_id, e.counts) into v_rows
    from chat_private.empty_messages(v_full_ids, v_full_seqs) as e;
    select jsonb_object_agg(t.tenant_id, t.dropped) into v_dropped
    from chat_private.drop_tombstones(v_conversation_ids, v_seqs) as t;
    select jsonb_object_agg(t.tenant_id, jsonb_build_object('receipts', t.dropped)) into v_receipts
    from chat_private.drop_receipts(v_conversation_ids) as t;
    -- At the end, and in one order: each locks the end of a tenant's chain.
    foreach v_tenant_id in array v_tenant_ids
    loop
        perform chat_private.record_audit(
            v_tenant_id,
            'messages_purged',
            null,
            null,
            coalesce(v_records -> v_tenant_id::text, '{}') || jsonb_build_object(
                'tombstones', coalesce((v_dropped -> v_tenant_id::text)::integer, 0),
                'rows',
                coalesce(v_rows -> v_tenant_id::text, '{}')
                || coalesce(v_receipts -> v_tenant_id::text, '{}')
            )
        );
    end loop;
    return cardinality(v_seqs);
end;
$$;
revoke execute on function chat_private.purge_removed(uuid [], bigint [])
from public, anon, authenticated;

-- Security definer: reads the log, which nobody can. Of tenants where the caller is owner or admin,
-- of all for the service role.
create function chat_private.purge_records()
returns setof chat_private.audit_log
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
    return query
    select a.*
    from chat_private.audit_log as a
    where
        a.action = 'messages_purged'
        and (
            auth.role() = 'service_role'
            or a.tenant_id = any (array(select chat_private.tenant_ids_for_admin()))
        );
end;
$$;
revoke execute on function chat_private.purge_records() from public, anon;
grant execute on function chat_private.purge_records() to authenticated, service_role;

-- Views ----------------------------------------------------------------------------------------

create view chat.purge_runs
with (security_invoker = true)
as
select
    r.tenant_id,
    r.seq,
    r.happened_at,
    coalesce((r.details ->> 'messages')::bigint, 0) as messages,
    coalesce((r.details ->> 'bytes')::bigint, 0) as bytes,
    coalesce((r.details ->> 'files')::bigint, 0) as files,
    coalesce((r.details ->> 'file_bytes')::bigint, 0) as file_bytes,
    (r.details ->> 'tombstones')::bigint as tombstones,
    r.details -> 'tiers' as tiers,
    r.details -> 'rows' as rows_of_tables,
    r.details ->> 'digest' as digest,
    encode(r.hash, 'hex') as hash
from chat_private.purge_records() as r;
comment on view chat.purge_runs is
    'What each batch of the sweep purged in a tenant, for its owners and admins: entries of the audit '
    'log, whose chain verify_audit_log checks. digest is the SHA-256 of the sorted ids of the messages, '
    'with commas: whoever has a list of ids can prove that these went.';
grant select on chat.purge_runs to authenticated, service_role;
