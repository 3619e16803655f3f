-- Purpose: what was removed longer ago than it can be restored goes for good, and a record stays.
-- Objects: functions chat_private.purge_removed and its parts; view chat.purge_runs.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- Everything that says anything and hangs on messages, counted and gone. Attachments leave their
-- files in the queue of orphaned objects, by a trigger. Who hid a message still has hidden its
-- tombstone.
create function chat_private.empty_messages(conversation_ids uuid [], seqs bigint [])
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
    v_counts jsonb := '{}'::jsonb;
    v_number bigint;
    v_table text;
begin
    foreach v_table in array array[
        'message_revisions', 'reactions', 'poll_votes', 'mentions', 'pins', 'saved_messages',
        'attachments', 'notifications'
    ]
    loop
        execute format(
            'delete from chat.%I as t using unnest($1, $2) as p (conversation_id, seq) '
            'where t.conversation_id = p.conversation_id and t.message_seq = p.seq',
            v_table
        )
        using empty_messages.conversation_ids, empty_messages.seqs;
        get diagnostics v_number = row_count;
        if v_number > 0 then
            v_counts := v_counts || jsonb_build_object(v_table, v_number);
        end if;
    end loop;
    update chat_private.deleted_messages as d
    set body = null,
        metadata = '{}',
        deleted_by = null,
        purged_at = chat_private.now()
    from unnest(empty_messages.conversation_ids, empty_messages.seqs) as p (conversation_id, seq)
    where d.conversation_id = p.conversation_id and d.message_seq = p.seq;
    return v_counts;
end;
$$;
revoke execute on function chat_private.empty_messages(uuid [], bigint [])
from public, anon, authenticated;

-- Of tombstones that have nothing left to restore, those go that nobody can read and nothing refers
-- to. The others stay until then: a reply keeps what it answers, and a thread its beginning, without
-- a word of it. Says how many went.
create function chat_private.drop_tombstones(conversation_ids uuid [], seqs bigint [])
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_dropped integer := 0;
    v_conversation_ids uuid [];
    v_seqs bigint [];
