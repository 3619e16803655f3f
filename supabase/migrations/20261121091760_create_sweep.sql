-- Purpose: the sweep: marks what has expired, and purges what was removed long enough ago.
-- Objects: function chat.sweep_messages; where pg_cron is, the job parley-sweep.
-- Locks:   none on existing tables.
-- Breaking: no.

set lock_timeout = '5s';

-- Functions ------------------------------------------------------------------------------------

-- One batch, which is one transaction: whoever runs it calls it again with the cursor it returned
-- while has_more. First what waits to be computed anew, then what expired, then what is to be
-- purged; so nothing is removed by a policy that has changed. Any number may run at a time, and be
-- killed at any time: each takes conversations that nobody else holds, and what it has not done is
-- there for the next.
-- Security definer: for the service role, which may write none of this itself.
create function chat_private.sweep_messages(batch_size integer, "cursor" jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
    v_now constant timestamptz := chat_private.now();
    v_phase text := coalesce(sweep_messages."cursor" ->> 'phase', 'rewrite');
    v_at timestamptz := coalesce((sweep_messages."cursor" ->> 'at')::timestamptz, '-infinity');
    v_id uuid := coalesce(
        (sweep_messages."cursor" ->> 'id')::uuid, '00000000-0000-0000-0000-000000000000'
    );
    v_seq bigint := coalesce((sweep_messages."cursor" ->> 'seq')::bigint, 0);
    v_job_id bigint;
    v_conversation chat.conversations;
    v_conversation_ids uuid [];
    v_seqs bigint [];
    v_locked_ids uuid [];
    v_batch record;
    v_number integer;
    v_rewritten integer := 0;
    v_marked integer := 0;
    v_purged integer := 0;
    v_left integer := sweep_messages.batch_size;
begin
    -- Whoever places a hold waits for this batch, and every batch after it sees the hold.
    lock table chat.legal_holds in share mode;

    -- One job a batch: it locks conversations in the order of their ids, and another would begin anew.
    if v_phase = 'rewrite' then
        select j.id into v_job_id
        from chat_private.retention_jobs as j
        order by j.id
        limit 1
        for no key update skip locked;
        if not found then
            -- Another sweep may be at one: it judges for itself what this one marks.
            v_phase := 'mark';
        else
            -- Fewer, for each costs what a send does, and those who write there wait.
            v_rewritten := chat_private.run_retention_job(v_job_id, least(v_left, 100));
        end if;
    end if;

    while v_phase = 'mark' and v_left > 0 loop
        select c.* into v_conversation
        from chat.conversations as c
        where
            c.expires_from <= v_now
            and (c.expires_from, c.id) > (v_at, v_id)
            and not exists (
                select
                from chat.legal_holds as h
                where
                    h.tenant_id = c.tenant_id
                    and h.user_id is null
                    and coalesce(h.conversation_id, c.id) = c.id
            )
        order by c.expires_from, c.id
        limit 1
        for no key update skip locked;
        if not found then
            v_phase := 'purge';
            v_at := '-infinity';
            v_id := '00000000-0000-0000-0000-000000000000';
            exit;
        end if;
        v_number := chat_private.mark_expired(v_conversation, v_left);
        v_marked := v_marked + v_number;
        if v_number < v_left then
            v_at := v_conversation.expires_from;
            v_id := v_conversation.id;
        end if;
        v_left := v_left - greatest(v_number, 1);
    end loop;

    if v_phase = 'purge' and v_left > 0 then
        select
            array_agg(d.conversation_id),
            array_agg(d.message_seq),
            (array_agg(d.due_at))[count(*)],
            (array_agg(d.conversation_id))[count(*)],
            (array_agg(d.message_seq))[count(*)],
            count(*)
        into v_conversation_ids, v_seqs, v_at, v_id, v_seq, v_number
        from (
            select
                r.due_at,
                r.conversation_id,
                r.message_seq
            from chat_private.deleted_messages as r
            where
                r.due_at <= v_now
                and (r.due_at, r.conversation_id, r.message_seq) > (v_at, v_id, v_seq)
            order by r.due_at, r.conversation_id, r.message_seq
            limit v_left
        ) as d;
        if v_number < v_left then
            v_phase := 'done';
        end if;
        v_locked_ids := array(
            select c.id
            from chat.conversations as c
            where c.id = any (v_conversation_ids)
            order by c.id
            for no key update skip locked
        );
        for v_batch in
            select
                c.tenant_id,
                array_agg(d.conversation_id) as conversation_ids,
                array_agg(d.seq) as seqs
            from unnest(v_conversation_ids, v_seqs) as d (conversation_id, seq)
            inner join chat.conversations as c on d.conversation_id = c.id
            where c.id = any (v_locked_ids)
            group by c.tenant_id
            order by c.tenant_id
        loop
            v_purged := v_purged + chat_private.purge_removed(
                v_batch.tenant_id, v_batch.conversation_ids, v_batch.seqs
            );
        end loop;
    end if;
    if v_phase = 'done' then
        -- Their files go as those of messages do: functions/purge-attachments.
        delete from chat.exports as e
        where e.expires_at <= v_now;
    end if;
    return jsonb_build_object(
        'rewritten', v_rewritten,
        'marked', v_marked,
        'purged', v_purged,
        'has_more', v_phase <> 'done',
        'cursor', jsonb_build_object('phase', v_phase, 'at', v_at, 'id', v_id, 'seq', v_seq)
    );
end;
$$;
revoke execute on function chat_private.sweep_messages(integer, jsonb) from public, anon, authenticated;
grant execute on function chat_private.sweep_messages(integer, jsonb) to service_role;

create function chat.sweep_messages(batch_size integer default 200, "cursor" jsonb default null)
returns jsonb
language sql
set search_path = ''
begin atomic
select chat_private.sweep_messages(batch_size, "cursor");
end;
comment on function chat.sweep_messages(integer, jsonb) is
    'One batch of the sweep: rewrites what policies changed, marks what expired, purges what was '
    'removed long enough ago. Call it again with the cursor it returned while has_more. For the '
    'service role.';
revoke execute on function chat.sweep_messages(integer, jsonb) from public, anon, authenticated;
grant execute on function chat.sweep_messages(integer, jsonb) to service_role;

-- Jobs -----------------------------------------------------------------------------------------

-- Every ten minutes where pg_cron is, each batch in a transaction of its own. Elsewhere: ./scripts/sweep, docs/how-to/retention.md.
do $migration$
begin
    if to_regprocedure('cron.schedule(text, text, text)') is not null then
        perform cron.schedule(
            'parley-sweep',
            '*/10 * * * *',
            $job$
do $sweep$
declare
    v_done jsonb;
begin
    loop
        v_done := chat_private.sweep_messages(200, v_done -> 'cursor');
        exit when not (v_done ->> 'has_more')::boolean;
        commit;
    end loop;
end;
$sweep$
$job$
        );
    end if;
end;
$migration$;
