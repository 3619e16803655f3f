-- Purpose: what was removed longer ago than it can be restored goes for good, and a record stays.
-- Objects: functions chat_private.purge_removed, chat_private.purge_records; view chat.purge_runs.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

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