begin
    -- Again while that sets free what the dropped ones referred to.
    loop
        select
            array_agg(m.conversation_id),
            array_agg(m.seq)
        into v_conversation_ids, v_seqs
        from unnest(drop_tombstones.conversation_ids, drop_tombstones.seqs)
            as p (conversation_id, seq)
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
        delete from chat.messages as m
        using unnest(v_conversation_ids, v_seqs) as p (conversation_id, seq)
        where m.conversation_id = p.conversation_id and m.seq = p.seq;
        v_dropped := v_dropped + cardinality(v_seqs);
    end loop;
    -- Of what stays: when to look again. Those that refer to it are themselves dropped a window
    -- after they expire, or later.
    update chat_private.deleted_messages as d
    set due_at = greatest(
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
    return v_dropped;
end;
$$;
revoke execute on function chat_private.drop_tombstones(uuid [], bigint [])
from public, anon, authenticated;

-- Moves of watermarks that say nothing of a message that is there: all that ended before the first.
-- Says how many went.
create function chat_private.drop_receipts(conversation_ids uuid [])
returns bigint
language plpgsql
set search_path = ''
as $$
declare
    v_number bigint;
begin
    delete from chat.receipts as r
    using
        (
            select
                c.id,
                coalesce(
                    (select min(m.seq) from chat.messages as m where m.conversation_id = c.id),
                    c.last_seq + 1
                ) as first_seq
            from chat.conversations as c
            where c.id = any (drop_receipts.conversation_ids)
        ) as f
    -- By participant: of theirs alone, and by an index.
    inner join chat.participants as p on f.id = p.conversation_id
    where
        r.conversation_id = p.conversation_id
        and r.user_id = p.user_id
        and r.last_delivered_seq < f.first_seq;
    get diagnostics v_number = row_count;
    return v_number;
end;
$$;
revoke execute on function chat_private.drop_receipts(uuid []) from public, anon, authenticated;

-- Purges of the given removed messages of a tenant what no hold keeps, and writes into the tenant's
-- audit log what went: how much of what, and a digest of which messages. Says how many. The caller
-- has locked the conversations.
create function chat_private.purge_removed(
    tenant_id uuid,
    conversation_ids uuid [],
    seqs bigint []
)
returns integer
language plpgsql
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_window constant interval := (chat_private.settings_for(purge_removed.tenant_id)).restore_window;
    v_has_holds constant boolean := exists (
        select
        from chat.legal_holds as h
        where h.tenant_id = purge_removed.tenant_id
    );
    v_conversation_ids uuid [];
    v_seqs bigint [];
    v_record jsonb;
    v_rows jsonb := '{}'::jsonb;
    v_dropped integer;
begin
    -- Judged again by the policy of today: what lives by it comes back.
    perform chat_private.rewrite_expiries(g.conversation_id, g.seqs)
    from (
        select
            p.conversation_id,
            array_agg(p.seq) as seqs
        from unnest(purge_removed.conversation_ids, purge_removed.seqs) as p (conversation_id, seq)
        group by p.conversation_id
    ) as g;
    -- What is held is looked at again when a hold is lifted, and what has got a longer window, when
    -- that ends.
    update chat_private.deleted_messages as d
    set due_at = j.due_at
    from (
        select
            m.conversation_id,
            m.seq,
            case
                when
                    v_has_holds
                    and chat_private.is_held(
                        purge_removed.tenant_id, m.conversation_id, m.sender_id
                    )
                    then 'infinity'
                when r.purged_at is null then r.removed_at + v_window
            end as due_at
        from unnest(purge_removed.conversation_ids, purge_removed.seqs) as p (conversation_id, seq)
        inner join chat.messages as m
            on p.conversation_id = m.conversation_id and p.seq = m.seq
        inner join chat_private.deleted_messages as r
            on p.conversation_id = r.conversation_id and p.seq = r.message_seq
    ) as j
    where
        d.conversation_id = j.conversation_id and d.message_seq = j.seq and j.due_at > v_now;

    with sizes as (
        select
            d.conversation_id,
            d.message_seq as seq,
            m.id,
            coalesce(t.tier, 'none') as tier,
            coalesce(octet_length(d.body), 0) + octet_length(d.metadata::text) as bytes,
            a.files,
            a.file_bytes
        from unnest(purge_removed.conversation_ids, purge_removed.seqs) as p (conversation_id, seq)
        inner join chat_private.deleted_messages as d
            on p.conversation_id = d.conversation_id and p.seq = d.message_seq
        inner join chat.messages as m
            on p.conversation_id = m.conversation_id and p.seq = m.seq
        left join chat.tenant_members as t
            on t.tenant_id = purge_removed.tenant_id and m.sender_id = t.user_id
        cross join lateral (
            select
                count(*) as files,
                coalesce(sum(f.size_bytes), 0) as file_bytes
            from chat.attachments as f
            where f.conversation_id = p.conversation_id and f.message_seq = p.seq
        ) as a
        where d.purged_at is null and d.due_at <= v_now
    ),

    tiers as (
        select
            z.tier,
            jsonb_build_object(
                'messages', count(*),
                'bytes', sum(z.bytes),
                'files', sum(z.files),
                'file_bytes', sum(z.file_bytes)
            ) as sums
        from sizes as z
        group by z.tier
    )

    select
        array_agg(z.conversation_id),
        array_agg(z.seq),
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
            (select jsonb_object_agg(t.tier, t.sums) from tiers as t)
        )
    into v_conversation_ids, v_seqs, v_record
    from sizes as z;
    if v_seqs is not null then
        v_rows := chat_private.empty_messages(v_conversation_ids, v_seqs);
    end if;
    select
        array_agg(d.conversation_id),
        array_agg(d.message_seq)
    into v_conversation_ids, v_seqs
    from unnest(purge_removed.conversation_ids, purge_removed.seqs) as p (conversation_id, seq)
    inner join chat_private.deleted_messages as d
        on p.conversation_id = d.conversation_id and p.seq = d.message_seq
    where d.due_at <= v_now;
    if v_seqs is null then
        return 0;
    end if;
    v_dropped := chat_private.drop_tombstones(v_conversation_ids, v_seqs);
    v_rows := chat_private.add_counts(
        v_rows,
        jsonb_build_object('receipts', chat_private.drop_receipts(v_conversation_ids))
    );
    perform chat_private.record_audit(
        purge_removed.tenant_id,
        'messages_purged',
        null,
        null,
        v_record || jsonb_build_object('tombstones', v_dropped, 'rows', v_rows)
    );
    return cardinality(v_seqs);
end;
$$;
revoke execute on function chat_private.purge_removed(uuid, uuid [], bigint [])
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
