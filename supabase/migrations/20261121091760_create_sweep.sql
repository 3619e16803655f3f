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
    v_conversation_ids uuid [];
    v_seqs bigint [];
    v_times timestamptz [];
    v_number integer;
    v_place integer;
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

    -- Here and below each sweep locks as many as it can do, in the order in which they are due, and
    -- passes by those of others: so two that begin together divide the work. What they read before
    -- they had the lock, the steps read again.
    if v_phase = 'mark' then
        select
            array_agg(d.id),
            array_agg(d.seq),
            array_agg(d.expires_from),
            count(*)
        into v_conversation_ids, v_seqs, v_times, v_number
        from (
            select
                c.id,
                c.expires_from,
                e.seq
            from chat.conversations as c
            left join lateral (
                select m.seq
                from chat.messages as m
                where
                    m.conversation_id = c.id
                    and m.deleted_at is null
                    and (m.expires_at at time zone 'UTC')::date
                    <= (v_now at time zone 'UTC')::date
                    and m.expires_at <= v_now
                    and not exists (
                        select
                        from chat.legal_holds as h
                        where h.tenant_id = c.tenant_id and h.user_id = m.sender_id
                    )
                order by (m.expires_at at time zone 'UTC')::date
                limit v_left
            ) as e on true
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
            limit v_left
            for no key update of c skip locked
        ) as d;
        if v_number > 0 then
            v_marked := chat_private.mark_expired(v_conversation_ids, v_seqs);
            perform chat_private.keep_expires_from(
                array(select distinct unnest(v_conversation_ids))
            );
        end if;
        if v_number < v_left then
            v_phase := 'purge';
            v_at := '-infinity';
            v_id := '00000000-0000-0000-0000-000000000000';
        else
            -- The last may have more, if it had any: the next batch begins with it.
            v_place := case
                when v_seqs[v_number] is null then v_number
                else array_position(v_conversation_ids, v_conversation_ids[v_number]) - 1
            end;
            if v_place > 0 then
                v_at := v_times[v_place];
                v_id := v_conversation_ids[v_place];
            end if;
        end if;
        v_left := v_left - v_number;
    end if;

    if v_phase = 'purge' and v_left > 0 then
        select
            array_agg(d.conversation_id),
            array_agg(d.message_seq),
            array_agg(d.due_at),
            count(*)
        into v_conversation_ids, v_seqs, v_times, v_number
        from (
            select
                r.due_at,
                r.conversation_id,
                r.message_seq
            from chat_private.deleted_messages as r
            inner join chat.conversations as c on r.conversation_id = c.id
            where
                r.due_at <= v_now
                and (r.due_at, r.conversation_id, r.message_seq) > (v_at, v_id, v_seq)
            order by r.due_at, r.conversation_id, r.message_seq
            limit v_left
            for no key update of c skip locked
        ) as d;
        if v_number > 0 then
            v_purged := chat_private.purge_removed(v_conversation_ids, v_seqs);
        end if;
        if v_number < v_left then
            v_phase := 'done';
        else
            v_at := v_times[v_number];
            v_id := v_conversation_ids[v_number];
            v_seq := v_seqs[v_number];
        end if;
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
